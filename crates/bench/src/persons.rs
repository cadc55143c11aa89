//! Synthetic persons without end, each distinct, the same for every system: the person of number `n` is a function of `n`.
//!
//! Records come from a synthetic population (`banyan_synth`), so that they have the sizes and the spread of real forms. When all of them
//! were used they come again with the number, the card number, the form's number and the name of others: no two persons share
//! a unique value, and the index of names keeps its spread.

use std::collections::BTreeMap;
use std::io::Cursor;

use anyhow::{Context as _, ensure};
use banyan_synth::forms::{Format, Reader};
use banyan_synth::{Population, PopulationSpec};
use banyan_wire::v1;
use banyan_wire::v1::command::Kind;
use prost::Message as _;

/// Citizens of whom those with a number and without a death become templates.
const CITIZENS: u64 = 12_000;
const SEED: u64 = 1;
/// Numbers that share the first six digits.
const BUCKET: u64 = 1_000_000;
/// Shares no divisor with a power of ten, so that a walk with it meets each number once.
const STEP: u64 = 617_283;
const CMND_NUMBERS: u64 = 1_000_000_000;

/// Where registrations come from.
pub(crate) struct Persons {
    templates: Vec<Template>,
}

struct Template {
    command: v1::Command,
    /// First six digits of the number: place code, century and sex, year.
    prefix: String,
    /// Its place among the templates with this prefix, and how many there are.
    rank: u64,
    of: u64,
}

/// One person to be registered.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) pin: String,
    pub(crate) command: v1::Command,
}

impl Registration {
    /// What the command registers.
    pub(crate) fn data(&self) -> Option<&v1::PersonData> {
        match &self.command.kind {
            Some(Kind::RegisterPerson(register)) => register.data.as_ref(),
            _ => None,
        }
    }

    /// The record as one value: the encoded command.
    pub(crate) fn record(&self) -> Vec<u8> {
        self.command.encode_to_vec()
    }

    /// The number of the form.
    pub(crate) fn form(&self) -> &str {
        let document = self.command.document.as_ref();
        document.map_or("", |document| document.number.as_str())
    }

    /// The name in the order in which it is written.
    pub(crate) fn name(&self) -> String {
        let name = self.data().and_then(|data| data.name.as_ref());
        name.map_or_else(String::new, |name| {
            format!("{} {} {}", name.family, name.middle, name.given)
        })
    }
}

impl Persons {
    /// Makes the templates; takes a fraction of a second.
    ///
    /// # Errors
    /// That the population has no usable person, which would be a fault of the generator.
    pub(crate) fn new() -> anyhow::Result<Persons> {
        let spec = PopulationSpec {
            citizens: CITIZENS,
            seed: SEED,
            dirt: 0.0,
        };
        let mut forms = Vec::new();
        Population::new(spec).write(&mut forms, Format::Csv)?;
        let mut ranks: BTreeMap<String, u64> = BTreeMap::new();
        let mut templates = Vec::new();
        for row in Reader::open(Cursor::new(forms), Format::Csv)? {
            let Ok(command) = row?.content else { continue };
            let Some(Kind::RegisterPerson(register)) = &command.kind else {
                continue;
            };
            let Some(prefix) = register.pin.get(..6).map(str::to_owned) else {
                continue;
            };
            if register.death.is_some() || command.document.is_none() {
                continue;
            }
            let rank = ranks.entry(prefix.clone()).or_default();
            templates.push(Template {
                command,
                prefix,
                rank: *rank,
                of: 0,
            });
            *rank += 1;
        }
        ensure!(!templates.is_empty(), "the population holds no template");
        for template in &mut templates {
            template.of = *ranks
                .get(&template.prefix)
                .context("each prefix has a rank")?;
        }
        Ok(Persons { templates })
    }

    /// The person of that number.
    pub(crate) fn registration(&self, number: u64) -> Registration {
        let count = self.templates.len() as u64;
        let place = |number: u64| usize::try_from(number % count).unwrap_or(0);
        let (template, round) = (&self.templates[place(number)], number / count);
        let serial = (round * template.of + template.rank) % BUCKET * STEP % BUCKET;
        let pin = format!("{}{serial:06}", template.prefix);
        let mut command = template.command.clone();
        if let Some(document) = &mut command.document {
            document.number = format!("BM-{number:010}");
        }
        if let Some(Kind::RegisterPerson(register)) = &mut command.kind {
            register.pin.clone_from(&pin);
            if let Some(data) = &mut register.data {
                if !data.cmnd.is_empty() {
                    data.cmnd = format!("{:09}", number % CMND_NUMBERS * STEP % CMND_NUMBERS);
                }
                let named = &self.templates[place(number + round * 31)].command;
                if let Some(Kind::RegisterPerson(other)) = &named.kind
                    && let Some(other) = &other.data
                {
                    data.name.clone_from(&other.name);
                }
            }
        }
        Registration { pin, command }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn persons_share_no_unique_value() {
        let persons = Persons::new().unwrap();
        let count = persons.templates.len() as u64 * 5;
        let (mut pins, mut cmnds, mut forms) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for number in 0..count {
            let person = persons.registration(number);
            let data = person.data().unwrap();
            assert!(pins.insert(person.pin.clone()));
            assert!(forms.insert(person.form().to_owned()));
            assert!(data.cmnd.is_empty() || cmnds.insert(data.cmnd.clone()));
        }
        assert!(count > 10_000 && cmnds.len() > 1000);
    }

    #[test]
    fn registry_takes_them() {
        let persons = Persons::new().unwrap();
        for number in (0..200_000).step_by(997) {
            let person = persons.registration(number);
            banyan_wire::command::command_from_wire(&person.command).unwrap();
        }
    }

    #[test]
    fn records_have_the_size_of_a_form() {
        let persons = Persons::new().unwrap();
        let bytes: usize = (0..1000)
            .map(|number| persons.registration(number).record().len())
            .sum();
        assert!((300..1200).contains(&(bytes / 1000)), "{}", bytes / 1000);
    }
}

//! A whole population, written row by row.

use std::collections::BTreeMap;
use std::io::{self, Write};

use banyan_domain::{Units, WardCode};

use crate::dirt::{Dirt, DirtPlan};
use crate::fill::fill;
use crate::forms::{Form, Format, Writer};
use crate::household::Household;
use crate::numbers::PinAllotter;

/// What population is wanted. The same specification gives the same bytes for ever.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PopulationSpec {
    /// Number of persons.
    pub citizens: u64,
    /// Seed of all chance.
    pub seed: u64,
    /// Share of rows to spoil, from 0 to 1; above 0 the file's last line is cut off besides.
    pub dirt: f64,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that hold a form, whole or spoilt; duplicates count again.
    pub rows: u64,
    /// Persons.
    pub citizens: u64,
    /// Households; the last one may be cut short.
    pub households: u64,
    /// Persons who have a personal identification number already.
    pub with_pin: u64,
    /// Persons who have an old nine-digit card number.
    pub with_cmnd: u64,
    /// Spoilt rows by kind of dirt.
    pub dirt: BTreeMap<Dirt, u64>,
}

/// A synthetic population.
#[derive(Debug, Clone, Copy)]
pub struct Population {
    spec: PopulationSpec,
}

/// Rows with a number come first: numbers that are already issued must be registered before new ones are allotted, or
/// an allotted one could be the number of somebody further down the file.
const PASSES: [bool; 2] = [true, false];

impl Population {
    /// A population after a specification.
    #[must_use]
    pub fn new(spec: PopulationSpec) -> Self {
        Self { spec }
    }

    /// Writes all forms. One household is held in memory at a time.
    ///
    /// # Errors
    /// Whatever the output reports.
    pub fn write(&self, out: impl Write, format: Format) -> io::Result<Summary> {
        let per_million = (self.spec.dirt.clamp(0.0, 1.0) * 1_000_000.0).round() as u32;
        let plan = DirtPlan {
            seed: self.spec.seed,
            per_million,
        };
        let mut sink = Sink::new(Writer::new(out, format)?, format);
        for with_pin in PASSES {
            self.pass(plan, with_pin, &mut sink)?;
        }
        let mut summary = sink.finish(per_million > 0)?;
        summary.citizens = self.spec.citizens;
        Ok(summary)
    }

    /// Writes the forms of those who have a number, or of those who have none.
    fn pass<W: Write>(&self, plan: DirtPlan, with_pin: bool, sink: &mut Sink<W>) -> io::Result<()> {
        let mut pins = PinAllotter::new(self.spec.seed);
        let mut form = Form::new();
        let mut person = 0;
        let mut number = 0;
        while person < self.spec.citizens {
            let household = Household::generate(self.spec.seed, number, person, &mut pins);
            for (member, subject) in household.members.iter().enumerate() {
                let index = person + member as u64;
                if index >= self.spec.citizens || subject.pin.is_some() != with_pin {
                    continue;
                }
                fill(&mut form, &household, member, index, number, self.spec.seed);
                sink.summary.with_pin += u64::from(subject.pin.is_some());
                sink.summary.with_cmnd += u64::from(subject.cmnd.is_some());
                sink.push(&mut form, plan.of(index))?;
            }
            person += household.members.len() as u64;
            number += 1;
        }
        sink.summary.households = number;
        Ok(())
    }
}

/// Writes lines one behind, because the last one may have to be cut off.
struct Sink<W: Write> {
    writer: Writer<W>,
    format: Format,
    summary: Summary,
    held: Option<Vec<u8>>,
    spare: Vec<u8>,
}

impl<W: Write> Sink<W> {
    fn new(writer: Writer<W>, format: Format) -> Self {
        Self {
            writer,
            format,
            summary: Summary::default(),
            held: None,
            spare: Vec::new(),
        }
    }

    fn push(&mut self, form: &mut Form, dirt: Option<Dirt>) -> io::Result<()> {
        if let Some(dirt) = dirt {
            *self.summary.dirt.entry(dirt).or_insert(0) += 1;
            dirt.spoil_form(form, known_ward);
        }
        let mut line = std::mem::take(&mut self.spare);
        line.clear();
        line.extend_from_slice(self.writer.encode(form)?);
        if dirt == Some(Dirt::DuplicateForm) {
            self.push_line(line.clone())?;
        }
        if let Some(dirt) = dirt {
            dirt.spoil_line(&mut line, self.format);
        }
        self.push_line(line)
    }

    fn push_line(&mut self, line: Vec<u8>) -> io::Result<()> {
        self.summary.rows += 1;
        if let Some(before) = self.held.take() {
            self.writer.write_raw(&before)?;
            self.spare = before;
        }
        self.held = Some(line);
        Ok(())
    }

    fn finish(mut self, truncate: bool) -> io::Result<Summary> {
        if let Some(mut last) = self.held.take() {
            if truncate {
                Dirt::TruncatedFile.spoil_line(&mut last, self.format);
                self.summary.dirt.insert(Dirt::TruncatedFile, 1);
            }
            self.writer.write_raw(&last)?;
        }
        self.writer.finish()?;
        Ok(self.summary)
    }
}

/// Whether today's list of units holds the ward.
fn known_ward(code: &str) -> bool {
    WardCode::new(code).is_ok_and(|code| Units::current().ward_name(code).is_some())
}

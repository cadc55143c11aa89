//! `banyan birth register`: the eight items of Decree 137/2015 Art. 14, from arguments or from a file.

use std::io::Read;
use std::path::PathBuf;

use banyan_wire::v1;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::write::{self, Write};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::input::Faults;

/// A form is a few hundred bytes; this keeps a wrong file out of memory.
const FORM_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register a birth and get the child's new number
    #[command(after_help = PLACES)]
    Register(Box<Register>),
}

/// How places and names are written.
pub(crate) const PLACES: &str = "\
A place is a code of 2 (province), 3 (district) or 5 (ward) digits, or all of them as 40/412/16681, then `:address` if
wanted; what lies above a known ward is filled in. Abroad: a country code as FR, then `:address`.
A name is `Family Middle Given`, or `family|middle|given` to say the parts exactly.";

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Read the items from a JSON file instead; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "items")]
    file: Option<PathBuf>,
    #[command(flatten)]
    items: Items,
    #[command(flatten)]
    write: Write,
}

/// The eight items, the office and the certificate, as text. The file has the same members, with `_` for `-`.
#[derive(Debug, Default, Args, Deserialize)]
#[group(id = "items", multiple = true)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Items {
    /// Child's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Day of birth, yyyy-mm-dd
    #[arg(long, value_name = "DATE")]
    birth_date: Option<String>,
    /// male or female
    #[arg(long, value_name = "SEX")]
    sex: Option<String>,
    /// Where the birth is registered
    #[arg(long, value_name = "PLACE")]
    birth_registration_place: Option<String>,
    /// Native place (quê quán)
    #[arg(long, value_name = "PLACE")]
    native_place: Option<String>,
    /// Ethnic group, two digits
    #[arg(long, value_name = "CODE")]
    ethnicity: Option<String>,
    /// Nationality, may be repeated [default: VN]
    #[arg(long = "nationality", value_name = "COUNTRY")]
    #[serde(rename = "nationalities")]
    nationalities: Vec<String>,
    /// Father's name
    #[arg(long, value_name = "NAME")]
    father: Option<String>,
    /// Father's number
    #[arg(long, value_name = "PIN")]
    father_pin: Option<String>,
    /// Father's nationality [default: VN]
    #[arg(long, value_name = "COUNTRY")]
    father_nationality: Option<String>,
    /// Mother's name
    #[arg(long, value_name = "NAME")]
    mother: Option<String>,
    /// Mother's number
    #[arg(long, value_name = "PIN")]
    mother_pin: Option<String>,
    /// Mother's nationality [default: VN]
    #[arg(long, value_name = "COUNTRY")]
    mother_nationality: Option<String>,
    /// Legal representative's name
    #[arg(long, value_name = "NAME")]
    legal_representative: Option<String>,
    /// Legal representative's number
    #[arg(long, value_name = "PIN")]
    legal_representative_pin: Option<String>,
    /// Legal representative's nationality [default: VN]
    #[arg(long, value_name = "COUNTRY")]
    legal_representative_nationality: Option<String>,
    /// Code of the office that registers
    #[arg(long, value_name = "CODE")]
    office: Option<String>,
    /// Number of the birth certificate
    #[arg(long, value_name = "NUMBER")]
    certificate: Option<String>,
    /// Day on which the certificate was issued
    #[arg(long, value_name = "DATE")]
    issued: Option<String>,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let Command::Register(register) = command;
    let items = match &register.file {
        Some(path) => read_items(path)?,
        None => register.items,
    };
    let mut faults = Faults::default();
    let command = command_of(&items, &mut faults);
    write::check(&command, faults.0)?;
    write::submit(global, &register.write, command).await
}

fn read_items(path: &PathBuf) -> Result<Items, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .take(FORM_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FORM_BYTES_MAX).read_to_string(&mut text))
    };
    if let Err(error) = read {
        let exit = if error.kind() == std::io::ErrorKind::NotFound {
            Exit::NotFound
        } else {
            Exit::Usage
        };
        return Err(Failure::new(
            exit,
            format!("cannot read {}: {error}", path.display()),
        ));
    }
    serde_json::from_str(&text).map_err(|error| {
        // The library may quote a value, which is personal data; the place is enough for syntax.
        let place = format!(
            "{} line {} character {}",
            path.display(),
            error.line(),
            error.column()
        );
        let message = match error.classify() {
            serde_json::error::Category::Data if error.to_string().starts_with("unknown field") => {
                error.to_string()
            }
            serde_json::error::Category::Data => {
                "a value is not of the kind that its member takes".to_owned()
            }
            _ => "JSON syntax error".to_owned(),
        };
        Failure::usage("the form cannot be read").with_fault(&place, &message)
    })
}

/// The command that the items ask for. Required items that are missing are found by the check of the whole command.
fn command_of(items: &Items, faults: &mut Faults) -> v1::Command {
    let sexes = [
        ("male", v1::Sex::Male as i32),
        ("female", v1::Sex::Female as i32),
    ];
    let nationalities = if items.nationalities.is_empty() {
        vec!["VN".to_owned()]
    } else {
        items.nationalities.clone()
    };
    let registration = v1::RegisterBirth {
        name: items
            .name
            .as_deref()
            .and_then(|name| faults.name("--name", name)),
        birth_date: items
            .birth_date
            .as_deref()
            .and_then(|date| faults.date("--birth-date", date)),
        sex: items
            .sex
            .as_deref()
            .map_or(0, |sex| faults.word("--sex", sex, &sexes)),
        birth_registration_place: items
            .birth_registration_place
            .as_deref()
            .and_then(|place| faults.place("--birth-registration-place", place)),
        native_place: items
            .native_place
            .as_deref()
            .and_then(|place| faults.place("--native-place", place)),
        ethnicity: items.ethnicity.clone().unwrap_or_default(),
        nationalities,
        father: related(
            faults,
            "--father",
            &items.father,
            &items.father_pin,
            &items.father_nationality,
        ),
        mother: related(
            faults,
            "--mother",
            &items.mother,
            &items.mother_pin,
            &items.mother_nationality,
        ),
        legal_representative: related(
            faults,
            "--legal-representative",
            &items.legal_representative,
            &items.legal_representative_pin,
            &items.legal_representative_nationality,
        ),
    };
    v1::Command {
        office: items.office.clone().unwrap_or_default(),
        legal_basis: v1::LegalBasis::BirthRegistration.into(),
        document: Some(v1::SourceDocument {
            kind: v1::DocumentKind::BirthCertificate.into(),
            number: items.certificate.clone().unwrap_or_default(),
            issued: items
                .issued
                .as_deref()
                .and_then(|date| faults.date("--issued", date)),
        }),
        kind: Some(v1::command::Kind::RegisterBirth(Box::new(registration))),
    }
}

fn related(
    faults: &mut Faults,
    argument: &str,
    name: &Option<String>,
    pin: &Option<String>,
    nationality: &Option<String>,
) -> Option<v1::RelatedPerson> {
    if name.is_none() && (pin.is_some() || nationality.is_some()) {
        faults.add(
            argument,
            "is needed where the person's number or nationality is given",
        );
    }
    let name = faults.name(argument, name.as_deref()?);
    Some(v1::RelatedPerson {
        name,
        pin: pin.clone().unwrap_or_default(),
        cmnd: String::new(),
        nationality: nationality.clone().unwrap_or_else(|| "VN".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Items {
        Items {
            name: Some("Nguyễn Minh Anh".into()),
            birth_date: Some("2026-11-01".into()),
            sex: Some("female".into()),
            birth_registration_place: Some("00001".into()),
            native_place: Some("00001".into()),
            ethnicity: Some("01".into()),
            mother: Some("Trần Thị Lan".into()),
            office: Some("HT.01.001.00001".into()),
            certificate: Some("KS-1".into()),
            issued: Some("2026-11-02".into()),
            ..Items::default()
        }
    }

    #[test]
    fn eight_items_make_a_command_without_faults() {
        let mut faults = Faults::default();
        let command = command_of(&whole(), &mut faults);
        assert!(write::check(&command, faults.0).is_ok());
    }

    #[test]
    fn every_fault_is_told_at_once_and_none_twice() {
        let items = Items {
            birth_date: Some("2026-02-30".into()),
            sex: Some("nữ".into()),
            native_place: Some("Nghệ An".into()),
            certificate: None,
            ..whole()
        };
        let mut faults = Faults::default();
        let command = command_of(&items, &mut faults);
        let failure = write::check(&command, faults.0).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        for wanted in ["birth_date", "sex", "native", "document"] {
            let count = failure
                .faults
                .iter()
                .filter(|fault| fault.field.replace('-', "_").contains(wanted))
                .count();
            assert_eq!(count, 1, "{wanted}: {:?}", failure.faults);
        }
    }
}

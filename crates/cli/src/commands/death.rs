//! `banyan death register`: a death, or a court's declaration that a person is missing.

use banyan_wire::v1;
use clap::{Args, Subcommand, ValueEnum};

use super::write::{self, Write};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::input::{Faults, pin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record a death
    #[command(after_help = super::birth::PLACES)]
    Register(Register),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Died; the document is a death certificate
    Deceased,
    /// Declared missing; the document is a court's decision
    Missing,
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Personal identification number; `-` reads it from standard input
    #[arg(value_name = "PIN")]
    pin: String,
    /// Day of death, or of being declared missing: yyyy-mm-dd, or yyyy
    #[arg(long, value_name = "DATE")]
    date: String,
    /// What is recorded
    #[arg(long, value_enum, default_value_t = Kind::Deceased)]
    kind: Kind,
    /// Where the person died
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
    /// Code of the office that registers
    #[arg(long, value_name = "CODE")]
    office: String,
    /// Number of the death certificate, or of the court's decision
    #[arg(long, value_name = "NUMBER")]
    document: String,
    /// Day on which the document was issued
    #[arg(long, value_name = "DATE")]
    issued: Option<String>,
    #[command(flatten)]
    write: Write,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    let Command::Register(register) = command;
    let mut faults = Faults::default();
    let number = pin(&register.pin)?;
    let command = command_of(&register, number, &mut faults);
    write::check(&command, faults.0)?;
    write::submit(global, &register.write, command).await
}

fn command_of(register: &Register, pin: String, faults: &mut Faults) -> v1::Command {
    let (kind, basis, document) = match register.kind {
        Kind::Deceased => (
            v1::DeathKind::Deceased,
            v1::LegalBasis::CivilStatus,
            v1::DocumentKind::DeathCertificate,
        ),
        Kind::Missing => (
            v1::DeathKind::Missing,
            v1::LegalBasis::CourtDecision,
            v1::DocumentKind::CourtDecision,
        ),
    };
    let death = v1::Death {
        kind: kind.into(),
        date: faults.date("--date", &register.date),
        place: register
            .place
            .as_deref()
            .and_then(|place| faults.place("--place", place)),
    };
    v1::Command {
        office: register.office.clone(),
        legal_basis: basis.into(),
        document: Some(v1::SourceDocument {
            kind: document.into(),
            number: register.document.clone(),
            issued: register
                .issued
                .as_deref()
                .and_then(|date| faults.date("--issued", date)),
        }),
        kind: Some(v1::command::Kind::RecordDeath(Box::new(v1::RecordDeath {
            pin,
            death: Some(death),
        }))),
    }
}

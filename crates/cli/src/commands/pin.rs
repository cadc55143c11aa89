//! `banyan pin explain`: what the digits of a number say. Nothing is asked of the registry.

use banyan_domain::{Pin, Sex};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::input::pin;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what the digits of a number mean
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Personal identification number; `-` reads it from standard input
    #[arg(value_name = "PIN")]
    pin: String,
}

#[derive(Serialize)]
struct Shape {
    place_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    province: Option<&'static str>,
    abroad: bool,
    sex: &'static str,
    birth_year: u16,
    serial: String,
}

pub(crate) fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    let Command::Explain(explain) = command;
    let number = Pin::parse(&pin(&explain.pin)?)
        .map_err(|fault| Failure::usage("this is no number").with_fault("pin", &fault.0))?;
    let said = number.explain();
    let sex = match said.sex {
        Sex::Male => "male",
        Sex::Female => "female",
    };
    let shape = Shape {
        place_code: format!("{:03}", said.place_code),
        province: said.province,
        abroad: said.abroad,
        sex,
        birth_year: said.birth_year,
        serial: format!("{:06}", said.serial),
    };
    global.output().answer(&shape, || {
        let place = match (said.province, said.abroad) {
            (Some(province), _) => format!("{:03} {province}", said.place_code),
            (None, true) => format!("{:03} (birth registered abroad)", said.place_code),
            (None, false) => format!("{:03} (no province has this code)", said.place_code),
        };
        format!(
            "birth registered in  {place}\nsex                  {sex}\nborn in              {}\n\
             serial               {:06} (random; the number has no check digit)",
            said.birth_year, said.serial
        )
    });
    Ok(Exit::Done)
}

//! `banyan person`: one person by number, persons by name, a record's history, everyone in order.

use banyan_wire::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::freshness::Freshness;
use crate::global::Global;
use crate::input::{Faults, pin, pins};
use crate::output::put;
use crate::session::{Session, Usual};
use crate::shapes::{AsOf, Person};
use crate::{as_of, record};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show one person by number, or many
    Get(Get),
    /// Find persons by number, name and birth date, or by name and birth date
    Find(Find),
    /// Show every version of a person's record
    History(History),
    /// List everyone of a province, or everyone, in the order of the numbers
    Scan(Scan),
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Personal identification numbers, at most 1,000; `-` alone reads them from standard input, one on a line (arguments show in the
    /// list of processes)
    #[arg(
        value_name = "PIN",
        required_unless_present = "cmnd",
        conflicts_with = "cmnd"
    )]
    pins: Vec<String>,
    /// Old nine-digit identity card number instead
    #[arg(long, value_name = "NUMBER")]
    cmnd: Option<String>,
    #[command(flatten)]
    read: Read,
}

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Personal identification number; `-` reads it from standard input
    #[arg(long, value_name = "PIN")]
    pin: Option<String>,
    /// Old nine-digit identity card number
    #[arg(long, value_name = "NUMBER", conflicts_with = "pin")]
    cmnd: Option<String>,
    /// Full name: `Family Middle Given`, or `family|middle|given`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Birth date: yyyy-mm-dd, or yyyy where only the year is recorded
    #[arg(long, value_name = "DATE")]
    birth_date: Option<String>,
    /// At most so many persons
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    #[command(flatten)]
    read: Read,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Personal identification number; `-` reads it from standard input
    #[arg(value_name = "PIN")]
    pin: String,
    #[command(flatten)]
    read: Read,
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// Only those whose number opens with this province, where the birth was registered: a code of two digits. Everyone without it, for
    /// the centre
    #[arg(long, value_name = "CODE")]
    province: Option<String>,
    /// Numbers that one page goes through; all pages are shown
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    page_size: u32,
    #[command(flatten)]
    read: Read,
}

/// What every read says.
#[derive(Debug, Args)]
pub(crate) struct Read {
    /// Why you ask; kept in the access record
    #[arg(long, value_name = "TEXT", default_value = "")]
    purpose: String,
    #[command(flatten)]
    freshness: Freshness,
}

#[derive(Serialize)]
struct One {
    person: Person,
    as_of: Option<AsOf>,
}

#[derive(Serialize)]
struct Many {
    persons: Vec<Person>,
    more: bool,
    as_of: Option<AsOf>,
}

/// An answer for each number asked for, in their order; none where nobody has it.
#[derive(Serialize)]
struct Asked {
    persons: Vec<Option<Person>>,
    as_of: Option<AsOf>,
}

#[derive(Serialize)]
struct Page {
    persons: Vec<Person>,
    more: bool,
    as_of: Option<AsOf>,
}

#[derive(Serialize)]
struct Versions {
    versions: Vec<Person>,
    as_of: Option<AsOf>,
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Get(arguments) => get(global, arguments).await,
        Command::Find(arguments) => find(global, arguments).await,
        Command::History(arguments) => history(global, arguments).await,
        Command::Scan(arguments) => scan(global, arguments).await,
    }
}

async fn get(global: &Global, arguments: Get) -> Result<Exit, Failure> {
    let consistency = arguments.read.freshness.consistency()?;
    let number = match &arguments.cmnd {
        Some(cmnd) => v1::get_person_request::Number::Cmnd(cmnd.trim().to_owned()),
        None => {
            let mut pins = pins(&arguments.pins)?;
            match (pins.pop(), pins.is_empty()) {
                (Some(only), true) => v1::get_person_request::Number::Pin(only),
                (Some(last), false) => {
                    pins.push(last);
                    return get_many(global, arguments.read, pins).await;
                }
                (None, _) => return Err(Failure::usage("give a number")),
            }
        }
    };
    let request = v1::GetPersonRequest {
        number: Some(number),
        consistency: Some(consistency),
        purpose: arguments.read.purpose,
    };
    let session = Session::open(global, Usual::Nobody)?;
    let read = match &session.node {
        Some(node) => session.client.get_person_from(node, request).await?,
        None => session.client.get_person(request).await?,
    };
    let answer = read.answer;
    let Some(person) = &answer.person else {
        return Err(not_found(
            "no person has this number",
            answer.as_of.as_ref(),
        ));
    };
    let shape = One {
        person: Person::of(person),
        as_of: answer.as_of.as_ref().map(AsOf::of),
    };
    global.output().answer(&shape, || {
        format!(
            "{}\n\n{}",
            record::card(person),
            as_of::sentence(answer.as_of.as_ref())
        )
    });
    Ok(Exit::Done)
}

async fn get_many(global: &Global, read: Read, pins: Vec<String>) -> Result<Exit, Failure> {
    let request = v1::GetPersonsRequest {
        pins,
        consistency: Some(read.freshness.consistency()?),
        purpose: read.purpose,
    };
    let session = Session::open(global, Usual::Nobody)?;
    let read = match &session.node {
        Some(node) => session.client.get_persons_from(node, request).await?,
        None => session.client.get_persons(request).await?,
    };
    let answer = read.answer;
    let found: Vec<v1::PersonVersion> = answer
        .answers
        .iter()
        .filter_map(|answer| answer.person.clone())
        .collect();
    if found.is_empty() {
        return Err(not_found(
            "no person has any of these numbers",
            answer.as_of.as_ref(),
        ));
    }
    let shape = Asked {
        persons: answer
            .answers
            .iter()
            .map(|answer| answer.person.as_ref().map(Person::of))
            .collect(),
        as_of: answer.as_of.as_ref().map(AsOf::of),
    };
    let absent = answer.answers.len() - found.len();
    global.output().answer(&shape, || {
        let nobody = match absent {
            0 => String::new(),
            _ => format!(
                "\nNobody has {absent} of the {} numbers.",
                answer.answers.len()
            ),
        };
        format!(
            "{}{nobody}\n\n{}",
            record::list(&found),
            as_of::sentence(answer.as_of.as_ref())
        )
    });
    Ok(if absent == 0 {
        Exit::Done
    } else {
        Exit::Partial
    })
}

async fn find(global: &Global, arguments: Find) -> Result<Exit, Failure> {
    let mut faults = Faults::default();
    let number = arguments.pin.is_some() || arguments.cmnd.is_some();
    if !number && (arguments.name.is_none() || arguments.birth_date.is_none()) {
        faults.add(
            "--name, --birth-date",
            "both are needed where no number is given",
        );
    }
    let name = arguments
        .name
        .as_deref()
        .and_then(|name| faults.name("--name", name));
    let birth_date = arguments
        .birth_date
        .as_deref()
        .and_then(|date| faults.date("--birth-date", date));
    faults.check()?;
    let request = v1::FindPersonsRequest {
        pin: arguments
            .pin
            .as_deref()
            .map(pin)
            .transpose()?
            .unwrap_or_default(),
        cmnd: arguments.cmnd.unwrap_or_default(),
        name,
        birth_date,
        consistency: Some(arguments.read.freshness.consistency()?),
        purpose: arguments.read.purpose,
        limit: arguments.limit,
    };
    let session = Session::open(global, Usual::Nobody)?;
    let read = match &session.node {
        Some(node) => session.client.find_persons_from(node, request).await?,
        None => session.client.find_persons(request).await?,
    };
    let answer = read.answer;
    if answer.persons.is_empty() {
        return Err(not_found("no person fits", answer.as_of.as_ref()));
    }
    let shape = Many {
        persons: answer.persons.iter().map(Person::of).collect(),
        more: answer.more,
        as_of: answer.as_of.as_ref().map(AsOf::of),
    };
    global.output().answer(&shape, || {
        let more = if answer.more {
            "\nThere are more; raise --limit or say more."
        } else {
            ""
        };
        format!(
            "{}{more}\n\n{}",
            record::list(&answer.persons),
            as_of::sentence(answer.as_of.as_ref())
        )
    });
    Ok(Exit::Done)
}

async fn history(global: &Global, arguments: History) -> Result<Exit, Failure> {
    let request = v1::GetHistoryRequest {
        consistency: Some(arguments.read.freshness.consistency()?),
        pin: pin(&arguments.pin)?,
        purpose: arguments.read.purpose,
        ..v1::GetHistoryRequest::default()
    };
    let session = Session::open(global, Usual::Nobody)?;
    let read = match &session.node {
        Some(node) => session.client.history_from(node, request).await?,
        None => session.client.history(request).await?,
    };
    let answer = read.answer;
    if answer.versions.is_empty() {
        return Err(not_found(
            "no person has this number",
            answer.as_of.as_ref(),
        ));
    }
    let shape = Versions {
        versions: answer.versions.iter().map(Person::of).collect(),
        as_of: answer.as_of.as_ref().map(AsOf::of),
    };
    global.output().answer(&shape, || {
        format!(
            "{}\n\n{}",
            record::history(&answer.versions),
            as_of::sentence(answer.as_of.as_ref())
        )
    });
    Ok(Exit::Done)
}

/// Shows page after page as they come. A failure in between leaves what was shown, and says so by its exit code.
async fn scan(global: &Global, arguments: Scan) -> Result<Exit, Failure> {
    let request = v1::ScanPersonsRequest {
        province: arguments.province.unwrap_or_default(),
        page_size: arguments.page_size,
        consistency: Some(arguments.read.freshness.consistency()?),
        purpose: arguments.read.purpose,
        ..v1::ScanPersonsRequest::default()
    };
    let session = Session::open(global, Usual::Nobody)?;
    let mut scan = match &session.node {
        Some(node) => session.client.scan_persons_from(node, request),
        None => session.client.scan_persons(request),
    };
    let output = global.output();
    let mut count = 0;
    let mut as_of = None;
    while let Some(page) = scan.next().await? {
        let page = page.answer;
        count += page.persons.len();
        as_of = page.as_of;
        if output.json {
            output.json_line(&Page {
                persons: page.persons.iter().map(Person::of).collect(),
                more: !page.cursor.is_empty(),
                as_of: as_of.as_ref().map(AsOf::of),
            });
        } else if !page.persons.is_empty() {
            put(&record::list(&page.persons));
        }
    }
    if !output.json {
        put(&format!(
            "\n{count} persons. {}",
            as_of::sentence(as_of.as_ref())
        ));
    }
    Ok(Exit::Done)
}

/// Nobody was found, as of then and there: another node may know more already.
fn not_found(message: &str, as_of: Option<&v1::AsOf>) -> Failure {
    Failure::new(
        Exit::NotFound,
        format!("{message}. {}", as_of::sentence(as_of)),
    )
    .with_next("banyan person find --name 'Family Middle Given' --birth-date yyyy-mm-dd")
}

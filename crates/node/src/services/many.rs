//! Many persons by number: one snapshot, one access record, one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use banyan_domain::limits::GET_PERSONS_MAX;
use banyan_domain::policy::Action;
use banyan_domain::{Actor, FieldFault, PersonId, Pin};
use banyan_wire::errors::Code;
use banyan_wire::v1::{
    ErrorDetail, GetPersonsRequest, GetPersonsResponse, PersonAnswer, PersonVersion,
};

use super::consistency::Reading;
use super::context::{CallContext, ServiceParts};
use super::faults::Faults;
use super::outcomes;
use super::read::Access;
use super::shown::{Room, show};

/// While all threads for long reads are taken: about what one of them takes.
const BUSY_RETRY: Duration = Duration::from_millis(50);
/// Numbers at fault that one answer tells of. A status travels in the headers of HTTP/2, and clients take some 16 KiB of them.
const NUMBERS_TOLD_MAX: usize = 40;

/// What was found of the numbers asked for.
#[derive(Default)]
struct Found {
    answers: Vec<PersonAnswer>,
    persons: Vec<PersonId>,
    more: bool,
}

impl ServiceParts {
    pub(super) async fn get_persons(
        &self,
        context: &CallContext,
        request: GetPersonsRequest,
    ) -> Result<GetPersonsResponse, ErrorDetail> {
        let mut faults = Faults::default();
        let purpose = faults.purpose(&request.purpose);
        let pins = numbers(&mut faults, &request.pins);
        let purpose = faults.none(purpose)?.flatten();
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let actor = context.actor().clone();
        let look_up = move || Found::by(&pins, &reading, &actor).map(|found| (found, reading));
        let (found, reading) = self.read_apart(look_up).await?;
        let access = Access {
            method: "GetPersons",
            purpose,
            persons: found.persons,
        };
        // Asking is an access, also for a number that nobody has. The rest of a list that was cut is asked for again.
        let asked = u32::try_from(found.answers.len()).unwrap_or(u32::MAX);
        self.record_accesses(context, access, asked, reading.as_of())
            .await?;
        Ok(GetPersonsResponse {
            answers: found.answers,
            more: found.more,
            as_of: Some(self.close_reading(reading)?),
        })
    }

    /// Does a long read on a thread of storage.
    pub(super) async fn read_apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ErrorDetail> + Send + 'static,
    ) -> Result<T, ErrorDetail> {
        let pending = self.stores.state.read_apart(work).map_err(|busy| {
            ErrorDetail::new(Code::Overloaded, busy.to_string()).with_retry_after(BUSY_RETRY)
        })?;
        pending
            .await
            .map_err(|fault| outcomes::storage_detail(&fault))?
    }
}

impl Found {
    /// Looks the numbers up in order, until the answer is full.
    fn by(pins: &[Pin], reading: &Reading, actor: &Actor) -> Result<Self, ErrorDetail> {
        let mut found = Self::default();
        let mut room = Room::default();
        let mut refused = None;
        reading.read(|view| {
            view.visit_by_pins(pins, |person| {
                let id = person.as_ref().map(|person| person.person);
                let shown = person.map(|person| show(actor, Action::ReadPerson, &person));
                match shown.transpose() {
                    Ok(person) => found.more = !found.take(&mut room, person, id),
                    Err(detail) => refused = Some(detail),
                }
                refused.is_none() && !found.more
            })
        })?;
        refused.map_or(Ok(found), Err)
    }

    fn take(
        &mut self,
        room: &mut Room,
        person: Option<PersonVersion>,
        id: Option<PersonId>,
    ) -> bool {
        let answer = PersonAnswer { person };
        let fits = room.takes(&answer);
        if fits {
            self.answers.push(answer);
            self.persons.extend(id);
        }
        fits
    }
}

/// The numbers of a request, each once. Faults name places in the list, never a number.
fn numbers(faults: &mut Faults, texts: &[String]) -> Vec<Pin> {
    let count = texts.len();
    if count == 0 || count > GET_PERSONS_MAX {
        let rule = format!("must hold 1 to {GET_PERSONS_MAX} numbers, holds {count}");
        faults.0.push(FieldFault::new("pins", rule));
        return Vec::new();
    }
    let mut pins = Vec::with_capacity(count);
    let mut places = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        let field = format!("pins[{place}]");
        match Pin::parse(text) {
            Err(fault) => wrong.push(fault.at(&field)),
            Ok(pin) => match places.insert(pin, place) {
                Some(first) => {
                    wrong.push(FieldFault::new(
                        &field,
                        format!("stands at pins[{first}], too"),
                    ));
                }
                None => pins.push(pin),
            },
        }
    }
    let untold = wrong.len().saturating_sub(NUMBERS_TOLD_MAX);
    wrong.truncate(NUMBERS_TOLD_MAX);
    faults.0.extend(wrong);
    if untold > 0 {
        let rule = format!("holds {untold} more numbers at fault");
        faults.0.push(FieldFault::new("pins", rule));
    }
    pins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> Vec<(String, String)> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut faults = Faults::default();
        numbers(&mut faults, &texts);
        let told = faults.0.into_iter();
        told.map(|fault| (fault.field, fault.message)).collect()
    }

    #[test]
    fn every_number_at_fault_is_told_by_its_place() {
        let (one, two) = ("040187000001", "040187000002");
        assert!(told(&[one, two]).is_empty());
        let found = told(&[one, "12", two, one, "x", one]);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["pins[1]", "pins[3]", "pins[4]", "pins[5]"]);
        assert!(found.iter().all(|(_, rule)| !rule.contains("0401870")));
        assert_eq!(told(&[])[0].0, "pins");
    }

    #[test]
    fn a_list_of_nothing_but_faults_is_told_in_part_and_counted() {
        let found = told(&["12"; 1_000]);
        assert_eq!(found.len(), NUMBERS_TOLD_MAX + 1);
        let rule = "holds 960 more numbers at fault".to_owned();
        assert_eq!(found.last(), Some(&("pins".to_owned(), rule)));
        assert_eq!(told(&["12"; 1_001]).len(), 1);
    }
}

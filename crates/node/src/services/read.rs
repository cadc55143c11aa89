//! Reads, from this node's own state: one RocksDB snapshot for a whole request, as fresh as was asked for (see `consistency`), fields
//! withheld by policy, an access record on disk before the answer leaves.
//!
//! Look-ups run on the worker thread that took the request. A look-up of a record in the cache costs 5 to 20 µs, the hand-over to
//! a pool of blocking threads and back more than that; one that goes to the disk delays its neighbours on the same worker by
//! about 0.1 ms, and Raft and its peers, on a runtime of their own, not at all. What is bounded in size is read so (one
//! person, the versions of one person, at most 100 persons of a name); whoever adds a scan puts it on a thread of storage.

use banyan_domain::limits::{FIND_LIMIT_MAX, PURPOSE_CHARS_MAX};
use banyan_domain::policy::{Action, Fields, Resource, decide};
use banyan_domain::{
    BirthDate, Cmnd, FieldFault, PersonId, PersonName, PersonVersion, Pin, Text, ValueFault,
    View as _, ViewFault,
};
use banyan_storage::ReadView;
use banyan_wire::errors::Code;
use banyan_wire::internal_v1::StoredAccess;
use banyan_wire::person;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::{
    self, AsOf, ErrorDetail, FindPersonsRequest, FindPersonsResponse, GetHistoryRequest,
    GetHistoryResponse, GetPersonRequest, GetPersonResponse,
};
use prost::Message as _;

use super::context::{CallContext, ServiceParts};
use super::outcomes;

/// Persons that a look-up returns where the caller names no limit.
const FIND_LIMIT_DEFAULT: usize = 20;

impl ServiceParts {
    pub(super) async fn get_person(
        &self,
        context: &CallContext,
        request: GetPersonRequest,
    ) -> Result<GetPersonResponse, ErrorDetail> {
        let mut faults = Faults::default();
        let purpose = faults.purpose(&request.purpose);
        let number = match &request.number {
            None => return Err(incomplete("a number is required: pin or cmnd")),
            Some(Number::Pin(text)) => faults.take("pin", Pin::parse(text)).map(SearchNumber::Pin),
            Some(Number::Cmnd(text)) => faults
                .take("cmnd", Cmnd::parse(text))
                .map(SearchNumber::Cmnd),
        };
        let (Some(number), Some(purpose)) = (number, faults.none(purpose)?) else {
            return Err(incomplete("a number is required: pin or cmnd"));
        };
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let found = reading.read(|view| match &number {
            SearchNumber::Pin(pin) => view.get_by_pin(pin),
            SearchNumber::Cmnd(cmnd) => view.get_by_cmnd(cmnd),
        })?;
        let shown = found
            .iter()
            .map(|person| show(context, Action::ReadPerson, person, person));
        let mut shown = shown.collect::<Result<Vec<_>, _>>()?;
        let access = Access {
            method: "GetPerson",
            purpose,
            persons: ids(found.as_slice()),
        };
        self.record_access(context, access, reading.as_of()).await?;
        Ok(GetPersonResponse {
            person: shown.pop(),
            as_of: Some(self.close_reading(reading)?),
        })
    }

    pub(super) async fn find_persons(
        &self,
        context: &CallContext,
        request: FindPersonsRequest,
    ) -> Result<FindPersonsResponse, ErrorDetail> {
        let query = Query::parse(&request)?;
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let (persons, more) = reading.read(|view| query.run(view))?;
        let shown = persons
            .iter()
            .map(|person| show(context, Action::FindPersons, person, person))
            .collect::<Result<Vec<_>, _>>()?;
        let access = Access {
            method: "FindPersons",
            purpose: query.purpose,
            persons: ids(&persons),
        };
        self.record_access(context, access, reading.as_of()).await?;
        Ok(FindPersonsResponse {
            persons: shown,
            more,
            as_of: Some(self.close_reading(reading)?),
        })
    }

    pub(super) async fn get_history(
        &self,
        context: &CallContext,
        request: GetHistoryRequest,
    ) -> Result<GetHistoryResponse, ErrorDetail> {
        let mut faults = Faults::default();
        let purpose = faults.purpose(&request.purpose);
        let pin = faults.take("pin", Pin::parse(&request.pin));
        let (Some(pin), Some(purpose)) = (pin, faults.none(purpose)?) else {
            return Err(incomplete("a pin is required"));
        };
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let versions = reading.read(|view| match view.person_by_pin(&pin)? {
            Some(person) => view.history(person),
            None => Ok(Vec::new()),
        })?;
        // Who may see a record follows from the record as it stands; its history goes with it.
        let newest = versions.last();
        let shown = versions
            .iter()
            .filter_map(|version| newest.map(|newest| (version, newest)))
            .map(|(version, newest)| show(context, Action::ReadHistory, version, newest))
            .collect::<Result<Vec<_>, _>>()?;
        let persons = newest.map(|newest| newest.person).into_iter().collect();
        let access = Access {
            method: "GetHistory",
            purpose,
            persons,
        };
        self.record_access(context, access, reading.as_of()).await?;
        Ok(GetHistoryResponse {
            versions: shown,
            as_of: Some(self.close_reading(reading)?),
        })
    }

    /// Puts on disk who read whom. A look-up that found nobody is recorded, too: asking is an access.
    pub(super) async fn record_access(
        &self,
        context: &CallContext,
        access: Access,
        as_of: &AsOf,
    ) -> Result<(), ErrorDetail> {
        let begun = self.clock.monotonic();
        let actor = context.actor();
        let record = StoredAccess {
            time_ms: self.clock.now_ms(),
            principal: actor.principal.as_str().to_owned(),
            role: actor.role.word().to_owned(),
            area: actor
                .role
                .area()
                .map_or_else(String::new, |area| area.as_str().to_owned()),
            method: access.method.to_owned(),
            person_ids: access.persons.iter().map(|person| person.get()).collect(),
            purpose: access
                .purpose
                .map_or_else(String::new, |purpose| purpose.as_str().to_owned()),
            position: as_of.position,
        };
        self.stores
            .journal
            .append_access(record.encode_to_vec())
            .await
            .map_err(|error| outcomes::append_detail(&error))?;
        self.metrics
            .access_recorded(self.clock.monotonic().saturating_duration_since(begun));
        Ok(())
    }
}

pub(super) type Purpose = Option<Text<PURPOSE_CHARS_MAX>>;

/// What an access record says beside who and when.
pub(super) struct Access {
    pub(super) method: &'static str,
    pub(super) purpose: Purpose,
    pub(super) persons: Vec<PersonId>,
}

fn ids(persons: &[PersonVersion]) -> Vec<PersonId> {
    persons.iter().map(|person| person.person).collect()
}

enum SearchNumber {
    Pin(Pin),
    Cmnd(Cmnd),
}

/// What to search by: a number, a name, a birth date; each that is given must fit.
struct Query {
    pin: Option<Pin>,
    cmnd: Option<Cmnd>,
    name: Option<PersonName>,
    birth_date: Option<BirthDate>,
    limit: usize,
    purpose: Purpose,
}

impl Query {
    fn parse(request: &FindPersonsRequest) -> Result<Self, ErrorDetail> {
        let mut faults = Faults::default();
        let purpose = faults.purpose(&request.purpose);
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let pin = optional(&request.pin).and_then(|text| faults.take("pin", Pin::parse(&text)));
        let cmnd = optional(&request.cmnd).and_then(|text| faults.take("cmnd", Cmnd::parse(&text)));
        let name = request
            .name
            .as_ref()
            .and_then(|name| faults.take_all(person::name_from_wire(name, "name")));
        let birth_date = request
            .birth_date
            .as_ref()
            .and_then(|date| faults.take_all(person::birth_date_from_wire(date, "birth_date")));
        let limit = match usize::try_from(request.limit) {
            Ok(0) => FIND_LIMIT_DEFAULT,
            Ok(limit) if limit <= FIND_LIMIT_MAX => limit,
            _ => {
                let rule = format!("limit {} exceeds maximum {FIND_LIMIT_MAX}", request.limit);
                faults.0.push(FieldFault::new("limit", rule));
                FIND_LIMIT_DEFAULT
            }
        };
        let query = Self {
            pin,
            cmnd,
            name,
            birth_date,
            limit,
            purpose: None,
        };
        let purpose = faults.none(purpose)?.flatten();
        let by_number = query.pin.is_some() || query.cmnd.is_some();
        if !by_number && (query.name.is_none() || query.birth_date.is_none()) {
            return Err(incomplete(
                "give a number, or a name together with a birth date",
            ));
        }
        Ok(Self { purpose, ..query })
    }

    fn run(&self, view: &ReadView) -> Result<(Vec<PersonVersion>, bool), ViewFault> {
        let by_number = match (&self.pin, &self.cmnd) {
            (Some(pin), _) => Some(view.get_by_pin(pin)?),
            (None, Some(cmnd)) => Some(view.get_by_cmnd(cmnd)?),
            (None, None) => None,
        };
        if let Some(found) = by_number {
            let fitting = found.filter(|person| self.fits(person));
            return Ok((fitting.into_iter().collect(), false));
        }
        match (&self.name, self.birth_date) {
            (Some(name), Some(birth_date)) => {
                let found = view.find(name, birth_date, self.limit)?;
                Ok((found.persons, found.more))
            }
            // Parsing has refused this.
            _ => Ok((Vec::new(), false)),
        }
    }

    /// Whether a person found by number is the one that the rest of the query describes.
    fn fits(&self, person: &PersonVersion) -> bool {
        let data = &person.data;
        self.cmnd
            .as_ref()
            .is_none_or(|cmnd| data.cmnd.as_ref() == Some(cmnd))
            && self
                .name
                .as_ref()
                .is_none_or(|name| data.name.search_key() == name.search_key())
            && self.birth_date.is_none_or(|date| data.birth_date == date)
    }
}

/// Gathers what is wrong with a request.
#[derive(Default)]
struct Faults(Vec<FieldFault>);

impl Faults {
    fn take<T>(&mut self, field: &str, parsed: Result<T, ValueFault>) -> Option<T> {
        parsed.map_err(|fault| self.0.push(fault.at(field))).ok()
    }

    fn take_all<T>(&mut self, parsed: Result<T, Vec<FieldFault>>) -> Option<T> {
        parsed.map_err(|faults| self.0.extend(faults)).ok()
    }

    fn purpose(&mut self, text: &str) -> Option<Purpose> {
        self.take("purpose", Text::optional(text))
    }

    /// The value, if no fault was found at all.
    fn none<T>(self, value: T) -> Result<T, ErrorDetail> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ErrorDetail::invalid_fields(&self.0))
        }
    }
}

fn incomplete(text: &str) -> ErrorDetail {
    ErrorDetail::new(Code::QueryIncomplete, text)
}

/// A version as this caller may see it, judged by the record as it stands.
fn show(
    context: &CallContext,
    action: Action,
    version: &PersonVersion,
    newest: &PersonVersion,
) -> Result<v1::PersonVersion, ErrorDetail> {
    let actor = context.actor();
    let fields = decide(actor, action, &Resource::Record(&newest.data)).map_err(|denial| {
        let principal = actor.principal.as_str();
        tracing::warn!(principal, reason = denial.reason(), "read denied");
        ErrorDetail::new(Code::NotAuthorised, denial.reason())
    })?;
    let whole = person::person_version_to_wire(version);
    Ok(match fields {
        Fields::All => whole,
        Fields::Identity => identity_only(whole, fields),
    })
}

/// The identity fields, and the names of all others. Made of what may be seen, so that a field added later is withheld.
fn identity_only(whole: v1::PersonVersion, fields: Fields) -> v1::PersonVersion {
    let data = whole.data.map(|data| v1::PersonData {
        name: data.name,
        birth_date: data.birth_date,
        sex: data.sex,
        nationalities: data.nationalities,
        ..v1::PersonData::default()
    });
    v1::PersonVersion {
        person_id: whole.person_id,
        version: whole.version,
        pin: whole.pin,
        data,
        life_status: whole.life_status,
        withheld: fields
            .withheld()
            .iter()
            .map(|field| (*field).to_owned())
            .collect(),
        ..v1::PersonVersion::default()
    }
}

//! Reads, from this node's own state: one RocksDB snapshot for a whole request, as fresh as was asked for (see `consistency`), fields
//! withheld by policy, an access record on disk before the answer leaves.
//!
//! Look-ups run on the worker thread that took the request. A look-up of a record in the cache costs 5 to 20 µs, the hand-over to
//! a pool of blocking threads and back more than that; one that goes to the disk delays its neighbours on the same worker by
//! about 0.1 ms, and Raft and its peers, on a runtime of their own, not at all. What is bounded in size is read so (one
//! person, at most 100 versions of one person, at most 100 persons of a name); what is longer runs on a thread of storage (`many`).

use banyan_domain::limits::{FIND_LIMIT_MAX, HISTORY_PAGE_MAX, PURPOSE_CHARS_MAX};
use banyan_domain::policy::Action;
use banyan_domain::{
    BirthDate, Cmnd, PersonId, PersonName, PersonVersion, Pin, Text, VersionNumber, ViewFault,
};
use banyan_storage::ReadView;
use banyan_wire::internal_v1::StoredAccess;
use banyan_wire::person;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::{
    AsOf, ErrorDetail, FindPersonsRequest, FindPersonsResponse, GetHistoryRequest,
    GetHistoryResponse, GetPersonRequest, GetPersonResponse,
};
use prost::Message as _;

use super::context::{CallContext, ServiceParts};
use super::faults::{Faults, incomplete};
use super::outcomes;
use super::shown::{Room, judge, show, with_fields};

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
            .map(|person| show(context.actor(), Action::ReadPerson, person));
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
            .map(|person| show(context.actor(), Action::FindPersons, person))
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
        let limit = faults.limit("limit", request.limit, HISTORY_PAGE_MAX, HISTORY_PAGE_MAX);
        let (Some(pin), Some(purpose)) = (pin, faults.none(purpose)?) else {
            return Err(incomplete("a pin is required"));
        };
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let mut persons = Vec::new();
        let mut versions = Vec::new();
        let mut more = false;
        // Who may see a record follows from the record as it stands; its history goes with it.
        if let Some(newest) = reading.read(|view| view.get_by_pin(&pin))? {
            let fields = judge(context.actor(), Action::ReadHistory, &newest)?;
            persons.push(newest.person);
            let mut room = Room::default();
            let visit = |version: PersonVersion| {
                let version = with_fields(&version, fields);
                more = versions.len() == limit || !room.takes(&version);
                if !more {
                    versions.push(version);
                }
                !more
            };
            let after = VersionNumber(request.after_version);
            reading.read(|view| view.visit_history(newest.person, after, visit))?;
        }
        let access = Access {
            method: "GetHistory",
            purpose,
            persons,
        };
        self.record_access(context, access, reading.as_of()).await?;
        Ok(GetHistoryResponse {
            versions,
            more,
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
        self.record_accesses(context, access, 0, as_of).await
    }

    /// As [`ServiceParts::record_access`], for a method that was asked for so many numbers: one record names everyone who was shown,
    /// so that one append, and one sync, covers them all.
    pub(super) async fn record_accesses(
        &self,
        context: &CallContext,
        access: Access,
        asked: u32,
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
            asked,
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
        let limit = faults.limit("limit", request.limit, FIND_LIMIT_DEFAULT, FIND_LIMIT_MAX);
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

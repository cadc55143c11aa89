//! One snapshot of the state: what `apply` decides on, and what every read of a request sees.

mod pages;

use std::ops::Range;
use std::sync::Arc;

use banyan_domain::{
    AuditRecord, BirthDate, Cmnd, Counters, Event, EventSequence, FormKey, IdempotencyKey, NameKey,
    PersonId, PersonName, PersonVersion, Pin, PinBucket, PinPage, Position, Principal,
    StoredOutcome, Timestamp, VersionNumber, View, ViewFault,
};
use banyan_wire::record;
use bytes::Bytes;

use super::digest;
use super::generation::{Generation, Reader};
use super::markers::{decode_applied, decode_counters};
use super::records::{Records, Snapshot};
use super::schema::{self, Family};
use crate::fault::Fault;

/// How far the state has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applied {
    /// Position of the last applied entry.
    pub position: Position,
    /// Replicated time of the newest command entry.
    pub time: Timestamp,
}

/// Persons under a name and a birth date.
#[derive(Clone, Debug)]
pub struct Found {
    /// Newest versions, by person id.
    pub persons: Vec<PersonVersion>,
    /// The limit cut the list.
    pub more: bool,
}

/// A consistent view of the state at one applied position. Reads may touch the disk: for threads that may block.
///
/// Every error is a [`ViewFault`]: a stored record could not be read, and the node must stop.
#[derive(Debug)]
pub struct StateView<S>(S);

/// A view of the state of a node.
pub type ReadView = StateView<Snapshot>;

impl ReadView {
    pub(super) fn of(generation: Arc<Generation>) -> Result<Self, Fault> {
        Snapshot::of(generation).map(Self)
    }

    pub(super) fn reader(&self) -> &Reader<'_> {
        self.0.reader()
    }

    /// BLAKE3 over every logical key and value, and the number of keys.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn digest(&self) -> Result<([u8; 32], u64), ViewFault> {
        digest::hash(self.reader()).map_err(fault)
    }
}

impl<S: Records> StateView<S> {
    /// A view of these records.
    pub fn over(records: S) -> Self {
        Self(records)
    }

    /// The applied position and replicated time; none if nothing was ever applied.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn applied(&self) -> Result<Option<Applied>, ViewFault> {
        self.0
            .get(Family::Markers, &schema::APPLIED_KEY, decode_applied)
    }

    /// The membership, in the bytes of the consensus crate; none if none was ever applied.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn membership(&self) -> Result<Option<Bytes>, ViewFault> {
        self.0
            .get(Family::Markers, &schema::MEMBERSHIP_KEY, |plain| {
                Ok(Bytes::copy_from_slice(plain))
            })
    }

    /// The newest version of the person who has, or ever had, this number.
    ///
    /// # Errors
    /// [`ViewFault`]; an index entry without a person is one.
    pub fn get_by_pin(&self, pin: &Pin) -> Result<Option<PersonVersion>, ViewFault> {
        self.person_by_pin(pin)?
            .map(|person| self.existing(person))
            .transpose()
    }

    /// The newest version of the person who has this 9-digit identity card number.
    ///
    /// # Errors
    /// [`ViewFault`]; an index entry without a person is one.
    pub fn get_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonVersion>, ViewFault> {
        self.person_by_cmnd(cmnd)?
            .map(|person| self.existing(person))
            .transpose()
    }

    /// The persons whose newest version has this name (by its search form: lower case, NFC) and this birth date, by person id.
    ///
    /// # Errors
    /// [`ViewFault`]; an index entry without a person is one.
    pub fn find(
        &self,
        name: &PersonName,
        birth_date: BirthDate,
        limit: usize,
    ) -> Result<Found, ViewFault> {
        let search = name.search_key();
        let key = NameKey::of(name, birth_date);
        let mut found = Found {
            persons: Vec::new(),
            more: false,
        };
        self.0.scan(
            Family::Indexes,
            &schema::name_key(&key, PersonId(0)),
            &schema::name_key(&key, PersonId(u64::MAX)),
            |key, _| {
                let person = schema::parse_name_key(key)
                    .ok_or_else(|| fault("a NAME key has a wrong length"))?;
                let version = self.existing(person)?;
                // The key is a hash of eight bytes: another name may share it.
                if version.data.name.search_key() == search && version.data.birth_date == birth_date
                {
                    if found.persons.len() == limit {
                        found.more = true;
                        return Ok(false);
                    }
                    found.persons.push(version);
                }
                Ok(true)
            },
        )?;
        Ok(found)
    }

    /// One version of a person.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault> {
        self.0.get(
            Family::Versions,
            &schema::version_key(person, version),
            |plain| record::decode_version(person, version, plain).map_err(fault),
        )
    }

    /// The raw value under a key.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn raw_value(&self, key: &[u8]) -> Result<Option<Bytes>, ViewFault> {
        let key = schema::raw_value_key(key);
        self.0.get(Family::Indexes, &key, |plain| {
            Ok(Bytes::copy_from_slice(plain))
        })
    }

    /// Number of persons.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn count_persons(&self) -> Result<u64, ViewFault> {
        Ok(self.counters()?.persons)
    }

    /// Up to `count_max` events from `sequence` on, in order.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn events_from(
        &self,
        sequence: EventSequence,
        count_max: usize,
    ) -> Result<Vec<Event>, ViewFault> {
        let mut events = Vec::new();
        self.0.scan(
            Family::Events,
            &schema::event_key(sequence),
            &[schema::EVENT + 1],
            |key, plain| {
                if events.len() == count_max {
                    return Ok(false);
                }
                let sequence = schema::parse_event_key(key)
                    .ok_or_else(|| fault("an EVENT key has a wrong length"))?;
                events.push(record::decode_event(sequence, plain).map_err(fault)?);
                Ok(true)
            },
        )?;
        Ok(events)
    }

    /// Up to `count_max` audit records from a log index and an ordinal on, in order.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn audit_from(
        &self,
        index: u64,
        ordinal: u32,
        count_max: usize,
    ) -> Result<Vec<AuditRecord>, ViewFault> {
        let mut records = Vec::new();
        self.0.scan(
            Family::Audit,
            &schema::audit_key(index, ordinal),
            &[schema::AUDIT + 1],
            |key, plain| {
                if records.len() == count_max {
                    return Ok(false);
                }
                let (index, ordinal) = schema::parse_audit_key(key)
                    .ok_or_else(|| fault("an AUDIT key has a wrong length"))?;
                records.push(record::decode_audit(index, ordinal, plain).map_err(fault)?);
                Ok(true)
            },
        )?;
        Ok(records)
    }

    /// Calls `visit` with every number ever issued and its person, in the order of the numbers.
    ///
    /// # Errors
    /// [`ViewFault`], also from `visit`.
    pub fn visit_pins(
        &self,
        mut visit: impl FnMut(Pin, PersonId) -> Result<(), ViewFault>,
    ) -> Result<(), ViewFault> {
        self.0.scan(
            Family::Indexes,
            &[schema::PIN],
            &[schema::PIN + 1],
            |key, plain| {
                visit(decode_pin(key)?, decode_person(plain)?)?;
                Ok(true)
            },
        )
    }

    /// Calls `visit` with everything that is stored under idempotency keys, in order of key and principal.
    ///
    /// # Errors
    /// [`ViewFault`], also from `visit`.
    pub fn visit_outcomes(
        &self,
        mut visit: impl FnMut(IdempotencyKey, Principal, StoredOutcome) -> Result<(), ViewFault>,
    ) -> Result<(), ViewFault> {
        let (from, until) = ([schema::KEY], [schema::KEY + 1]);
        self.0.scan(Family::Indexes, &from, &until, |key, plain| {
            let (key, principal) = outcome_key(key)?;
            visit(key, principal, decode_outcome(plain)?)?;
            Ok(true)
        })
    }

    fn existing(&self, person: PersonId) -> Result<PersonVersion, ViewFault> {
        self.version(person)?.ok_or_else(|| {
            fault(format!(
                "an index leads to person {person}, who is not there"
            ))
        })
    }

    /// Calls `visit` with the versions of a person, newest first, until it returns false.
    fn scan_versions(
        &self,
        person: PersonId,
        mut visit: impl FnMut(PersonVersion) -> bool,
    ) -> Result<(), ViewFault> {
        let newest = schema::version_key(person, VersionNumber(u32::MAX));
        let oldest = schema::version_key(person, VersionNumber(0));
        self.0
            .scan(Family::Versions, &newest, &oldest, |key, plain| {
                let (person, version) = schema::parse_version_key(key)
                    .ok_or_else(|| fault("a VERSION key has a wrong length"))?;
                record::decode_version(person, version, plain)
                    .map(&mut visit)
                    .map_err(fault)
            })
    }
}

impl<S: Records> View for StateView<S> {
    fn version(&self, person: PersonId) -> Result<Option<PersonVersion>, ViewFault> {
        let mut newest = None;
        self.scan_versions(person, |version| {
            newest = Some(version);
            false
        })?;
        Ok(newest)
    }

    fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault> {
        let key = schema::version_key(person, version);
        self.0.get(Family::Versions, &key, |plain| {
            record::decode_version(person, version, plain).map_err(fault)
        })
    }

    fn person_by_pin(&self, pin: &Pin) -> Result<Option<PersonId>, ViewFault> {
        self.0
            .get(Family::Indexes, &schema::pin_key(pin), decode_person)
    }

    fn person_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonId>, ViewFault> {
        self.0
            .get(Family::Indexes, &schema::cmnd_key(cmnd), decode_person)
    }

    fn person_by_form(&self, form: &FormKey) -> Result<Option<PersonId>, ViewFault> {
        self.0
            .get(Family::Indexes, &schema::form_key(form), decode_person)
    }

    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredOutcome>, ViewFault> {
        let key = schema::outcome_key(key, principal);
        self.0.get(Family::Indexes, &key, decode_outcome)
    }

    fn stored_keys(
        &self,
        from: IdempotencyKey,
        until: Timestamp,
        count_max: usize,
    ) -> Result<Vec<(IdempotencyKey, Principal)>, ViewFault> {
        let mut keys = Vec::new();
        let (from, end) = (schema::outcomes_from(&from), [schema::KEY + 1]);
        self.0.scan(Family::Indexes, &from, &end, |key, _| {
            if keys.len() == count_max {
                return Ok(false);
            }
            let key = outcome_key(key)?;
            let goes_on = key.0.made() < until;
            keys.push(key);
            Ok(goes_on)
        })?;
        Ok(keys)
    }

    fn used_in_page(&self, page: &PinPage) -> Result<u16, ViewFault> {
        let used = self
            .0
            .get(Family::Indexes, &schema::page_key(page), decode_count)?;
        Ok(used.unwrap_or_default())
    }

    fn full_pages(&self, bucket: &PinBucket) -> Result<u16, ViewFault> {
        let key = schema::full_pages_key(bucket);
        let pages = self.0.get(Family::Indexes, &key, decode_count)?;
        Ok(pages.unwrap_or_default())
    }

    fn first_free_serial(
        &self,
        bucket: &PinBucket,
        serials: Range<u32>,
    ) -> Result<Option<u32>, ViewFault> {
        if serials.is_empty() {
            return Ok(None);
        }
        let mut expected = serials.start;
        let base = schema::parse_pin_key(&schema::pin_bucket_key(bucket, 0)).unwrap_or_default();
        self.0.scan(
            Family::Indexes,
            &schema::pin_bucket_key(bucket, serials.start),
            &schema::pin_bucket_key(bucket, serials.end),
            |key, _| {
                let number = schema::parse_pin_key(key)
                    .ok_or_else(|| fault("a PIN key has a wrong length"))?;
                let taken = number - base == u64::from(expected);
                expected += u32::from(taken);
                Ok(taken)
            },
        )?;
        Ok((expected < serials.end).then_some(expected))
    }

    fn counters(&self) -> Result<Counters, ViewFault> {
        Ok(self
            .0
            .get(Family::Markers, &schema::COUNTERS_KEY, decode_counters)?
            .unwrap_or_default())
    }
}

fn decode_pin(key: &[u8]) -> Result<Pin, ViewFault> {
    let number = schema::parse_pin_key(key).ok_or_else(|| fault("a PIN key has a wrong length"))?;
    Pin::parse(&format!("{number:012}")).map_err(|_| fault("a PIN key holds no valid number"))
}

fn decode_person(plain: &[u8]) -> Result<PersonId, ViewFault> {
    let person = plain.try_into();
    person
        .map(|person| PersonId(u64::from_be_bytes(person)))
        .map_err(|_| fault("an index value has a wrong length"))
}

fn decode_count(plain: &[u8]) -> Result<u16, ViewFault> {
    let count = plain.try_into();
    count
        .map(u16::from_be_bytes)
        .map_err(|_| fault("a count of numbers has a wrong length"))
}

fn decode_outcome(plain: &[u8]) -> Result<StoredOutcome, ViewFault> {
    record::decode_outcome(plain).map_err(fault)
}

fn outcome_key(key: &[u8]) -> Result<(IdempotencyKey, Principal), ViewFault> {
    schema::parse_outcome_key(key).ok_or_else(|| fault("a KEY key does not parse"))
}

pub(super) fn fault(cause: impl ToString) -> ViewFault {
    ViewFault(cause.to_string())
}

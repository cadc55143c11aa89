//! What apply may read: the state as of the entry before, and nothing else.

use std::ops::Range;

use crate::idempotency::IdempotencyKey;
use crate::ids::{PersonId, Timestamp, VersionNumber};
use crate::outcome::StoredOutcome;
use crate::page::PinPage;
use crate::person::PersonVersion;
use crate::pin::{Cmnd, Pin, PinBucket};
use crate::provenance::{FormKey, Principal};

/// Reading the state failed: a disk fault or a record that does not decode. The node must stop; guessing would make it
/// diverge from its peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading the state failed: {0}")]
pub struct ViewFault(pub String);

/// Counters of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Key of the next person, from 1.
    pub next_person: u64,
    /// Sequence of the next event, from 1.
    pub next_event: u64,
    /// Persons on record.
    pub persons: u64,
    /// Replicated time of the newest decision.
    pub last_time: Timestamp,
    /// Outcomes stored under idempotency keys.
    pub keys: u64,
    /// No outcome is stored under a key below this one; none while no outcome is stored. Here the search for expired keys
    /// begins, past those that were dropped before.
    pub first_key: Option<IdempotencyKey>,
}

impl Default for Counters {
    /// Those of an empty registry.
    fn default() -> Self {
        Self {
            next_person: 1,
            next_event: 1,
            persons: 0,
            last_time: Timestamp(0),
            keys: 0,
            first_key: None,
        }
    }
}

/// The state of the registry at one position.
pub trait View {
    /// The newest version of a person's record.
    ///
    /// # Errors
    /// The state could not be read; so for every method.
    fn version(&self, person: PersonId) -> Result<Option<PersonVersion>, ViewFault>;

    /// One version of a person's record.
    ///
    /// # Errors
    /// The state could not be read.
    fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault>;

    /// The person to whom a number was ever given, even if it was cancelled since.
    ///
    /// # Errors
    /// The state could not be read.
    fn person_by_pin(&self, pin: &Pin) -> Result<Option<PersonId>, ViewFault>;

    /// The person whose newest version carries a 9-digit card number.
    ///
    /// # Errors
    /// The state could not be read.
    fn person_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonId>, ViewFault>;

    /// The person whom a document registered.
    ///
    /// # Errors
    /// The state could not be read.
    fn person_by_form(&self, form: &FormKey) -> Result<Option<PersonId>, ViewFault>;

    /// What is stored under a principal's key.
    ///
    /// # Errors
    /// The state could not be read.
    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredOutcome>, ViewFault>;

    /// The keys under which outcomes are stored, from the key `from` on, in order of key and principal: those made before
    /// `until` and the first that was not; at most `count_max`. The work is in proportion to what is returned.
    ///
    /// # Errors
    /// The state could not be read.
    fn stored_keys(
        &self,
        from: IdempotencyKey,
        until: Timestamp,
        count_max: usize,
    ) -> Result<Vec<(IdempotencyKey, Principal)>, ViewFault>;

    /// How many numbers of the page are given out.
    ///
    /// # Errors
    /// The state could not be read.
    fn used_in_page(&self, page: &PinPage) -> Result<u16, ViewFault>;

    /// How many pages of the bucket have no free number left.
    ///
    /// # Errors
    /// The state could not be read.
    fn full_pages(&self, bucket: &PinBucket) -> Result<u16, ViewFault>;

    /// The first of these serials of the bucket (all below a million) that nobody has; `None` when all are given. The work
    /// is in proportion to the numbers that are passed: apply asks for one page at a time.
    ///
    /// # Errors
    /// The state could not be read.
    fn first_free_serial(
        &self,
        bucket: &PinBucket,
        serials: Range<u32>,
    ) -> Result<Option<u32>, ViewFault>;

    /// The counters.
    ///
    /// # Errors
    /// The state could not be read.
    fn counters(&self) -> Result<Counters, ViewFault>;
}

//! What a command does to the state, as data: the store carries it out, in one batch.

use crate::audit::AuditRecord;
use crate::event::Event;
use crate::idempotency::IdempotencyKey;
use crate::ids::PersonId;
use crate::name::NameKey;
use crate::outcome::{Outcome, StoredOutcome};
use crate::page::PinPage;
use crate::person::PersonVersion;
use crate::pin::{Cmnd, Pin, PinBucket};
use crate::provenance::{FormKey, Principal};
use crate::view::Counters;

/// One change of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Adds a version; it is the newest of its person.
    PutVersion(Box<PersonVersion>),
    /// Gives a number to a person, for ever.
    BindPin {
        /// The number.
        pin: Pin,
        /// The person.
        person: PersonId,
    },
    /// So many numbers of the page are given out.
    CountPage {
        /// The page.
        page: PinPage,
        /// Numbers given out, this one included.
        used: u16,
    },
    /// So many pages of the bucket have no free number left.
    CountFullPages {
        /// The bucket.
        bucket: PinBucket,
        /// Full pages.
        pages: u16,
    },
    /// The person's newest version carries this card number.
    BindCmnd {
        /// The card number.
        cmnd: Cmnd,
        /// The person.
        person: PersonId,
    },
    /// No newest version carries this card number any more.
    UnbindCmnd {
        /// The card number.
        cmnd: Cmnd,
    },
    /// The document registered this person.
    BindForm {
        /// The document.
        form: FormKey,
        /// The person.
        person: PersonId,
    },
    /// The person's newest version has this name and birth date.
    IndexName {
        /// Key of name and birth date.
        key: NameKey,
        /// The person.
        person: PersonId,
    },
    /// The person's newest version has this name and birth date no more.
    UnindexName {
        /// Key of name and birth date.
        key: NameKey,
        /// The person.
        person: PersonId,
    },
    /// Keeps the first outcome under a key.
    PutOutcome {
        /// Whose key.
        principal: Principal,
        /// The key.
        key: IdempotencyKey,
        /// The outcome.
        stored: Box<StoredOutcome>,
    },
    /// Drops the outcome under a key whose window has passed.
    DropOutcome {
        /// Whose key.
        principal: Principal,
        /// The key.
        key: IdempotencyKey,
    },
    /// Adds an event.
    AppendEvent(Event),
    /// Adds an audit record.
    AppendAudit(Box<AuditRecord>),
    /// Sets the counters.
    PutCounters(Counters),
}

/// What a command does, and what is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The changes, in order.
    pub mutations: Vec<Mutation>,
    /// The answer.
    pub outcome: Outcome,
}

//! What a group of entries does to the state: the domain decides, and every change is gathered under its key.
//!
//! Pure but for the view: it writes nothing. The apply thread writes what comes out as one batch, and so does the simulation.

use banyan_domain::seeded_bugs::{SeededBug, planted};
use banyan_domain::{ApplyContext, Mutation, OverlayView, Timestamp, ViewFault, apply, expire};
use banyan_wire::record;
use bytes::Bytes;

use super::apply::{EntryKind, EntryResult, StateEntry};
use super::batch::Changes;
use super::markers;
use super::records::Records;
use super::schema::{self, Family};
use super::view::{Applied, StateView};
use crate::fault::Fault;

/// How large a group may become.
#[derive(Clone, Copy, Debug)]
pub struct GroupBounds {
    /// Bytes of changes after which no further entry joins it.
    pub bytes: usize,
    /// The same for commands.
    pub commands: usize,
    /// Whether entries may leave gaps, as those of openraft's store suite do.
    pub conformance: bool,
}

/// What a group does.
#[derive(Debug)]
pub struct Decided {
    /// One result for each entry that was taken, in order: the others are for the next group.
    pub results: Vec<EntryResult>,
    /// Where the state stands after it; none if nothing was ever applied.
    pub applied: Option<Applied>,
    /// The membership that it sets.
    pub membership: Option<Bytes>,
    /// Commands in it.
    pub commands: usize,
    /// Whether its last entry is a digest mark.
    pub marked: bool,
    /// What is to be written, as one batch: state, indexes, events, outcomes, audit and position.
    pub changes: Changes,
}

/// Applies entries to what `view` shows, which stands at `applied`, until the group is full or a digest mark ends it.
///
/// # Errors
/// A fault, after which the node must stop: an entry out of order, or a record that cannot be read.
pub fn decide<S: Records>(
    view: &StateView<S>,
    applied: Option<Applied>,
    entries: &[StateEntry],
    bounds: &GroupBounds,
) -> Result<Decided, Fault> {
    let mut group = Group {
        overlay: OverlayView::new(view),
        changes: Changes::with_capacity(64 << 10),
        applied,
        membership: None,
        commands: 0,
        conformance: bounds.conformance,
    };
    let mut results = Vec::new();
    let mut marked = false;
    for entry in entries {
        results.push(group.add(entry)?);
        marked = matches!(entry.kind, EntryKind::DigestMark);
        if marked || group.changes.bytes() >= bounds.bytes || group.commands >= bounds.commands {
            break;
        }
    }
    let Group {
        changes,
        applied,
        membership,
        commands,
        ..
    } = group.finish();
    Ok(Decided {
        results,
        applied,
        membership,
        commands,
        marked,
        changes,
    })
}

/// A write group while it is put together.
struct Group<'a, S> {
    overlay: OverlayView<'a, StateView<S>>,
    changes: Changes,
    applied: Option<Applied>,
    membership: Option<Bytes>,
    commands: usize,
    conformance: bool,
}

impl<S: Records> Group<'_, S> {
    fn add(&mut self, entry: &StateEntry) -> Result<EntryResult, Fault> {
        let position = entry.position;
        let previous = self.applied.map(|applied| applied.position);
        let in_order = previous.is_none_or(|previous| {
            position.index == previous.index + 1 && position.term >= previous.term
        });
        if !in_order && !self.conformance {
            return Err(Fault::new(
                "state",
                format!("entry {position} is not the next one after {previous:?}"),
            ));
        }
        let cannot_read =
            |error: ViewFault| Fault::new("state", format!("apply of {position}: {}", error.0));
        let mut time = self.applied.map_or(Timestamp(0), |applied| applied.time);
        let mut outcomes = Vec::new();
        match &entry.kind {
            EntryKind::Blank | EntryKind::DigestMark => {}
            EntryKind::Membership(_) if planted(SeededBug::MembershipNotStored) => {}
            EntryKind::Membership(membership) => self.membership = Some(membership.clone()),
            EntryKind::Commands {
                time: stamp,
                envelopes,
            } => {
                time = time.max(*stamp);
                outcomes.reserve(envelopes.len());
                let dropped =
                    expire(&self.overlay, *stamp, envelopes.len()).map_err(cannot_read)?;
                self.carry_out(dropped);
                for (ordinal, envelope) in (0_u32..).zip(envelopes) {
                    let context = ApplyContext {
                        position,
                        ordinal,
                        time: *stamp,
                    };
                    let mut transition =
                        apply(&self.overlay, &context, envelope).map_err(cannot_read)?;
                    if ordinal > 0 && planted(SeededBug::EventLost) {
                        let stays =
                            |mutation: &Mutation| !matches!(mutation, Mutation::AppendEvent(_));
                        transition.mutations.retain(stays);
                    }
                    self.carry_out(transition.mutations);
                    outcomes.push(transition.outcome);
                }
                self.commands += envelopes.len();
            }
            EntryKind::Values(values) => {
                for value in values {
                    let key = schema::raw_value_key(&value.key);
                    self.changes.put(Family::Indexes, &key, &value.value);
                }
                self.commands += values.len();
            }
        }
        self.applied = Some(Applied { position, time });
        Ok(EntryResult { position, outcomes })
    }

    fn carry_out(&mut self, mutations: Vec<Mutation>) {
        for mutation in mutations.iter().filter(|mutation| carried(mutation)) {
            stage(&mut self.changes, mutation);
        }
        if !planted(SeededBug::OverlayMissing) {
            self.overlay.absorb(mutations);
        }
    }

    /// Adds what the group as a whole changes.
    fn finish(mut self) -> Self {
        if let Some(applied) = self.applied {
            self.changes.put(
                Family::Markers,
                &schema::APPLIED_KEY,
                &markers::encode_applied(applied),
            );
        }
        if let Some(membership) = &self.membership {
            self.changes
                .put(Family::Markers, &schema::MEMBERSHIP_KEY, membership);
        }
        self
    }
}

/// Whether a mutation is carried out: always, unless a seeded bug loses it.
fn carried(mutation: &Mutation) -> bool {
    match mutation {
        Mutation::PutOutcome { .. } => !planted(SeededBug::OutcomeNotStored),
        Mutation::UnindexName { .. } => !planted(SeededBug::NameIndexStale),
        Mutation::AppendAudit(_) => !planted(SeededBug::AuditLost),
        Mutation::BindForm { .. } => !planted(SeededBug::FormNotBound),
        Mutation::CountPage { .. } => !planted(SeededBug::PageNotCounted),
        _ => true,
    }
}

/// Turns a mutation into changes of keys.
fn stage(changes: &mut Changes, mutation: &Mutation) {
    let person_bytes = |person: &banyan_domain::PersonId| person.get().to_be_bytes();
    match mutation {
        Mutation::PutVersion(version) => changes.put(
            Family::Versions,
            &schema::version_key(version.person, version.version),
            &record::encode_version(version),
        ),
        Mutation::BindPin { pin, person } => {
            changes.put(
                Family::Indexes,
                &schema::pin_key(pin),
                &person_bytes(person),
            );
        }
        Mutation::CountPage { page, used } => {
            changes.put(
                Family::Indexes,
                &schema::page_key(page),
                &used.to_be_bytes(),
            );
        }
        Mutation::CountFullPages { bucket, pages } => {
            let key = schema::full_pages_key(bucket);
            changes.put(Family::Indexes, &key, &pages.to_be_bytes());
        }
        Mutation::BindCmnd { cmnd, person } => {
            changes.put(
                Family::Indexes,
                &schema::cmnd_key(cmnd),
                &person_bytes(person),
            );
        }
        Mutation::UnbindCmnd { cmnd } => changes.delete(Family::Indexes, &schema::cmnd_key(cmnd)),
        Mutation::BindForm { form, person } => {
            changes.put(
                Family::Indexes,
                &schema::form_key(form),
                &person_bytes(person),
            );
        }
        Mutation::IndexName { key, person } => {
            changes.put(Family::Indexes, &schema::name_key(key, *person), &[]);
        }
        Mutation::UnindexName { key, person } => {
            changes.delete(Family::Indexes, &schema::name_key(key, *person));
        }
        Mutation::PutOutcome {
            principal,
            key,
            stored,
        } => changes.put(
            Family::Indexes,
            &schema::outcome_key(key, principal),
            &record::encode_outcome(stored),
        ),
        Mutation::DropOutcome { principal, key } => {
            changes.delete(Family::Indexes, &schema::outcome_key(key, principal));
        }
        Mutation::AppendEvent(event) => {
            changes.put(
                Family::Events,
                &schema::event_key(event.sequence),
                &record::encode_event(event),
            );
        }
        Mutation::AppendAudit(audit) => changes.put(
            Family::Audit,
            &schema::audit_key(audit.position.index, audit.ordinal),
            &record::encode_audit(audit),
        ),
        Mutation::PutCounters(counters) => {
            changes.put(
                Family::Markers,
                &schema::COUNTERS_KEY,
                &markers::encode_counters(counters),
            );
        }
    }
}

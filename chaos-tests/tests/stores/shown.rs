//! What readers of a state see, through the views that real and simulated states share.

use banyan_domain::{EventSequence, IdempotencyKey, PersonId, Timestamp, View as _, ViewFault};
use banyan_storage::{Records, StateView};
use banyan_wire::record;

/// Pieces that a list is read in: smaller than the lists.
const PIECE: usize = 7;

/// One line for each thing read, with a hash of what it was.
pub(crate) fn shown<R: Records>(view: &StateView<R>) -> Result<Vec<String>, ViewFault> {
    let mut lines = vec![
        format!("{:?} {:?}", view.applied()?, view.membership()?),
        format!("{:?}", view.counters()?),
    ];
    let mut pins = Vec::new();
    view.visit_pins(|pin, person| {
        pins.push((pin, person));
        Ok(())
    })?;
    for (pin, person) in pins.iter().step_by(1 + pins.len() / 12) {
        let newest = view.get_by_pin(pin)?;
        let newest = newest.map(|version| (version.version, record::encode_version(&version)));
        lines.push(format!("person {} {}", person.get(), hash(&newest)));
        let free = view.first_free_serial(&pin.bucket(), 0..60)?;
        lines.push(format!("free {free:?} {}", view.full_pages(&pin.bucket())?));
        if let Some(version) = view.version(*person)? {
            let namesakes = view.find(&version.data.name, version.data.birth_date, 2)?;
            let persons: Vec<PersonId> = namesakes.persons.iter().map(|one| one.person).collect();
            lines.push(format!("namesakes {persons:?} {}", namesakes.more));
        }
    }
    let mut next = EventSequence(0);
    loop {
        let events = view.events_from(next, PIECE)?;
        let Some(last) = events.last() else { break };
        next = EventSequence(last.sequence.get() + 1);
        let events: Vec<_> = events.iter().map(record::encode_event).collect();
        lines.push(format!("events before {next:?} {}", hash(&events)));
    }
    let mut from = (0, 0);
    loop {
        let audit = view.audit_from(from.0, from.1, PIECE)?;
        let Some(last) = audit.last() else { break };
        from = (last.position.index, last.ordinal + 1);
        let audit: Vec<_> = audit.iter().map(record::encode_audit).collect();
        lines.push(format!("audit before {from:?} {}", hash(&audit)));
    }
    let mut stored = 0;
    view.visit_outcomes(|_, _, _| {
        stored += 1;
        Ok(())
    })?;
    let first = IdempotencyKey::new(Timestamp(0), [0; 10]);
    let until = Timestamp(i64::MAX >> 20);
    let keys = view.stored_keys(first, until, PIECE)?;
    lines.push(format!("{stored} outcomes, from {}", hash(&keys)));
    Ok(lines)
}

/// Of what is printed: short, and equal where that is.
fn hash(what: &impl std::fmt::Debug) -> String {
    let hash = blake3::hash(format!("{what:?}").as_bytes()).to_hex();
    hash.as_str()[..12].to_owned()
}

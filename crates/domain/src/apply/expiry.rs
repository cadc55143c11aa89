//! Dropping the outcomes under keys whose window has passed: by replicated time, in log order, a bounded number for each entry.
//!
//! Keys are stored in the order in which they were made, so the expired ones stand in front, and the counters remember where
//! the first may stand: the search never passes over what was dropped before, and costs nothing while nothing has expired.
//! Whether a key is answered does not depend on this (see `replay`): dropping only gives room back.

use crate::idempotency::{IdempotencyKey, Standing};
use crate::ids::Timestamp;
use crate::limits::{KEY_WINDOW_MS, KEYS_DROPPED_BEYOND_COMMANDS};
use crate::seeded_bugs::{SeededBug, planted};
use crate::transition::Mutation;
use crate::view::{View, ViewFault};

/// What an entry drops before its commands are applied: at most one outcome for each command, and
/// [`KEYS_DROPPED_BEYOND_COMMANDS`] more. `stamp` is the leader's. Empty while nothing has expired.
///
/// # Errors
/// The state could not be read; the node must stop.
pub fn expire(
    view: &impl View,
    stamp: Timestamp,
    commands: usize,
) -> Result<Vec<Mutation>, ViewFault> {
    let mut counters = view.counters()?;
    let mut time = counters.last_time.max(stamp);
    if planted(SeededBug::KeysDroppedEarly) {
        time = Timestamp(time.get().saturating_add(KEY_WINDOW_MS));
    }
    let Some(first) = counters.first_key else {
        return Ok(Vec::new());
    };
    if first.standing(time) != Standing::Expired {
        return Ok(Vec::new());
    }
    let dropped_max = commands.saturating_add(KEYS_DROPPED_BEYOND_COMMANDS);
    let until = IdempotencyKey::window_start(time);
    // One more than may be dropped: the first that stays.
    let keys = view.stored_keys(first, until, dropped_max.saturating_add(1))?;
    let mut mutations = Vec::with_capacity(keys.len() + 1);
    counters.first_key = None;
    for (key, principal) in keys {
        if mutations.len() == dropped_max || key.made() >= until {
            counters.first_key = Some(key);
            break;
        }
        mutations.push(Mutation::DropOutcome { principal, key });
    }
    counters.keys = counters.keys.saturating_sub(mutations.len() as u64);
    mutations.push(Mutation::PutCounters(counters));
    Ok(mutations)
}

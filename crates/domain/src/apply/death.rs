//! Record of a death, or of being declared missing.

use super::registration::{death_fits, findings};
use super::{Decided, Work};
use crate::codes::{DeathKind, LifeStatus};
use crate::command::RecordDeath;
use crate::event::EventKind;
use crate::person::PersonVersion;
use crate::policy::Resource;
use crate::rejection::Rejection;
use crate::view::View;

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &RecordDeath) -> Decided {
    let Some(current) = work.person(&command.pin)? else {
        return Ok(Err(Rejection::PersonNotFound));
    };
    if let Err(rejection) = fits(work, command, &current) {
        return Ok(Err(rejection));
    }
    let findings = findings(&current.pin, &current.data, Some(&command.death));
    let mut version = work.successor(&current, current.data.clone(), findings);
    version.death = Some(command.death.clone());
    Ok(Ok(work.change(
        version,
        EventKind::DeathRecorded,
        Vec::with_capacity(5),
        0,
    )))
}

/// Nobody dies twice; a missing person may be found dead, and is not declared missing again.
fn fits<V: View>(
    work: &Work<'_, V>,
    command: &RecordDeath,
    current: &PersonVersion,
) -> Result<(), Rejection> {
    work.allowed(&Resource::RecordAndDeath(&current.data, &command.death))?;
    match (current.life_status(), command.death.kind) {
        (LifeStatus::Alive, _) | (LifeStatus::Missing, DeathKind::Deceased) => {}
        _ => return Err(Rejection::PersonAlreadyDeceased),
    }
    death_fits(work, &current.data, &command.death, "death.date")
}

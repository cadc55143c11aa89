//! Record of a death, or of being declared missing.

use super::registration::{death_fits, findings};
use super::{Decided, Work};
use crate::codes::{DeathKind, FindingCode, LifeStatus};
use crate::command::RecordDeath;
use crate::event::EventKind;
use crate::limits::FINDINGS_MAX;
use crate::person::{Finding, PersonVersion};
use crate::policy::{self, Resource};
use crate::rejection::Rejection;
use crate::view::View;

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &RecordDeath) -> Decided {
    let Some(current) = work.person(&command.pin)? else {
        return Ok(Err(Rejection::PersonNotFound));
    };
    if let Err(rejection) = fits(work, command, &current) {
        return Ok(Err(rejection));
    }
    let mut findings = findings(&current.pin, &current.data, Some(&command.death));
    let area = work.envelope.actor.role.area();
    if area.is_some_and(|area| !policy::is_at_home(&current.data, area)) {
        add_elsewhere(&mut findings);
    }
    let mut version = work.successor(&current, current.data.clone(), findings);
    version.death = Some(command.death.clone());
    Ok(Ok(work.change(
        version,
        EventKind::DeathRecorded,
        Vec::with_capacity(5),
        0,
    )))
}

/// Tells the person's own area that the death was recorded where it happened. It stands first, so that no bound cuts it off.
fn add_elsewhere(findings: &mut Vec<Finding>) {
    let finding = Finding {
        code: FindingCode::DeathRecordedElsewhere,
        field: String::from("death.place"),
    };
    findings.insert(0, finding);
    findings.truncate(FINDINGS_MAX);
}

/// Takes over what the version before says of where its death was recorded.
pub(super) fn keep_elsewhere(before: &PersonVersion, findings: &mut Vec<Finding>) {
    let told = |finding: &Finding| finding.code == FindingCode::DeathRecordedElsewhere;
    if before.findings.iter().any(told) {
        add_elsewhere(findings);
    }
}

/// Nobody dies twice; a missing person may be found dead, and is not declared missing again.
fn fits<V: View>(
    work: &Work<'_, V>,
    command: &RecordDeath,
    current: &PersonVersion,
) -> Result<(), Rejection> {
    work.allowed(&Resource::Death {
        data: &current.data,
        death: &command.death,
        document: work.envelope.head.document.kind,
    })?;
    match (current.life_status(), command.death.kind) {
        (LifeStatus::Alive, _) | (LifeStatus::Missing, DeathKind::Deceased) => {}
        _ => return Err(Rejection::PersonAlreadyDeceased),
    }
    death_fits(work, &current.data, &command.death, "death.date")
}

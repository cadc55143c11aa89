//! Correction of a record: a new version, while the old one stays.

use super::death::keep_elsewhere;
use super::registration::{findings, number_contradicts};
use super::{Decided, Work, index_name};
use crate::command::CorrectPerson;
use crate::date::CalendarDate;
use crate::event::EventKind;
use crate::name::NameKey;
use crate::person::PersonVersion;
use crate::policy::Resource;
use crate::rejection::Rejection;
use crate::seeded_bugs::{SeededBug, planted};
use crate::transition::Mutation;
use crate::view::View;

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &CorrectPerson) -> Decided {
    let Some(current) = work.person(&command.pin)? else {
        return Ok(Err(Rejection::PersonNotFound));
    };
    if let Err(rejection) = fits(work, command, &current) {
        return Ok(Err(rejection));
    }
    let (before, after) = (&current.data, &command.data);
    let mut mutations = Vec::with_capacity(7);
    if before.cmnd != after.cmnd {
        if let Some(cmnd) = after.cmnd {
            if work.view.person_by_cmnd(&cmnd)?.is_some() {
                return Ok(Err(Rejection::CmndAlreadyRegistered));
            }
            mutations.push(Mutation::BindCmnd {
                cmnd,
                person: current.person,
            });
        }
        if let Some(cmnd) = before.cmnd {
            mutations.push(Mutation::UnbindCmnd { cmnd });
        }
    }
    let old_key = NameKey::of(&before.name, before.birth_date);
    if old_key != NameKey::of(&after.name, after.birth_date) {
        mutations.push(Mutation::UnindexName {
            key: old_key,
            person: current.person,
        });
        mutations.push(index_name(after, current.person));
    }
    let mut findings = findings(&current.pin, after, current.death.as_ref());
    // What is said of the record of a death holds as long as that record does.
    keep_elsewhere(&current, &mut findings);
    let said = if planted(SeededBug::CorrectionForgotten) {
        before
    } else {
        after
    };
    let version = work.successor(&current, said.clone(), findings);
    Ok(Ok(work.change(
        version,
        EventKind::PersonCorrected,
        mutations,
        0,
    )))
}

fn fits<V: View>(
    work: &Work<'_, V>,
    command: &CorrectPerson,
    current: &PersonVersion,
) -> Result<(), Rejection> {
    work.allowed(&Resource::Record(&current.data))?;
    if current.version != command.expected_version && !planted(SeededBug::VersionNotCompared) {
        return Err(Rejection::VersionConflict {
            current: current.version,
        });
    }
    if command
        .data
        .birth_date
        .certainly_after(CalendarDate::in_viet_nam(work.time))
    {
        return Err(Rejection::DateInFuture {
            field: String::from("data.birth_date"),
        });
    }
    if current
        .death
        .as_ref()
        .is_some_and(|death| death.date.certainly_before(command.data.birth_date))
    {
        return Err(Rejection::DeathBeforeBirth);
    }
    match number_contradicts(&current.pin, &current.data, &command.data) {
        Some(what) => Err(Rejection::PinReestablishmentRequired { what }),
        None => Ok(()),
    }
}

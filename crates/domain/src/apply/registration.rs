//! Registration from a collected form, and what every first registration shares.

use super::{Change, Decided, Work, allotment, form_key, index_name, person_of_form};
use crate::codes::FindingCode;
use crate::command::RegisterPerson;
use crate::date::CalendarDate;
use crate::event::EventKind;
use crate::limits::FINDINGS_MAX;
use crate::person::{Death, Finding, PersonData};
use crate::pin::{Contradiction, Pin};
use crate::places::CountryCode;
use crate::policy::Resource;
use crate::rejection::Rejection;
use crate::transition::Mutation;
use crate::units::Units;
use crate::view::{View, ViewFault};

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &RegisterPerson) -> Decided {
    let data = &command.data;
    let resource = Resource::Registration {
        data,
        pin: command.pin.as_ref(),
    };
    if let Err(rejection) = work.allowed(&resource) {
        return Ok(Err(rejection));
    }
    if let Some(death) = &command.death
        && let Err(rejection) = death_fits(work, data, death, "death.date")
    {
        return Ok(Err(rejection));
    }
    register(
        work,
        data.clone(),
        command.pin,
        command.death.clone(),
        EventKind::PersonRegistered,
        "data.",
    )
}

/// The first version of a new person, with the number given or a new one. `root` is what stands before the fields of the
/// record in the command.
pub(super) fn register<V: View>(
    work: &Work<'_, V>,
    data: PersonData,
    pin: Option<Pin>,
    death: Option<Death>,
    event: EventKind,
    root: &str,
) -> Decided {
    let today = CalendarDate::in_viet_nam(work.time);
    if data.birth_date.certainly_after(today) {
        return Ok(Err(Rejection::DateInFuture {
            field: format!("{root}birth_date"),
        }));
    }
    if person_of_form(work.view, work.envelope)?.is_some() {
        return Ok(Err(Rejection::FormAlreadyRegistered));
    }
    if let Some(cmnd) = &data.cmnd
        && work.view.person_by_cmnd(cmnd)?.is_some()
    {
        return Ok(Err(Rejection::CmndAlreadyRegistered));
    }
    let pin = match pin {
        Some(pin) => match check(work.view, &pin, &data)? {
            Ok(()) => pin,
            Err(rejection) => return Ok(Err(rejection)),
        },
        None => match allotment::allot(work.view, &data, work.envelope.salt, root)? {
            Ok(pin) => pin,
            Err(rejection) => return Ok(Err(rejection)),
        },
    };
    let findings = findings(&pin, &data, death.as_ref());
    let mut version = work.first_version(pin, data, findings);
    version.death = death;
    let person = version.person;
    let mut mutations = Vec::with_capacity(10);
    allotment::bind(work.view, pin, person, &mut mutations)?;
    if let Some(cmnd) = version.data.cmnd {
        mutations.push(Mutation::BindCmnd { cmnd, person });
    }
    mutations.push(Mutation::BindForm {
        form: form_key(work.envelope),
        person,
    });
    mutations.push(index_name(&version.data, person));
    let change: Change = work.change(version, event, mutations, 1);
    Ok(Ok(change))
}

/// A number that was issued before: free here, and not in contradiction with the record.
fn check(
    view: &impl View,
    pin: &Pin,
    data: &PersonData,
) -> Result<Result<(), Rejection>, ViewFault> {
    if let Some(what) = pin.contradicts(data.birth_date, data.sex) {
        return Ok(Err(Rejection::PinContradictsRecord { what }));
    }
    Ok(match view.person_by_pin(pin)? {
        Some(_) => Err(Rejection::PinAlreadyRegistered),
        None => Ok(()),
    })
}

/// What could not be confirmed about a version as a whole, at most [`FINDINGS_MAX`]. Each version is judged anew, so that
/// its findings are about what it says and not about what an earlier one said.
pub(super) fn findings(pin: &Pin, data: &PersonData, death: Option<&Death>) -> Vec<Finding> {
    let mut findings = data.findings();
    if place_contradicts(pin, data) {
        findings.push(Finding {
            code: FindingCode::PinOfOtherProvince,
            field: String::from("birth_registration_place.province"),
        });
    }
    if let Some(death) = death {
        Units::current().findings(&death.place, "death.place", &mut findings);
    }
    findings.truncate(FINDINGS_MAX);
    findings
}

/// Whether the number opens with another place than that of the birth registration. A place that is not known contradicts
/// nothing.
fn place_contradicts(pin: &Pin, data: &PersonData) -> bool {
    let place = &data.birth_registration_place;
    let registered = Units::current().province_of(place);
    (registered.is_some() || place.is_abroad()) && pin.bucket().province() != registered
}

/// A death after the birth and not after today.
pub(super) fn death_fits<V: View>(
    work: &Work<'_, V>,
    data: &PersonData,
    death: &Death,
    field: &str,
) -> Result<(), Rejection> {
    if death.date.certainly_before(data.birth_date) {
        return Err(Rejection::DeathBeforeBirth);
    }
    if death
        .date
        .certainly_after(CalendarDate::in_viet_nam(work.time))
    {
        return Err(Rejection::DateInFuture {
            field: field.to_owned(),
        });
    }
    Ok(())
}

/// What of a corrected record contradicts its number, if that part was changed by the correction.
pub(super) fn number_contradicts(
    pin: &Pin,
    before: &PersonData,
    after: &PersonData,
) -> Option<Contradiction> {
    let units = Units::current();
    let year_or_sex_changed =
        before.birth_date.year() != after.birth_date.year() || before.sex != after.sex;
    if year_or_sex_changed && let Some(what) = pin.contradicts(after.birth_date, after.sex) {
        return Some(what);
    }
    let province = |data: &PersonData| units.province_of(&data.birth_registration_place);
    let abroad = |data: &PersonData| {
        data.birth_registration_place
            .country
            .filter(|country| *country != CountryCode::VN)
    };
    let place_changed = province(before) != province(after) || abroad(before) != abroad(after);
    (place_changed && place_contradicts(pin, after)).then_some(Contradiction::PlaceCode)
}

//! Registration from a collected form, and what every first registration shares.

use super::{Change, Decided, Work, index_name};
use crate::codes::FindingCode;
use crate::command::RegisterPerson;
use crate::date::CalendarDate;
use crate::event::EventKind;
use crate::limits::{FINDINGS_MAX, PIN_TRIES_MAX};
use crate::person::{Death, Finding, PersonData};
use crate::pin::{Contradiction, Pin, PinBucket};
use crate::places::CountryCode;
use crate::policy::Resource;
use crate::rejection::{PlaceProblem, Rejection};
use crate::transition::Mutation;
use crate::units::Units;
use crate::view::{View, ViewFault};

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &RegisterPerson) -> Decided {
    let data = &command.data;
    if let Err(rejection) = work.allowed(&Resource::Record(data)) {
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
    )
}

/// The first version of a new person, with the number given or a new one.
pub(super) fn register<V: View>(
    work: &Work<'_, V>,
    data: PersonData,
    pin: Option<Pin>,
    death: Option<Death>,
    event: EventKind,
) -> Decided {
    let today = CalendarDate::in_viet_nam(work.time);
    if data.birth_date.certainly_after(today) {
        return Ok(Err(Rejection::DateInFuture {
            field: String::from("birth_date"),
        }));
    }
    let form = work.envelope.head.form_key();
    if work.view.person_by_form(&form)?.is_some() {
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
        None => match allot(work.view, &data, work.envelope.salt)? {
            Ok(pin) => pin,
            Err(rejection) => return Ok(Err(rejection)),
        },
    };
    let findings = findings(&pin, &data, death.as_ref());
    let mut version = work.first_version(pin, data, findings);
    version.death = death;
    let person = version.person;
    let mut mutations = Vec::with_capacity(9);
    mutations.push(Mutation::BindPin { pin, person });
    if let Some(cmnd) = version.data.cmnd {
        mutations.push(Mutation::BindCmnd { cmnd, person });
    }
    mutations.push(Mutation::BindForm { form, person });
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

/// A new number: the first free one of the salted sequence of the bucket, and where that runs long, of the bucket.
fn allot(
    view: &impl View,
    data: &PersonData,
    salt: u64,
) -> Result<Result<Pin, Rejection>, ViewFault> {
    let place = &data.birth_registration_place;
    let problem = |reason| Ok(Err(Rejection::BirthPlaceUnknown { reason }));
    if place.is_abroad() {
        return problem(PlaceProblem::Abroad);
    }
    let Some(province) = Units::current().province_of(place) else {
        return problem(PlaceProblem::ProvinceUnknown);
    };
    let Ok(bucket) = PinBucket::for_person(province, data.birth_date, data.sex) else {
        return problem(PlaceProblem::BornBefore1900);
    };
    let mut last = 0;
    for serial in bucket.serials(salt).take(PIN_TRIES_MAX) {
        let pin = Pin::in_bucket(bucket, serial);
        if view.person_by_pin(&pin)?.is_none() {
            return Ok(Ok(pin));
        }
        last = serial;
    }
    Ok(match view.first_free_serial(&bucket, last)? {
        Some(serial) => Ok(Pin::in_bucket(bucket, serial)),
        None => Err(Rejection::BucketExhausted),
    })
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

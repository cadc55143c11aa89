//! Registration of a birth: the eight items, answered with a new number (Decree 137/2015/ND-CP Art. 14).

use super::{Decided, Work, registration};
use crate::command::RegisterBirth;
use crate::date::BirthDate;
use crate::event::EventKind;
use crate::person::PersonData;
use crate::places::Place;
use crate::policy::Resource;
use crate::view::View;

pub(super) fn decide<V: View>(work: &Work<'_, V>, command: &RegisterBirth) -> Decided {
    if let Err(rejection) = work.allowed(&Resource::BirthPlace(&command.birth_registration_place)) {
        return Ok(Err(rejection));
    }
    registration::register(
        work,
        record(command),
        None,
        None,
        EventKind::BirthRegistered,
        "",
    )
}

/// The record that the eight items make. What they do not say stays unsaid: residence is registered by its own procedure.
fn record(command: &RegisterBirth) -> PersonData {
    PersonData {
        name: command.name.clone(),
        birth_date: BirthDate::Full(command.birth_date),
        sex: command.sex,
        birth_registration_place: command.birth_registration_place.clone(),
        native_place: command.native_place.clone(),
        ethnicity: command.ethnicity,
        religion: None,
        nationalities: command.nationalities.clone(),
        marital_status: None,
        permanent_residence: Place::default(),
        temporary_residence: None,
        temporary_absence: None,
        current_residence: Place::default(),
        blood_group: None,
        father: command.father.clone(),
        mother: command.mother.clone(),
        spouse: None,
        legal_representative: command.legal_representative.clone(),
        household: None,
        cmnd: None,
    }
}

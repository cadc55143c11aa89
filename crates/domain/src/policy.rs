//! Who may do what: one pure table, default deny. Runs at the edge before a command is proposed and again in apply.
//!
//! | action | registrar of an area | centre | operator |
//! |---|---|---|---|
//! | register a person | record in the area | yes | no |
//! | ... under a number issued before | also: birth registration in the area, and the number opens with its province | yes | no |
//! | register a birth | birth registration in the area | yes | no |
//! | correct a person | record in the area | yes | no |
//! | record a death | home in the area; or death in the area, with a death certificate or a court's decision | yes | no |
//! | read a person, find, history | in the area: all; elsewhere: identity fields | yes | no |
//! | scan persons by number | numbers of the province that is the area: records in the area | yes | no |
//! | administer the cluster, read metrics | no | no | yes |
//!
//! A record is *in an area* if its place of birth registration or its permanent, temporary or current residence lies
//! there. A person's *home* is the permanent residence, and where none is known the temporary residence and the place of
//! birth registration. A number that was issued before and names another place than the registrar's area is for the centre to
//! confirm and enter: whoever could write it down could use up the numbers of any province (ADR 0017).
//!
//! The identity fields are number, name, birth date, sex, nationality and life status: what a look-up by number, name and
//! birth date must show so that the registrar knows whom it found (Decree 70/2024/ND-CP Art. 10). The rest is withheld by
//! name, never silently left out.

use crate::command::{Command, Envelope};
use crate::ids::PersonId;
use crate::person::{Death, PersonData};
use crate::pin::Pin;
use crate::places::{AreaCode, Place, ProvinceCode};
use crate::provenance::{Actor, CommandName, DocumentKind, Role};
use crate::units::Units;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Submit a command.
    Submit(CommandName),
    /// Read one person by number.
    ReadPerson,
    /// Find persons by number, name and birth date.
    FindPersons,
    /// Read all versions of a record.
    ReadHistory,
    /// Read everyone of a scope, in the order of the numbers.
    ScanPersons,
    /// Form the cluster, move leadership, read its state, take digests.
    AdministerCluster,
    /// Read metrics and the description of the service.
    ReadMetrics,
}

/// What it is to be done to.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// A record as it stands.
    Record(&'a PersonData),
    /// A record as it would be registered.
    Registration {
        /// The record.
        data: &'a PersonData,
        /// The number, where one was issued before.
        pin: Option<&'a Pin>,
    },
    /// A death that is to be recorded.
    Death {
        /// The record as it stands.
        data: &'a PersonData,
        /// The death.
        death: &'a Death,
        /// What proves it.
        document: DocumentKind,
    },
    /// The place where a birth is to be registered.
    BirthPlace(&'a Place),
    /// A record that was not read yet: only the role is judged, and the decision must be repeated with the record. Until
    /// then a registrar's read shows identity fields only.
    UnreadRecord,
    /// Everyone whose number opens with this province; without one, everyone.
    Scope(Option<ProvinceCode>),
    /// The cluster itself.
    Cluster,
}

/// Which fields of a person a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// All.
    All,
    /// Number, name, birth date, sex, nationality and life status only.
    Identity,
}

impl Fields {
    /// Names of the fields of a person that are withheld, as the wire calls them.
    #[must_use]
    pub const fn withheld(self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::Identity => &[
                "birth_registration_place",
                "native_place",
                "ethnicity",
                "religion",
                "marital_status",
                "permanent_residence",
                "temporary_residence",
                "temporary_absence",
                "current_residence",
                "blood_group",
                "father",
                "mother",
                "spouse",
                "legal_representative",
                "household",
                "cmnd",
                "death",
                "findings",
                "provenance",
            ],
        }
    }
}

/// Why policy said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// The role never does this.
    Role,
    /// The record lies outside the registrar's area, or the scope of a scan holds more than that.
    OutsideArea,
    /// The number is one of another place; the centre confirms and enters it.
    NumberUnconfirmed,
    /// The person's home is elsewhere, and the document does not prove the death.
    DeathUnproven,
}

impl Denial {
    /// Words for an answer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Role => "the role does not carry this action",
            Self::OutsideArea => "the record lies outside the actor's area",
            Self::NumberUnconfirmed => {
                "a number of another place than the actor's area is confirmed and entered by the centre"
            }
            Self::DeathUnproven => {
                "outside the person's home area a death needs a death certificate or a court's decision"
            }
        }
    }
}

/// Decides. What no row of the table allows is denied.
///
/// # Errors
/// Why not.
pub fn decide(actor: &Actor, action: Action, resource: &Resource<'_>) -> Result<Fields, Denial> {
    match (&actor.role, action, resource) {
        (Role::Operator, Action::AdministerCluster | Action::ReadMetrics, Resource::Cluster) => {
            Ok(Fields::All)
        }
        // Nobody's data hangs on the cluster, and the cluster is run by nobody else.
        (_, _, Resource::Cluster) | (_, Action::AdministerCluster | Action::ReadMetrics, _) => {
            Err(Denial::Role)
        }
        (
            Role::Centre,
            Action::Submit(_)
            | Action::ReadPerson
            | Action::FindPersons
            | Action::ReadHistory
            | Action::ScanPersons,
            _,
        ) => Ok(Fields::All),
        // The edge lets a command through whose record it has not read; apply judges it by the record.
        (Role::Registrar { .. }, Action::Submit(_), Resource::UnreadRecord) => Ok(Fields::All),
        (Role::Registrar { area }, Action::Submit(command), _) => {
            may_submit(*area, command, resource).map(|()| Fields::All)
        }
        (
            Role::Registrar { area },
            Action::ReadPerson | Action::FindPersons | Action::ReadHistory,
            _,
        ) => Ok(match resource {
            Resource::Record(data) if record_lies_in(data, *area) => Fields::All,
            _ => Fields::Identity,
        }),
        (Role::Registrar { area }, Action::ScanPersons, _) => may_scan(*area, resource),
        (Role::Operator, _, _) => Err(Denial::Role),
    }
}

/// What a registrar may list. A look-up shows the identity of whoever is asked for; a list shows nobody outside the area.
fn may_scan(area: AreaCode, resource: &Resource<'_>) -> Result<Fields, Denial> {
    match resource {
        Resource::Scope(province) if province.map(AreaCode::Province) == Some(area) => {
            Ok(Fields::All)
        }
        Resource::Record(data) if record_lies_in(data, area) => Ok(Fields::All),
        Resource::Scope(_) | Resource::Record(_) => Err(Denial::OutsideArea),
        Resource::UnreadRecord => Ok(Fields::Identity),
        _ => Err(Denial::Role),
    }
}

/// What a registrar may write. A command that does not go with its resource is denied.
fn may_submit(area: AreaCode, command: CommandName, resource: &Resource<'_>) -> Result<(), Denial> {
    let units = Units::current();
    let inside = match (command, resource) {
        (CommandName::RegisterPerson, Resource::Registration { data, pin }) => {
            let inside = record_lies_in(data, area);
            if inside && pin.is_some_and(|pin| !vouches(area, pin, data)) {
                return Err(Denial::NumberUnconfirmed);
            }
            inside
        }
        (CommandName::RegisterBirth, Resource::BirthPlace(place)) => units.lies_in(place, area),
        (CommandName::CorrectPerson, Resource::Record(data)) => record_lies_in(data, area),
        (
            CommandName::RecordDeath,
            Resource::Death {
                data,
                death,
                document,
            },
        ) => {
            let at_home = is_at_home(data, area);
            let died_here = units.lies_in(&death.place, area);
            if died_here && !at_home && !document.proves_death() {
                return Err(Denial::DeathUnproven);
            }
            at_home || died_here
        }
        _ => return Err(Denial::Role),
    };
    if inside {
        Ok(())
    } else {
        Err(Denial::OutsideArea)
    }
}

/// Whether those who act for an area can know that this number was issued: it opens with the province where the birth was
/// registered, and that was in the area.
fn vouches(area: AreaCode, pin: &Pin, data: &PersonData) -> bool {
    let place = &data.birth_registration_place;
    let units = Units::current();
    let province = pin.bucket().province();
    province.is_some() && province == units.province_of(place) && units.lies_in(place, area)
}

/// Whether a person's home lies in an area: the permanent residence, and where none is known in Viet Nam, the temporary
/// residence or the place of birth registration.
#[must_use]
pub fn is_at_home(data: &PersonData, area: AreaCode) -> bool {
    let units = Units::current();
    if units.province_of(&data.permanent_residence).is_some() {
        return units.lies_in(&data.permanent_residence, area);
    }
    let stay = data.temporary_residence.as_ref();
    stay.is_some_and(|stay| units.lies_in(stay.place(), area))
        || units.lies_in(&data.birth_registration_place, area)
}

fn record_lies_in(data: &PersonData, area: AreaCode) -> bool {
    let units = Units::current();
    units.lies_in(&data.birth_registration_place, area)
        || units.lies_in(&data.permanent_residence, area)
        || units.lies_in(&data.current_residence, area)
        || data
            .temporary_residence
            .as_ref()
            .is_some_and(|stay| units.lies_in(stay.place(), area))
}

/// Something that policy has allowed. Only [`authorise`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised<T>(T);

impl<T> Authorised<T> {
    /// The thing that was allowed.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The thing that was allowed.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }
}

/// The check of the edge, before a command is proposed. What it allows is judged again in apply, where the record of a
/// correction or a death is at hand.
///
/// # Errors
/// Why not.
pub fn authorise(envelope: Envelope) -> Result<Authorised<Envelope>, Denial> {
    let resource = match &envelope.command {
        Command::RegisterPerson(command) => Resource::Registration {
            data: &command.data,
            pin: command.pin.as_ref(),
        },
        Command::RegisterBirth(command) => Resource::BirthPlace(&command.birth_registration_place),
        Command::CorrectPerson(_) | Command::RecordDeath(_) => Resource::UnreadRecord,
    };
    decide(
        &envelope.actor,
        Action::Submit(envelope.command.name()),
        &resource,
    )?;
    Ok(Authorised(envelope))
}

/// A read of a person that policy has judged: what may be shown of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadGrant {
    /// Whose record.
    pub person: PersonId,
    /// What may be shown of it.
    pub fields: Fields,
}

//! Who may do what: one pure table, default deny. Runs at the edge before a command is proposed and again in apply.
//!
//! | action | registrar of an area | centre | operator |
//! |---|---|---|---|
//! | register a person | birth registration, permanent, temporary or current residence in the area | yes | no |
//! | register a birth | birth registration in the area | yes | no |
//! | correct a person | record in the area | yes | no |
//! | record a death | record in the area, or death in the area | yes | no |
//! | read a person, find, history | in the area: all; elsewhere: identity fields | yes | no |
//! | administer the cluster, read metrics | no | no | yes |
//!
//! A record is *in an area* if its place of birth registration or its permanent, temporary or current residence lies
//! there. The identity fields are number, name, birth date, sex, nationality and life status: what a look-up by number,
//! name and birth date must show so that the registrar knows whom it found (Decree 70/2024/ND-CP Art. 10). The rest is
//! withheld by name, never silently left out.

use crate::command::{Command, Envelope};
use crate::ids::PersonId;
use crate::person::{Death, PersonData};
use crate::places::{AreaCode, Place};
use crate::provenance::{Actor, CommandName, Role};
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
    /// Form the cluster, move leadership, read its state, take digests.
    AdministerCluster,
    /// Read metrics and the description of the service.
    ReadMetrics,
}

/// What it is to be done to.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// A record: as it stands, or as it would be registered.
    Record(&'a PersonData),
    /// A record whose person died at a place.
    RecordAndDeath(&'a PersonData, &'a Death),
    /// The place where a birth is to be registered.
    BirthPlace(&'a Place),
    /// A record that was not read yet: only the role is judged, and the decision must be repeated with the record. Until
    /// then a registrar's read shows identity fields only.
    UnreadRecord,
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
    /// The record lies outside the registrar's area.
    OutsideArea,
}

impl Denial {
    /// Words for an answer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Role => "the role does not carry this action",
            Self::OutsideArea => "the record lies outside the actor's area",
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
            Action::Submit(_) | Action::ReadPerson | Action::FindPersons | Action::ReadHistory,
            _,
        ) => Ok(Fields::All),
        // The edge lets a command through whose record it has not read; apply judges it by the record.
        (Role::Registrar { .. }, Action::Submit(_), Resource::UnreadRecord) => Ok(Fields::All),
        (Role::Registrar { area }, Action::Submit(_), _) => {
            if concerns(resource, *area) {
                Ok(Fields::All)
            } else {
                Err(Denial::OutsideArea)
            }
        }
        (
            Role::Registrar { area },
            Action::ReadPerson | Action::FindPersons | Action::ReadHistory,
            _,
        ) => Ok(if concerns(resource, *area) {
            Fields::All
        } else {
            Fields::Identity
        }),
        (Role::Operator, _, _) => Err(Denial::Role),
    }
}

/// Whether a resource is known to lie in an area. The cluster and a record that was not read lie in none.
fn concerns(resource: &Resource<'_>, area: AreaCode) -> bool {
    match resource {
        Resource::Record(data) => record_lies_in(data, area),
        Resource::RecordAndDeath(data, death) => {
            record_lies_in(data, area) || Units::current().lies_in(&death.place, area)
        }
        Resource::BirthPlace(place) => Units::current().lies_in(place, area),
        Resource::UnreadRecord | Resource::Cluster => false,
    }
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
        Command::RegisterPerson(command) => Resource::Record(&command.data),
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

//! What answers look like as JSON. These shapes are documented in `docs/cli.md` and only ever grow.

use banyan_wire::v1;
use serde::Serialize;

use crate::{freshness, moment};

/// What a read is based on.
#[derive(Debug, Serialize)]
pub(crate) struct AsOf {
    position: u64,
    term: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_time: Option<String>,
    node_id: u64,
    node: String,
    site: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    staleness_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl AsOf {
    pub(crate) fn of(as_of: &v1::AsOf) -> Self {
        Self {
            position: as_of.position,
            term: as_of.term,
            commit_time: moment::iso(as_of.commit_time_ms),
            node_id: as_of.node_id,
            node: as_of.node.clone(),
            site: as_of.site.clone(),
            staleness_ms: as_of.staleness_ms,
            token: freshness::to_text(&as_of.token),
        }
    }
}

/// One version of a person's record.
#[derive(Debug, Serialize)]
pub(crate) struct Person {
    person_id: u64,
    version: u32,
    pin: String,
    life_status: String,
    data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    death: Option<Death>,
    findings: Vec<Finding>,
    withheld: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

/// The items of the law; empty ones are left out.
#[derive(Debug, Default, Serialize)]
struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth_date: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    sex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    birth_registration_place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_place: Option<Place>,
    #[serde(skip_serializing_if = "String::is_empty")]
    ethnicity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    religion: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nationalities: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    marital_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    permanent_residence: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary_residence: Option<Stay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temporary_absence: Option<Stay>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_residence: Option<Place>,
    #[serde(skip_serializing_if = "String::is_empty")]
    blood_group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    father: Option<Related>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mother: Option<Related>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spouse: Option<Related>,
    #[serde(skip_serializing_if = "Option::is_none")]
    legal_representative: Option<Related>,
    #[serde(skip_serializing_if = "Option::is_none")]
    household: Option<Household>,
    #[serde(skip_serializing_if = "String::is_empty")]
    cmnd: String,
}

#[derive(Debug, Serialize)]
struct Name {
    family: String,
    middle: String,
    given: String,
    full: String,
}

#[derive(Debug, Serialize)]
struct Place {
    #[serde(skip_serializing_if = "String::is_empty")]
    province: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    district: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ward: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    country: String,
}

#[derive(Debug, Serialize)]
struct Stay {
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct Related {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pin: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cmnd: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    nationality: String,
}

#[derive(Debug, Serialize)]
struct Household {
    #[serde(skip_serializing_if = "String::is_empty")]
    number: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    relation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    relation_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Related>,
    members: Vec<Related>,
}

#[derive(Debug, Serialize)]
struct Death {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
}

/// A thing that was kept as written although it could not be checked.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    code: String,
    field: String,
}

#[derive(Debug, Serialize)]
struct Provenance {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    principal: String,
    role: String,
    office: String,
    legal_basis: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
    command: String,
    position: u64,
}

#[derive(Debug, Serialize)]
struct Document {
    kind: String,
    number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
}

impl Person {
    pub(crate) fn of(person: &v1::PersonVersion) -> Self {
        Self {
            person_id: person.person_id,
            version: person.version,
            pin: person.pin.clone(),
            life_status: word(person.life_status().as_str_name(), "LIFE_STATUS_"),
            data: person.data.as_ref().map(Data::of).unwrap_or_default(),
            death: person.death.as_ref().map(Death::of),
            findings: findings(&person.findings),
            withheld: person.withheld.clone(),
            provenance: person.provenance.as_ref().map(Provenance::of),
        }
    }
}

/// Findings of a record or of an outcome.
pub(crate) fn findings(findings: &[v1::Finding]) -> Vec<Finding> {
    findings
        .iter()
        .map(|finding| Finding {
            code: finding.code.clone(),
            field: finding.field.clone(),
        })
        .collect()
}

impl Data {
    fn of(data: &v1::PersonData) -> Self {
        Self {
            name: data.name.as_ref().map(Name::of),
            birth_date: data.birth_date.as_ref().map(date),
            sex: word(data.sex().as_str_name(), "SEX_"),
            birth_registration_place: data.birth_registration_place.as_ref().map(Place::of),
            native_place: data.native_place.as_ref().map(Place::of),
            ethnicity: data.ethnicity.clone(),
            religion: data.religion.clone(),
            nationalities: data.nationalities.clone(),
            marital_status: word(data.marital_status().as_str_name(), "MARITAL_STATUS_"),
            permanent_residence: data.permanent_residence.as_ref().map(Place::of),
            temporary_residence: data.temporary_residence.as_ref().map(Stay::of),
            temporary_absence: data.temporary_absence.as_ref().map(Stay::of),
            current_residence: data.current_residence.as_ref().map(Place::of),
            blood_group: word(data.blood_group().as_str_name(), "BLOOD_GROUP_").to_uppercase(),
            father: data.father.as_ref().map(Related::of),
            mother: data.mother.as_ref().map(Related::of),
            spouse: data.spouse.as_ref().map(Related::of),
            legal_representative: data.legal_representative.as_ref().map(Related::of),
            household: data.household.as_ref().map(Household::of),
            cmnd: data.cmnd.clone(),
        }
    }
}

impl Name {
    fn of(name: &v1::PersonName) -> Self {
        Self {
            family: name.family.clone(),
            middle: name.middle.clone(),
            given: name.given.clone(),
            full: full_name(name),
        }
    }
}

impl Place {
    fn of(place: &v1::Place) -> Self {
        let country = if place.country.is_empty() {
            "VN"
        } else {
            &place.country
        };
        Self {
            province: place.province.clone(),
            district: place.district.clone(),
            ward: place.ward.clone(),
            detail: place.detail.clone(),
            country: country.to_owned(),
        }
    }
}

impl Stay {
    fn of(stay: &v1::TemporaryStay) -> Self {
        Self {
            place: stay.place.as_ref().map(Place::of),
            from: stay.from.as_ref().map(date),
            until: stay.until.as_ref().map(date),
        }
    }
}

impl Related {
    fn of(person: &v1::RelatedPerson) -> Self {
        Self {
            name: person.name.as_ref().map(Name::of),
            pin: person.pin.clone(),
            cmnd: person.cmnd.clone(),
            nationality: person.nationality.clone(),
        }
    }
}

impl Household {
    fn of(household: &v1::Household) -> Self {
        Self {
            number: household.number.clone(),
            relation: word(household.relation().as_str_name(), "RELATION_"),
            relation_text: household.relation_text.clone(),
            head: household.head.as_ref().map(Related::of),
            members: household.members.iter().map(Related::of).collect(),
        }
    }
}

impl Death {
    fn of(death: &v1::Death) -> Self {
        Self {
            kind: word(death.kind().as_str_name(), "DEATH_KIND_"),
            date: death.date.as_ref().map(date),
            place: death.place.as_ref().map(Place::of),
        }
    }
}

impl Provenance {
    fn of(provenance: &v1::Provenance) -> Self {
        Self {
            time: moment::iso(provenance.time_ms),
            principal: provenance.principal.clone(),
            role: provenance.role.clone(),
            office: provenance.office.clone(),
            legal_basis: word(provenance.legal_basis().as_str_name(), "LEGAL_BASIS_"),
            document: provenance.document.as_ref().map(|document| Document {
                kind: word(document.kind().as_str_name(), "DOCUMENT_KIND_"),
                number: document.number.clone(),
                issued: document.issued.as_ref().map(date),
            }),
            command: provenance.command.clone(),
            position: provenance.position,
        }
    }
}

/// A word of the protocol in lower case without its prefix; nothing for "unspecified".
pub(crate) fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        word => word.to_lowercase(),
    }
}

/// A date as `yyyy-mm-dd`, or the year alone.
pub(crate) fn date(date: &v1::Date) -> String {
    if date.month == 0 {
        format!("{:04}", date.year)
    } else {
        format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
    }
}

/// A name as it is written: family, middle, given.
pub(crate) fn full_name(name: &v1::PersonName) -> String {
    let parts = [&name.family, &name.middle, &name.given];
    let present: Vec<&str> = parts
        .iter()
        .map(|part| part.as_str())
        .filter(|part| !part.is_empty())
        .collect();
    present.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_dates_read_as_documented() {
        assert_eq!(word(v1::Sex::Female.as_str_name(), "SEX_"), "female");
        assert_eq!(word(v1::Sex::Unspecified.as_str_name(), "SEX_"), "");
        assert_eq!(
            date(&v1::Date {
                year: 1950,
                month: 0,
                day: 0
            }),
            "1950"
        );
        assert_eq!(
            date(&v1::Date {
                year: 1950,
                month: 2,
                day: 3
            }),
            "1950-02-03"
        );
    }

    #[test]
    fn a_person_as_json_keeps_its_shape() {
        let person = v1::PersonVersion {
            person_id: 7,
            version: 1,
            pin: "040187000001".into(),
            life_status: v1::LifeStatus::Alive.into(),
            data: Some(v1::PersonData {
                name: Some(v1::PersonName {
                    family: "Nguyễn".into(),
                    middle: String::new(),
                    given: "An".into(),
                }),
                birth_date: Some(v1::Date {
                    year: 1987,
                    month: 0,
                    day: 0,
                }),
                sex: v1::Sex::Female.into(),
                ..v1::PersonData::default()
            }),
            ..v1::PersonVersion::default()
        };
        let json = serde_json::to_value(Person::of(&person)).unwrap();
        let expected = serde_json::json!({
            "person_id": 7, "version": 1, "pin": "040187000001", "life_status": "alive",
            "data": {
                "name": {"family": "Nguyễn", "middle": "", "given": "An", "full": "Nguyễn An"},
                "birth_date": "1987", "sex": "female",
            },
            "findings": [], "withheld": [],
        });
        assert_eq!(json, expected);
    }
}

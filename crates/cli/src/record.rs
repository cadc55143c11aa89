//! A person's record as people read it on a terminal.

use banyan_wire::v1;
use comfy_table::Table;

use crate::output::{card_table, table, text_of};
use crate::shapes::{date, full_name, word};
use crate::{moment, units};

/// One version with all its items.
pub(crate) fn card(person: &v1::PersonVersion) -> String {
    let mut rows = Rows(card_table());
    rows.row("number (PIN)", &person.pin);
    if let Some(data) = &person.data {
        person_rows(&mut rows, data);
        place_rows(&mut rows, data);
        relative_rows(&mut rows, data);
    }
    rows.row(
        "life status",
        &word(person.life_status().as_str_name(), "LIFE_STATUS_"),
    );
    if let Some(death) = &person.death {
        rows.row(
            &word(death.kind().as_str_name(), "DEATH_KIND_"),
            &death.date.as_ref().map(date).unwrap_or_default(),
        );
    }
    rows.row("version", &person.version.to_string());
    if let Some(provenance) = &person.provenance {
        rows.row("changed", &changed(provenance));
    }
    for finding in &person.findings {
        rows.row("finding", &format!("{} in {}", finding.code, finding.field));
    }
    if !person.withheld.is_empty() {
        rows.row("withheld from you", &person.withheld.join(", "));
    }
    text_of(&rows.0)
}

fn person_rows(rows: &mut Rows, data: &v1::PersonData) {
    rows.row(
        "name",
        &data.name.as_ref().map(full_name).unwrap_or_default(),
    );
    rows.row(
        "born",
        &data.birth_date.as_ref().map(date).unwrap_or_default(),
    );
    rows.row("sex", &word(data.sex().as_str_name(), "SEX_"));
    rows.row("nationality", &data.nationalities.join(", "));
    rows.row("ethnicity", &data.ethnicity);
    rows.row("religion", &data.religion);
    rows.row(
        "marital status",
        &word(data.marital_status().as_str_name(), "MARITAL_STATUS_").replace('_', " "),
    );
    rows.row(
        "blood group",
        &word(data.blood_group().as_str_name(), "BLOOD_GROUP_").to_uppercase(),
    );
    rows.row("old card (CMND)", &data.cmnd);
}

fn place_rows(rows: &mut Rows, data: &v1::PersonData) {
    rows.place("birth registered", data.birth_registration_place.as_ref());
    rows.place("native place", data.native_place.as_ref());
    rows.place("permanent residence", data.permanent_residence.as_ref());
    if let Some(stay) = &data.temporary_residence {
        rows.place("temporary residence", stay.place.as_ref());
    }
    if let Some(stay) = &data.temporary_absence {
        rows.place("temporarily absent, at", stay.place.as_ref());
    }
    rows.place("lives at", data.current_residence.as_ref());
}

fn relative_rows(rows: &mut Rows, data: &v1::PersonData) {
    rows.related("father", data.father.as_ref());
    rows.related("mother", data.mother.as_ref());
    rows.related("spouse", data.spouse.as_ref());
    rows.related("legal representative", data.legal_representative.as_ref());
    if let Some(household) = &data.household {
        rows.row("household", &household.number);
        rows.row(
            "relation to head",
            &word(household.relation().as_str_name(), "RELATION_").replace('_', " "),
        );
        rows.related("head of household", household.head.as_ref());
        for member in &household.members {
            rows.related("member", Some(member));
        }
    }
}

/// Persons, one line each.
pub(crate) fn list(persons: &[v1::PersonVersion]) -> String {
    let mut table = table(["number (PIN)", "name", "born", "sex", "status", "version"]);
    for person in persons {
        let data = person.data.as_ref();
        table.add_row([
            person.pin.clone(),
            data.and_then(|data| data.name.as_ref())
                .map(full_name)
                .unwrap_or_default(),
            data.and_then(|data| data.birth_date.as_ref())
                .map(date)
                .unwrap_or_default(),
            data.map(|data| word(data.sex().as_str_name(), "SEX_"))
                .unwrap_or_default(),
            word(person.life_status().as_str_name(), "LIFE_STATUS_"),
            person.version.to_string(),
        ]);
    }
    text_of(&table)
}

/// Versions of one record, one line each.
pub(crate) fn history(versions: &[v1::PersonVersion]) -> String {
    let mut table = table([
        "version",
        "when (Viet Nam)",
        "what",
        "by",
        "office",
        "document",
        "name then",
    ]);
    for version in versions {
        let provenance = version.provenance.clone().unwrap_or_default();
        let document = provenance
            .document
            .as_ref()
            .map(|document| document.number.clone());
        table.add_row([
            version.version.to_string(),
            moment::local(provenance.time_ms),
            provenance.command,
            provenance.principal,
            provenance.office,
            document.unwrap_or_default(),
            version
                .data
                .as_ref()
                .and_then(|data| data.name.as_ref())
                .map(full_name)
                .unwrap_or_default(),
        ]);
    }
    text_of(&table)
}

fn changed(provenance: &v1::Provenance) -> String {
    format!(
        "{} by {} at office {} ({}), position {}",
        moment::local(provenance.time_ms),
        provenance.principal,
        provenance.office,
        provenance.command,
        provenance.position
    )
}

/// Rows of a card; empty values are left out.
struct Rows(Table);

impl Rows {
    fn row(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.0.add_row([label, value]);
        }
    }

    fn place(&mut self, label: &str, place: Option<&v1::Place>) {
        if let Some(place) = place {
            self.row(label, &units::describe(place));
        }
    }

    fn related(&mut self, label: &str, person: Option<&v1::RelatedPerson>) {
        let Some(person) = person else { return };
        let mut text = person.name.as_ref().map(full_name).unwrap_or_default();
        for (kind, number) in [("PIN", &person.pin), ("CMND", &person.cmnd)] {
            if !number.is_empty() {
                text.push_str(&format!(", {kind} {number}"));
            }
        }
        self.row(label, &text);
    }
}

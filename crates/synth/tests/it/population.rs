//! The population: the same for ever, unique where it must be, plausible where it can be.

use std::collections::{BTreeMap, BTreeSet};

use banyan_domain::{BirthDate, Pin, Sex};
use banyan_synth::births;
use banyan_synth::forms::Format;
use banyan_wire::v1;
use v1::command::Kind;

use super::{rows, written};

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Whoever changes these hashes changes every population that anybody ever made from a seed.
#[test]
fn same_seed_gives_the_same_bytes_for_ever() {
    let golden = include_str!("golden.txt");
    let found = [
        format!(
            "csv 3000 1 0 {}",
            hash(&written(3000, 1, 0.0, Format::Csv).0)
        ),
        format!(
            "jsonl 3000 1 0 {}",
            hash(&written(3000, 1, 0.0, Format::JsonLines).0)
        ),
        format!(
            "csv 3000 7 0.05 {}",
            hash(&written(3000, 7, 0.05, Format::Csv).0)
        ),
        format!("births 500 1 {}", births_hash()),
    ];
    assert_eq!(found.join("\n"), golden.trim_end());
}

fn births_hash() -> String {
    let day = banyan_domain::CalendarDate::new(2026, 3, 9).unwrap();
    let mut bytes = Vec::new();
    for index in 0..500 {
        bytes.extend(prost::Message::encode_to_vec(&births::birth(1, index, day)));
    }
    hash(&bytes)
}

#[test]
fn another_seed_gives_another_population() {
    assert_ne!(
        written(200, 1, 0.0, Format::Csv).0,
        written(200, 2, 0.0, Format::Csv).0
    );
}

fn registrations(citizens: u64, seed: u64) -> Vec<(v1::Command, v1::RegisterPerson)> {
    let (bytes, summary) = written(citizens, seed, 0.0, Format::Csv);
    assert_eq!(summary.rows, citizens);
    let commands: Vec<_> = rows(&bytes, Format::Csv)
        .into_iter()
        .map(|row| {
            let mut command = row
                .content
                .unwrap_or_else(|faults| panic!("line {}: {faults:?}", row.line));
            let Some(Kind::RegisterPerson(registration)) = command.kind.take() else {
                panic!("a form registers a person")
            };
            (command, *registration)
        })
        .collect();
    assert_eq!(commands.len() as u64, citizens);
    commands
}

#[test]
fn numbers_and_forms_are_unique() {
    let all = registrations(20_000, 5);
    let (mut pins, mut cmnds, mut forms) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (command, registration) in &all {
        let data = registration.data.as_ref().unwrap();
        if !registration.pin.is_empty() {
            assert!(pins.insert(registration.pin.clone()));
        }
        if !data.cmnd.is_empty() {
            assert!(cmnds.insert(data.cmnd.clone()));
        }
        assert!(forms.insert(command.document.as_ref().unwrap().number.clone()));
    }
    let share = pins.len() as f64 / all.len() as f64;
    assert!(
        (0.4..0.65).contains(&share),
        "about half have a number, not {share}"
    );
    assert!(cmnds.len() > 5_000);
}

#[test]
fn numbers_say_what_the_form_says() {
    for (_, registration) in registrations(5_000, 6) {
        if registration.pin.is_empty() {
            continue;
        }
        let data = registration.data.unwrap();
        let date = data.birth_date.unwrap();
        let birth = BirthDate::from_parts(date.year, date.month, date.day).unwrap();
        let sex = if data.sex == v1::Sex::Male as i32 {
            Sex::Male
        } else {
            Sex::Female
        };
        let pin = Pin::parse(&registration.pin).unwrap();
        assert!(pin.contradicts(birth, sex).is_none());
        assert_eq!(
            registration.pin[1..3],
            data.birth_registration_place.unwrap().province
        );
    }
}

#[test]
fn those_with_a_number_come_first() {
    let all = registrations(2_000, 8);
    let first_without = all
        .iter()
        .position(|(_, registration)| registration.pin.is_empty())
        .unwrap();
    assert!(
        all[first_without..]
            .iter()
            .all(|(_, registration)| registration.pin.is_empty())
    );
}

#[test]
fn households_hang_together() {
    let mut households: BTreeMap<String, Vec<v1::PersonData>> = BTreeMap::new();
    for (_, registration) in registrations(20_000, 9) {
        let data = registration.data.unwrap();
        households
            .entry(data.household.clone().unwrap().number)
            .or_default()
            .push(data);
    }
    // The last household may be cut short by the number of citizens asked for.
    let whole = households.len() - 1;
    let relation = |data: &v1::PersonData| data.household.as_ref().unwrap().relation();
    for members in households.values().take(whole) {
        let heads: Vec<_> = members
            .iter()
            .filter(|data| relation(data) == v1::Relation::Head)
            .collect();
        let [head] = heads.as_slice() else {
            panic!("a household has one head")
        };
        assert_eq!(
            head.household.as_ref().unwrap().members.len(),
            members.len() - 1
        );
        for data in members {
            married_people_name_their_spouse(data, members);
            children_are_younger(data, members);
            if relation(data) != v1::Relation::Head {
                assert_eq!(
                    data.household.as_ref().unwrap().head.as_ref().unwrap().name,
                    head.name
                );
                assert_eq!(data.permanent_residence, head.permanent_residence);
            }
        }
    }
    let sizes: Vec<usize> = households.values().map(Vec::len).collect();
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    assert!((2.8..4.4).contains(&mean), "mean size {mean}");
}

fn married_people_name_their_spouse(data: &v1::PersonData, members: &[v1::PersonData]) {
    let married = data.marital_status == v1::MaritalStatus::Married as i32;
    assert_eq!(married, data.spouse.is_some());
    let Some(spouse) = &data.spouse else { return };
    // A wife may bear her mother-in-law's name: one of the namesakes must be the spouse.
    assert!(members.iter().any(|other| {
        other.name == spouse.name
            && other.sex != data.sex
            && other.cmnd == spouse.cmnd
            && other
                .spouse
                .as_ref()
                .is_some_and(|back| back.name == data.name)
    }));
    let youngest = if data.sex == v1::Sex::Male as i32 {
        20
    } else {
        18
    };
    assert!(age(data) >= youngest);
}

fn children_are_younger(data: &v1::PersonData, members: &[v1::PersonData]) {
    for (parent, years) in [(&data.mother, 15), (&data.father, 15)] {
        let parent = parent.as_ref().unwrap();
        // Two members may bear one name; the parent is one of them.
        let namesakes: Vec<_> = members
            .iter()
            .filter(|other| other.name == parent.name && *other != data)
            .collect();
        let in_household = !parent.pin.is_empty() || !parent.cmnd.is_empty();
        if in_household {
            assert!(
                namesakes
                    .iter()
                    .any(|other| age(other) >= age(data) + years)
            );
        }
    }
    let relation = data.household.as_ref().unwrap().relation();
    if relation == v1::Relation::Child && age(data) < 14 {
        let father = data.father.as_ref().unwrap().name.as_ref().unwrap();
        let mother = data.mother.as_ref().unwrap().name.as_ref().unwrap();
        let own = &data.name.as_ref().unwrap().family;
        assert!(*own == father.family || *own == mother.family);
    }
}

fn age(data: &v1::PersonData) -> u32 {
    let born = data.birth_date.unwrap();
    2025 - born.year - u32::from(born.month > 6)
}

#[test]
fn the_population_looks_like_the_country() {
    let all: Vec<v1::PersonData> = registrations(30_000, 10)
        .into_iter()
        .map(|(_, one)| one.data.unwrap())
        .collect();
    let share = |holds: &dyn Fn(&v1::PersonData) -> bool| {
        all.iter().filter(|data| holds(data)).count() as f64 / all.len() as f64
    };
    // Census of 2019: 24.3 % under 15, 68.0 % from 15 to 64, 7.7 % above; 85.3 % Kinh; 50.2 % women.
    let expectations: [(&str, f64, std::ops::Range<f64>); 8] = [
        ("under 15", share(&|data| age(data) < 15), 0.20..0.29),
        ("65 and over", share(&|data| age(data) >= 65), 0.06..0.12),
        (
            "women",
            share(&|data| data.sex == v1::Sex::Female as i32),
            0.47..0.53,
        ),
        ("Kinh", share(&|data| data.ethnicity == "01"), 0.80..0.92),
        (
            "Nguyễn",
            share(&|data| data.name.as_ref().unwrap().family == "Nguyễn"),
            0.30..0.42,
        ),
        (
            "year-only birth dates",
            share(&|data| data.birth_date.unwrap().month == 0),
            0.005..0.03,
        ),
        (
            "Thành phố Hồ Chí Minh",
            share(&|data| data.permanent_residence.as_ref().unwrap().province == "79"),
            0.08..0.11,
        ),
        (
            "away for work",
            share(&|data| data.temporary_residence.is_some()),
            0.01..0.04,
        ),
    ];
    for (what, found, range) in expectations {
        assert!(
            range.contains(&found),
            "{what}: {found:.4} is not in {range:?}"
        );
    }
    let provinces: BTreeSet<_> = all
        .iter()
        .map(|data| data.permanent_residence.as_ref().unwrap().province.clone())
        .collect();
    assert_eq!(provinces.len(), 63);
}

#[test]
fn births_are_distinct_and_whole() {
    let day = banyan_domain::CalendarDate::new(2026, 11, 1).unwrap();
    let mut documents = BTreeSet::new();
    for index in 0..2_000 {
        let command = births::birth(3, index, day);
        banyan_wire::command::command_from_wire(&command).unwrap();
        assert!(documents.insert(command.document.unwrap().number));
    }
    let there = births::birth_in(3, 1, day, "40");
    let Some(Kind::RegisterBirth(birth)) = there.kind else {
        panic!("it is a birth")
    };
    assert_eq!(birth.birth_registration_place.unwrap().province, "40");
}

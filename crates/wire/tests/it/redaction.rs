//! What a log line could print of a message shows nothing about a person.

use std::fmt::Debug;

use banyan_wire::{internal_v1, v1};

const MARK: &str = "ZQX7";

fn text() -> String {
    MARK.to_owned()
}

fn hides(message: &impl Debug) {
    let shown = format!("{message:?}");
    assert!(!shown.contains(MARK), "{shown}");
}

#[test]
fn messages_about_people_show_nothing_of_them() {
    let name = v1::PersonName {
        family: text(),
        middle: text(),
        given: text(),
    };
    let related = v1::RelatedPerson {
        name: Some(name.clone()),
        pin: text(),
        cmnd: text(),
        nationality: text(),
    };
    let place = v1::Place {
        province: text(),
        detail: text(),
        ..Default::default()
    };
    let death = v1::Death {
        kind: 1,
        date: None,
        place: Some(place.clone()),
    };
    let data = v1::PersonData {
        name: Some(name.clone()),
        native_place: Some(place),
        father: Some(related),
        cmnd: text(),
        ..Default::default()
    };
    let person = v1::PersonVersion {
        pin: text(),
        data: Some(data.clone()),
        ..Default::default()
    };
    let register = v1::RegisterPerson {
        data: Some(data.clone()),
        pin: text(),
        death: Some(death.clone()),
    };
    let command = v1::Command {
        kind: Some(v1::command::Kind::RegisterPerson(Box::new(register))),
        ..Default::default()
    };
    hides(&v1::SubmitRequest {
        command: Some(command.clone()),
        ..Default::default()
    });
    hides(&internal_v1::CommandEnvelope {
        command: Some(command),
        ..Default::default()
    });
    hides(&v1::CorrectPerson {
        pin: text(),
        data: Some(data),
        ..Default::default()
    });
    hides(&v1::RecordDeath {
        pin: text(),
        death: Some(death),
    });
    hides(&v1::GetPersonResponse {
        person: Some(person.clone()),
        as_of: None,
    });
    hides(&v1::FindPersonsResponse {
        persons: vec![person.clone()],
        ..Default::default()
    });
    hides(&internal_v1::StoredVersion {
        version: Some(person),
        ..Default::default()
    });
    hides(&v1::GetPersonRequest {
        number: Some(v1::get_person_request::Number::Pin(text())),
        ..Default::default()
    });
    hides(&v1::FindPersonsRequest {
        name: Some(name),
        pin: text(),
        ..Default::default()
    });
    hides(&v1::GetPersonsRequest {
        pins: vec![text()],
        ..Default::default()
    });
    hides(&v1::GetHistoryRequest {
        pin: text(),
        ..Default::default()
    });
    let accepted = v1::Accepted {
        pin: text(),
        ..Default::default()
    };
    hides(&v1::Outcome {
        result: Some(v1::outcome::Result::Accepted(accepted)),
        ..Default::default()
    });
}

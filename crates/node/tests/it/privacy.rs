//! No personal data in a log line: marked values go through every handler at the most talkative level.

use std::io;
use std::sync::{Arc, Mutex};

use banyan_node::config::{LogFormat, LogSettings};
use banyan_node::logging;
use banyan_wire::v1::command::Kind;
use banyan_wire::v1::get_person_request::Number;
use banyan_wire::v1::outcome::Result as OutcomeResult;
use banyan_wire::v1::{
    FindPersonsRequest, GetHistoryRequest, GetPersonRequest, GetPersonsRequest, ScanPersonsRequest,
    SubmitBatchRequest, SubmitRequest,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::cluster::TestCluster;
use super::people::{self, HA_NOI, MARKER, NGHE_AN};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no writer panics")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn no_log_line_holds_a_marked_value() {
    let lines = Lines::default();
    let settings = LogSettings::new(LogFormat::Json, LevelFilter::TRACE);
    // The only test of this binary that sets the process's subscriber; other tests' lines come along, and must be as clean.
    tracing::subscriber::set_global_default(logging::subscriber(&settings, lines.clone())).unwrap();
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let mut pins = Vec::new();
    cluster.run(async {
        let mut registry = cluster.centre(leader).await;
        for (number, command) in [
            (1, people::register(1, HA_NOI)),
            (2, people::birth(2, NGHE_AN)),
            // Refused by a rule: the form is known.
            (3, people::register(1, HA_NOI)),
        ] {
            let outcome = registry
                .submit(people::submission(number, command))
                .await
                .unwrap()
                .into_inner()
                .outcome;
            if let Some(OutcomeResult::Accepted(accepted)) = outcome.unwrap().result {
                pins.push(accepted.pin);
            }
        }
        // Refused for its fields, with marked values in the wrong ones.
        let mut bad = people::register(4, HA_NOI);
        if let Some(Kind::RegisterPerson(register)) = &mut bad.kind {
            register.pin = format!("{MARKER}pin");
            register.data.as_mut().unwrap().cmnd = format!("{MARKER}cmnd");
            register.data.as_mut().unwrap().ethnicity = format!("{MARKER}ethnicity");
        }
        registry
            .submit(people::submission(4, bad.clone()))
            .await
            .unwrap_err();
        registry
            .submit_batch(SubmitBatchRequest {
                submissions: vec![
                    people::submission(5, people::register(5, HA_NOI)),
                    people::submission(6, bad),
                ],
                hint_leader: false,
            })
            .await
            .unwrap();
        let dry = SubmitRequest {
            dry_run: true,
            ..people::submission(7, people::register(7, HA_NOI))
        };
        registry.submit(dry).await.unwrap();
        let mut data = people::person(1, HA_NOI);
        data.religion = "01".to_owned();
        registry
            .submit(people::submission(8, people::correct(1, &pins[0], 1, data)))
            .await
            .unwrap();
        registry
            .submit(people::submission(9, people::death(1, &pins[1])))
            .await
            .unwrap();
        for index in [leader, (leader + 1) % 3] {
            let mut registry = cluster.centre(index).await;
            for pin in [pins[0].clone(), format!("{MARKER}read")] {
                let get = GetPersonRequest {
                    number: Some(Number::Pin(pin.clone())),
                    purpose: format!("{MARKER} purpose"),
                    ..Default::default()
                };
                let _ = registry.get_person(get).await;
                let history = GetHistoryRequest {
                    pin,
                    ..Default::default()
                };
                let _ = registry.get_history(history).await;
            }
            for wrong in [MARKER.to_owned(), pins[1].clone()] {
                let many = GetPersonsRequest {
                    pins: vec![pins[0].clone(), wrong],
                    purpose: format!("{MARKER} purpose"),
                    ..Default::default()
                };
                let _ = registry.get_persons(many).await;
            }
            let scan = ScanPersonsRequest {
                page_size: 1,
                purpose: format!("{MARKER} purpose"),
                ..Default::default()
            };
            let page = registry.scan_persons(scan).await.unwrap().into_inner();
            let next = ScanPersonsRequest {
                cursor: page.cursor,
                ..Default::default()
            };
            registry.scan_persons(next).await.unwrap();
            let find = FindPersonsRequest {
                name: Some(people::name(1)),
                birth_date: Some(people::date(1990, 5, 17)),
                ..Default::default()
            };
            registry.find_persons(find).await.unwrap();
            // A follower refuses writes.
            let _ = registry
                .submit(people::submission(10, people::birth(10, HA_NOI)))
                .await;
        }
    });
    drop(cluster);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.lines().count() > 10,
        "the log is empty, so that this test shows nothing"
    );
    let mut secrets: Vec<&str> = vec![MARKER, "DC01-1", "GKS-2"];
    secrets.extend(pins.iter().map(String::as_str));
    for line in text.lines() {
        for secret in &secrets {
            assert!(
                !line.contains(secret),
                "a log line holds personal data: {line}"
            );
        }
    }
}

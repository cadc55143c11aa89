//! The table of codes holds together, and a detail survives its way through a status.

use std::collections::BTreeSet;
use std::time::Duration;

use banyan_domain::FieldFault;
use banyan_wire::errors::{Code, Kind, from_status, status, to_status};
use banyan_wire::v1::ErrorDetail;

#[test]
fn numbers_names_and_labels_are_unique_and_in_order() {
    let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.row().number).collect();
    assert!(
        numbers.is_sorted_by(|left, right| left < right),
        "{numbers:?}"
    );
    let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        let row = code.row();
        assert_eq!(row.label, format!("BNY-{:04}", row.number));
        assert_eq!(row.label.parse(), Ok(*code));
        assert!(
            row.name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'_'),
            "{}",
            row.name
        );
        assert!((400..=599).contains(&row.http), "{row:?}");
        assert_ne!(row.grpc, tonic::Code::Ok, "{row:?}");
        assert!(
            row.next.ends_with('.') && !row.title.ends_with('.'),
            "{row:?}"
        );
    }
}

#[test]
fn the_hundreds_of_a_number_are_its_kind() {
    for code in Code::ALL {
        let kind = match code.row().number / 100 {
            1 => Kind::Request,
            2 => Kind::Denied,
            3 => Kind::Rejection,
            4 => Kind::Unavailable,
            5 => Kind::Fault,
            _ => panic!("{code} is in no group"),
        };
        assert_eq!(code.kind(), kind, "{code}");
    }
}

#[test]
fn a_detail_survives_its_way_through_a_status() {
    let detail = ErrorDetail::new(Code::NotLeader, "node 5 leads")
        .with_leader("https://127.0.3.1:7505")
        .with_retry_after(Duration::from_micros(1))
        .with_outcome_unknown();
    let status = to_status(&detail);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(status.message(), "BNY-0401 NOT_LEADER: node 5 leads");
    let back = from_status(&status).unwrap();
    assert_eq!(back, detail);
    assert_eq!(back.retry_after(), Some(Duration::from_millis(1)));
    assert_eq!(back.known_code(), Some(Code::NotLeader));
}

#[test]
fn faults_of_a_request_are_all_in_its_detail() {
    let faults = [
        FieldFault::new("data.sex", "must be given"),
        FieldFault::new("pin", "must be 12 digits"),
    ];
    let detail = ErrorDetail::invalid_fields(&faults);
    assert_eq!(detail.message, "data.sex: must be given; and 1 more");
    assert_eq!(detail.faults.len(), 2);
    assert_eq!(to_status(&detail).code(), tonic::Code::InvalidArgument);
}

#[test]
fn only_an_unknown_outcome_says_so() {
    for code in Code::ALL {
        assert_eq!(
            ErrorDetail::new(*code, "").outcome_unknown,
            *code == Code::OutcomeUnknown
        );
    }
}

#[test]
fn a_status_of_another_program_has_no_detail() {
    assert!(from_status(&tonic::Status::unavailable("proxy")).is_none());
    let odd = tonic::Status::with_details(tonic::Code::Internal, "x", vec![255, 255, 255].into());
    assert!(from_status(&odd).is_none());
    assert!(from_status(&status(Code::NodeFault, "x")).is_some());
}

#[test]
fn a_code_of_a_newer_node_is_kept_as_text() {
    let detail = ErrorDetail {
        code: String::from("BNY-0999"),
        ..Default::default()
    };
    let back = from_status(&to_status(&detail)).unwrap();
    assert_eq!((back.known_code(), back.code.as_str()), (None, "BNY-0999"));
    assert!("BNY-101".parse::<Code>().is_err());
}

//! Commands and envelopes come back as they were; a fingerprint tells commands apart.

use banyan_wire::command::{
    command_from_wire, command_to_wire, envelope_from_wire, envelope_to_wire, fingerprint,
    key_from_wire,
};
use banyan_wire::{internal_v1, v1};
use proptest::prelude::*;
use prost::Message;

use super::generators::{command, envelope, head};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_command_comes_back_as_it_was(head in head(), command in command()) {
        let message = command_to_wire(&head, &command);
        let bytes = message.encode_to_vec();
        let message = v1::Command::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(command_from_wire(&message).unwrap(), (head, command));
    }

    #[test]
    fn an_envelope_comes_back_as_it_was(envelope in envelope()) {
        let bytes = envelope_to_wire(&envelope).encode_to_vec();
        let message = internal_v1::CommandEnvelope::decode(bytes.as_slice()).unwrap();
        let back = envelope_from_wire(&message).unwrap();
        prop_assert_eq!(&back, &envelope);
        prop_assert_eq!(envelope_to_wire(&back).encode_to_vec(), bytes);
    }

    #[test]
    fn commands_that_differ_have_different_fingerprints(head in head(), one in command(), two in command()) {
        let (left, right) = (command_to_wire(&head, &one), command_to_wire(&head, &two));
        prop_assert_eq!(fingerprint(&left) == fingerprint(&right), one == two);
    }
}

#[test]
fn a_key_is_a_uuid_of_version_7_and_its_fault_names_the_field() {
    let mut key = [0x7f; 16];
    key[8] = 0x80;
    assert!(key_from_wire(&key).is_ok());
    let mut random = key;
    random[6] = 0x4f;
    let faults = [
        (&key[..15], "idempotency_key: must be 16 bytes, got 15"),
        (
            &random[..],
            "idempotency_key: must be a UUID of version 7, this one is of version 4",
        ),
    ];
    for (bytes, text) in faults {
        assert_eq!(key_from_wire(bytes).unwrap_err().to_string(), text);
    }
}

#[test]
fn an_envelope_of_another_version_is_refused() {
    let envelope = internal_v1::CommandEnvelope {
        command_version: 2,
        ..Default::default()
    };
    let faults = envelope_from_wire(&envelope).unwrap_err();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "command_version",
            "actor",
            "idempotency_key",
            "fingerprint",
            "command"
        ]
    );
}

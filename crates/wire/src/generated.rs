//! The code that the build script makes from the proto files, and `Debug` for the messages about people.
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic
)]

use std::fmt;

/// The packages as the generated code expects them to be nested.
pub mod banyan {
    /// Package `banyan.v1`: what every program outside the registry sees.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/banyan.v1.rs"));
    }
    /// Package `banyan.internal`.
    pub mod internal {
        /// Package `banyan.internal.v1`: the log, the store and the peers.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/banyan.internal.v1.rs"));
        }
    }
}

/// All proto files with their imports and comments, as an encoded `FileDescriptorSet`, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/banyan.descriptors.bin"));

/// Writes a `Debug` that names the message and shows none of its fields.
macro_rules! redacted {
    ($($message:path),+ $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(redacted)"))
            }
        }
    )+};
}

use banyan::{internal::v1 as internal_v1, v1};

redacted!(
    v1::PersonName,
    v1::Date,
    v1::Place,
    v1::RelatedPerson,
    v1::Household,
    v1::TemporaryStay,
    v1::Death,
    v1::PersonData,
    v1::PersonVersion,
    v1::SourceDocument,
    v1::RegisterPerson,
    v1::RegisterBirth,
    v1::CorrectPerson,
    v1::RecordDeath,
    v1::Accepted,
    v1::GetPersonRequest,
    v1::get_person_request::Number,
    v1::FindPersonsRequest,
    v1::GetHistoryRequest,
    v1::GetPersonsRequest,
    internal_v1::LogEntry,
    internal_v1::FileChunk,
);

//! Compiles the proto files with protox, so that no `protoc` is needed, and keeps their descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

/// Every file that this crate compiles, relative to the proto folder.
const FILES: [&str; 7] = [
    "banyan/v1/person.proto",
    "banyan/v1/registry.proto",
    "banyan/v1/cluster.proto",
    "banyan/internal/v1/command.proto",
    "banyan/internal/v1/record.proto",
    "banyan/internal/v1/peer.proto",
    "banyan/internal/v1/values.proto",
];

/// Messages with fields about people, or with bytes that may hold such fields. Their `Debug` is written by hand
/// in `generated.rs` and shows nothing, so that no log line can carry them by accident.
const WITHOUT_DEBUG: [&str; 20] = [
    ".banyan.v1.PersonName",
    ".banyan.v1.Date",
    ".banyan.v1.Place",
    ".banyan.v1.RelatedPerson",
    ".banyan.v1.Household",
    ".banyan.v1.TemporaryStay",
    ".banyan.v1.Death",
    ".banyan.v1.PersonData",
    ".banyan.v1.PersonVersion",
    ".banyan.v1.SourceDocument",
    ".banyan.v1.RegisterPerson",
    ".banyan.v1.RegisterBirth",
    ".banyan.v1.CorrectPerson",
    ".banyan.v1.RecordDeath",
    ".banyan.v1.Accepted",
    ".banyan.v1.GetPersonRequest",
    ".banyan.v1.FindPersonsRequest",
    ".banyan.v1.GetHistoryRequest",
    ".banyan.v1.GetPersonsRequest",
    ".banyan.internal.v1.FileChunk",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let proto = manifest.join("../../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed=build.rs");
    for file in FILES {
        println!("cargo:rerun-if-changed={}", proto.join(file).display());
    }

    let mut compiler = protox::Compiler::new([&proto])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(FILES)?;
    std::fs::write(
        out.join("banyan.descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;

    // The codec of the services asks for the name of a message, to find its descriptor.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .codec_path("crate::bounded::BoundedCodec")
        .bytes(".")
        // A form is some 2.5 KiB as a struct. Without the box every element of a batch would be, an empty one too.
        .boxed(".banyan.v1.Command.kind")
        .skip_debug(WITHOUT_DEBUG)
        .skip_debug([
            ".banyan.v1.GetPersonRequest.number",
            ".banyan.internal.v1.LogEntry",
        ])
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

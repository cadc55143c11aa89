//! Contexts files: what they may say, and that every fault is told at once.

use std::path::Path;

use super::*;

const CERT: &[u8] = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";

fn faults_of(error: ContextError) -> Vec<(String, String)> {
    match error {
        ContextError::Faults { faults, .. } => faults
            .into_iter()
            .map(|fault| (fault.key, fault.message))
            .collect(),
        other => panic!("expected faults, got {other}"),
    }
}

fn parse(text: &str) -> Result<Contexts, ContextError> {
    Contexts::parse(text, Path::new("contexts.toml"))
}

#[test]
fn a_context_names_its_nodes_and_its_home() {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in [("me.pem", CERT), ("me.key", KEY), ("ca.pem", CERT)] {
        std::fs::write(folder.path().join(file), bytes).unwrap();
    }
    let text = r#"
        cluster = "banyan-local"
        [contexts."registrar@nghe-an"]
        cert = "me.pem"
        key = "me.key"
        ca = "ca.pem"
        home = "nghe-an"
        [contexts."registrar@nghe-an".endpoints]
        central-1 = "https://127.0.1.1:7501"
        nghe-an-1 = "https://127.0.4.1:7506/"
        nghe-an-2 = "https://127.0.4.1:7508"
    "#;
    let path = folder.path().join("contexts.toml");
    std::fs::write(&path, text).unwrap();
    let contexts = Contexts::load(&path).unwrap();
    assert_eq!(contexts.names().collect::<Vec<_>>(), ["registrar@nghe-an"]);
    let context = contexts.context("registrar@nghe-an").unwrap();
    assert_eq!(context.cluster(), Some("banyan-local"));
    assert_eq!(context.home(), [1, 2]);
    assert_eq!(
        context.target("nghe-an-1").unwrap().url,
        "https://127.0.4.1:7506"
    );
    assert_eq!(
        context.target("https://127.0.1.1:7501/").unwrap().name,
        "central-1"
    );
    assert!(context.target("hue-1").is_none());
    let shown = format!("{context:?}");
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn a_plain_list_of_urls_has_its_home_first() {
    let text = r#"
        [contexts.here]
        cert = "a"
        key = "b"
        ca = "c"
        home = "nghe-an"
        endpoints = ["https://127.0.4.1:7506", "https://127.0.1.1:7501"]
    "#;
    let contexts = parse(text).unwrap();
    assert_eq!(contexts.entries["here"].home, [0]);
    assert_eq!(
        contexts.entries["here"].targets[1].name,
        "https://127.0.1.1:7501"
    );
}

#[test]
fn every_fault_of_every_context_is_told_at_once() {
    let text = r#"
        clutser = "x"
        [contexts."one@a"]
        cert = 3
        key = ""
        home = "hue"
        colour = "red"
        [contexts."one@a".endpoints]
        central-1 = "http://127.0.1.1:7501"
        central-2 = "https://127.0.1.1"
        central-3 = 7
        central-4 = "https://127.0.1.1:7504"
        central-5 = "https://127.0.1.1:7504"
        [contexts.two]
        cert = "c"
        key = "k"
        ca = "a"
    "#;
    let found = faults_of(parse(text).unwrap_err());
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "clutser",
            r#"contexts."one@a".colour"#,
            r#"contexts."one@a".cert"#,
            r#"contexts."one@a".key"#,
            r#"contexts."one@a".ca"#,
            r#"contexts."one@a".endpoints.central-3"#,
            r#"contexts."one@a".endpoints.central-1"#,
            r#"contexts."one@a".endpoints.central-2"#,
            r#"contexts."one@a".endpoints"#,
            r#"contexts."one@a".home"#,
            "contexts.two.endpoints",
        ]
    );
}

#[test]
fn files_that_are_missing_or_not_pem_are_all_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("me.pem"), KEY).unwrap();
    std::fs::write(folder.path().join("me.key"), vec![b'x'; 70_000]).unwrap();
    let text = r#"
        [contexts.me]
        cert = "me.pem"
        key = "me.key"
        ca = "nowhere.pem"
        endpoints = ["https://127.0.0.1:1"]
    "#;
    let contexts = Contexts::parse(text, &folder.path().join("contexts.toml")).unwrap();
    let found = faults_of(contexts.context("me").unwrap_err());
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        ["contexts.me.cert", "contexts.me.key", "contexts.me.ca"]
    );
    assert!(found[0].1.contains("holds no certificate"), "{found:?}");
    assert!(found[1].1.contains("exceed"), "{found:?}");
}

#[test]
fn an_unknown_context_is_told_with_those_that_there_are() {
    let text = r#"
        [contexts.me]
        cert = "c"
        key = "k"
        ca = "a"
        endpoints = ["https://127.0.0.1:1"]
    "#;
    let error = parse(text).unwrap().context("you").unwrap_err().to_string();
    assert!(
        error.contains("`you`") && error.ends_with("it has: me"),
        "{error}"
    );
    assert!(matches!(
        parse("contexts = ["),
        Err(ContextError::Syntax { .. })
    ));
    assert_eq!(faults_of(parse("").unwrap_err())[0].0, "contexts");
}

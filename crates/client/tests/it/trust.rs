//! Certificates that do not fit are told as such, at once, and leave nothing open.

use std::time::{Duration, Instant};

use banyan_client::{CallError, Client, ConnectError, Context, ContextParts, Options, new_key};
use banyan_wire::v1::Command;

use crate::certificates::Authority;
use crate::node::{Node, Reply};
use crate::{context_of, options};

#[tokio::test]
async fn a_node_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = Node::start(&theirs, "central-1", |_, _| Reply::Accept).await;
    let context = context_of(&ours, vec![(node.name.clone(), node.url.clone())], None);
    let client = Client::with_options(context, options()).unwrap();
    let begun = Instant::now();
    let error = client
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Untrusted { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(node.seen().len(), 0);
}

#[tokio::test]
async fn a_caller_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = Node::start_trusting(&ours, &theirs, "central-1", |_, _| Reply::Accept).await;
    let context = context_of(&ours, vec![(node.name.clone(), node.url.clone())], None);
    let client = Client::with_options(context, options()).unwrap();
    let begun = Instant::now();
    let error = client
        .submit(new_key(), Command::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Untrusted { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(node.seen().len(), 0);
}

#[tokio::test]
async fn one_node_that_is_not_trusted_does_not_stop_a_write() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let odd = Node::start(&theirs, "central-1", |_, _| Reply::Accept).await;
    let node = Node::start(&ours, "central-2", |_, _| Reply::Accept).await;
    let endpoints = [&odd, &node]
        .map(|node| (node.name.clone(), node.url.clone()))
        .into_iter()
        .collect();
    let client = Client::with_options(context_of(&ours, endpoints, None), options()).unwrap();
    let submitted = client.submit(new_key(), Command::default()).await.unwrap();
    assert_eq!(submitted.stats.endpoint, "central-2");
}

#[tokio::test]
async fn material_that_is_not_usable_is_told_when_the_client_is_made() {
    let authority = Authority::new();
    let (certificate, _) = authority.client();
    let context = Context::new(ContextParts {
        name: String::from("me"),
        cluster: None,
        certificate_pem: certificate.into_bytes(),
        key_pem: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
        authority_pem: authority.pem().into_bytes(),
        endpoints: vec![(String::from("a-1"), String::from("https://127.0.0.1:1"))],
        home: None,
    })
    .unwrap();
    let error = Client::connect(context.clone()).unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    let none = Options {
        deadline: Duration::ZERO,
        ..Options::default()
    };
    let error = Client::with_options(context, none).unwrap_err();
    assert!(
        matches!(error, ConnectError::ZeroOption("deadline")),
        "{error}"
    );
}

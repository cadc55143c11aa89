//! The client against small nodes that answer as the test says, over real TLS with client certificates.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot make its input has failed"
)]

mod batches;
mod certificates;
mod node;
mod reads;
mod streams;
mod trust;
mod writes;

use std::time::Duration;

use banyan_client::{Client, Context, ContextParts, Options, Transport};
use certificates::Authority;
use node::Node;

/// Bounds short enough for tests, long enough for a busy machine.
pub(crate) fn options() -> Options {
    Options {
        deadline: Duration::from_secs(10),
        try_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        backoff_first: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        transport: Transport::Streams,
        ..Options::default()
    }
}

/// A context for these nodes; they are named `site-1`, `site-2` and so on by their letter.
pub(crate) fn context(authority: &Authority, nodes: &[&Node], home: Option<&str>) -> Context {
    let endpoints = nodes
        .iter()
        .map(|node| (node.name.clone(), node.url.clone()))
        .collect();
    context_of(authority, endpoints, home)
}

pub(crate) fn context_of(
    authority: &Authority,
    endpoints: Vec<(String, String)>,
    home: Option<&str>,
) -> Context {
    let (certificate, key) = authority.client();
    Context::new(ContextParts {
        name: String::from("registrar@nghe-an"),
        cluster: None,
        certificate_pem: certificate.into_bytes(),
        key_pem: key.into_bytes(),
        authority_pem: authority.pem().into_bytes(),
        endpoints,
        home: home.map(ToOwned::to_owned),
    })
    .unwrap()
}

pub(crate) fn client(authority: &Authority, nodes: &[&Node]) -> Client {
    Client::with_options(context(authority, nodes, None), options()).unwrap()
}

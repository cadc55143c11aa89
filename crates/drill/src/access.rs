//! The ways into a cluster that drills use: clients by principal, questions to all nodes at once.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banyan_client::{
    CallError, Client, ConnectError, Context, ContextFault, ContextParts, Options,
};
use banyan_topology::{Node, Topology};
use banyan_wire::v1;
use tokio::task::JoinSet;

use crate::identities;

/// A node that does not tell its status within this time counts as silent.
const STATUS_WITHIN: Duration = Duration::from_secs(3);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("the development infrastructure knows no {principal}; it knows: {}", known.join(", "))]
    Unknown {
        principal: String,
        known: Vec<String>,
    },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{principal} has no valid context: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Context {
        principal: String,
        faults: Vec<ContextFault>,
    },
    #[error("{principal} cannot connect")]
    Connect {
        principal: String,
        #[source]
        source: ConnectError,
    },
}

/// What drills ask of a client: short tries, so that a dead node is left soon, and an overall deadline past any election.
pub fn call_options() -> Options {
    Options {
        deadline: Duration::from_secs(20),
        try_timeout: Duration::from_secs(3),
        ..Options::default()
    }
}

/// A client for one principal of a development infrastructure that knows the given nodes; those at its home come first
/// for reads. Connects when first used.
///
/// # Errors
/// [`AccessError`].
pub fn connect(
    topology: &Topology,
    pki: &Path,
    principal: &str,
    nodes: &[&Node],
    options: Options,
) -> Result<Client, AccessError> {
    let known = identities::principals(topology);
    let Some(found) = known.iter().find(|known| known.name == principal) else {
        let known = known.into_iter().map(|known| known.name).collect();
        return Err(AccessError::Unknown {
            principal: principal.to_owned(),
            known,
        });
    };
    let read =
        |path: PathBuf| std::fs::read(&path).map_err(|source| AccessError::Read { path, source });
    let clients = pki.join("clients");
    let home = nodes
        .iter()
        .any(|node| node.site() == found.home)
        .then(|| found.home.clone());
    let context = Context::new(ContextParts {
        name: principal.to_owned(),
        cluster: Some(topology.cluster().to_owned()),
        certificate_pem: read(clients.join(format!("{principal}.pem")))?,
        key_pem: read(clients.join(format!("{principal}.key")))?,
        authority_pem: read(pki.join("server-ca.pem"))?,
        endpoints: nodes
            .iter()
            .map(|node| {
                (
                    node.name().to_owned(),
                    format!("https://{}", node.client_endpoint()),
                )
            })
            .collect(),
        home,
    })
    .map_err(|faults| AccessError::Context {
        principal: principal.to_owned(),
        faults,
    })?;
    Client::with_options(context, options).map_err(|source| AccessError::Connect {
        principal: principal.to_owned(),
        source,
    })
}

/// What every named node says of itself, or why it says nothing.
pub async fn status_of_all(
    operator: &Client,
    nodes: &[String],
) -> BTreeMap<String, Result<v1::StatusResponse, String>> {
    let mut asked = JoinSet::new();
    for name in nodes {
        let (operator, name) = (operator.clone(), name.clone());
        asked.spawn(async move {
            let answer = match tokio::time::timeout(STATUS_WITHIN, operator.status(&name)).await {
                Ok(Ok(status)) => Ok(status.answer),
                Ok(Err(error)) => Err(reason(&error)),
                Err(_) => Err("no answer in time".to_owned()),
            };
            (name, answer)
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(joined) = asked.join_next().await {
        if let Ok((name, answer)) = joined {
            answers.insert(name, answer);
        }
    }
    answers
}

/// An error with all its sources, in one line.
pub fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whether a call's failure leaves open that the command takes effect.
pub fn outcome_unknown(error: &CallError) -> bool {
    matches!(error, CallError::OutcomeUnknown { .. })
}

/// Whether the same call may come to a definite answer later.
pub fn try_again(error: &CallError) -> bool {
    matches!(
        error,
        CallError::OutcomeUnknown { .. } | CallError::Unavailable { .. }
    )
}

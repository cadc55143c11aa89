//! A connection to the cluster as somebody: contexts are found, the principal chosen, nodes named.

use std::path::PathBuf;

use banyan_client::{Client, Context, Contexts, Options};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;

/// Where a local cluster leaves its contexts unless told otherwise.
const DEMO_CONTEXTS: &str = "target/demo/contexts.toml";

/// A client that acts as one principal.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Names of all nodes that the context lists, in its order.
    pub(crate) nodes: Vec<String>,
    /// The node asked for with `--node`.
    pub(crate) node: Option<String>,
}

/// Who is meant where `--as` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usual {
    /// The only operator of the contexts file: for commands that only operators may give.
    Operator,
    /// Nobody: reading and writing persons is always done in somebody's name.
    Nobody,
}

impl Session {
    /// Finds the context and makes the client. Nothing is sent yet.
    pub(crate) fn open(global: &Global, usual: Usual) -> Result<Self, Failure> {
        let contexts = load(global)?;
        let principal = principal(global, &contexts, usual)?;
        let context = contexts
            .context(&principal)
            .map_err(|error| Failure::because(Exit::Usage, &error))?;
        let nodes: Vec<String> = context
            .targets()
            .iter()
            .map(|target| target.name.clone())
            .collect();
        let node = chosen_node(global, &context, &nodes)?;
        let options = Options {
            deadline: global.deadline(),
            ..Options::default()
        };
        let client = Client::with_options(context, options)
            .map_err(|error| Failure::because(Exit::Usage, &error))?;
        Ok(Self {
            client,
            nodes,
            node,
        })
    }

    /// The node of `--node`, or the context's first.
    pub(crate) fn any_node(&self) -> Result<&str, Failure> {
        self.node
            .as_deref()
            .or_else(|| self.nodes.first().map(String::as_str))
            .ok_or_else(|| Failure::usage("the context names no endpoint"))
    }
}

fn load(global: &Global) -> Result<Contexts, Failure> {
    let candidates = match &global.contexts {
        Some(given) => vec![given.clone()],
        None => usual_places(),
    };
    let Some(path) = candidates.iter().find(|path| path.is_file()) else {
        let looked: Vec<String> = candidates
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(Failure::new(
            Exit::NotFound,
            format!("no contexts file; looked for {}", looked.join(", ")),
        )
        .with_advice("Start a local cluster, or name the file with --contexts.")
        .with_next("banyan cluster up"));
    };
    Contexts::load(path).map_err(|error| Failure::because(Exit::Usage, &error))
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(DEMO_CONTEXTS)];
    if let Some(home) = std::env::home_dir() {
        places.push(home.join(".config/banyan/contexts.toml"));
    }
    places
}

fn principal(global: &Global, contexts: &Contexts, usual: Usual) -> Result<String, Failure> {
    if let Some(principal) = &global.principal {
        return Ok(principal.clone());
    }
    let operators: Vec<&str> = contexts
        .names()
        .filter(|name| name.starts_with("operator@"))
        .collect();
    if let (Usual::Operator, [only]) = (usual, operators.as_slice()) {
        return Ok((*only).to_owned());
    }
    let known: Vec<&str> = contexts.names().collect();
    Err(Failure::usage(format!(
        "say as whom with --as; the contexts file has {}",
        known.join(", ")
    )))
}

fn chosen_node(
    global: &Global,
    context: &Context,
    nodes: &[String],
) -> Result<Option<String>, Failure> {
    let Some(wanted) = &global.node else {
        return Ok(None);
    };
    match context.target(wanted) {
        Some(target) => Ok(Some(target.name.clone())),
        None => Err(Failure::new(
            Exit::NotFound,
            format!(
                "no node is called {wanted}; the context has {}",
                nodes.join(", ")
            ),
        )),
    }
}

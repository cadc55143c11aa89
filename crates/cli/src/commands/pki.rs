//! `banyan pki`: a development public key infrastructure for a topology.

use std::path::{Path, PathBuf};

use banyan_drill::pki::{self, PkiError};
use banyan_topology::{Node, Topology};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make authorities, certificates and contexts for a topology (for development: production brings its own)
    Init(Init),
    /// Make the certificates of one more node, by the authorities that `init` made
    Add(Add),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Node of the topology file
    #[arg(value_name = "NODE")]
    new: String,
    /// Directory that `init` made, with the keys of the authorities
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Topology file that names the node
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    /// Days that the certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = pki::VALID_DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Directory to make; must be missing or empty
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Topology file
    #[arg(long, value_name = "FILE", default_value = "cluster/local.toml")]
    topology: PathBuf,
    /// Days that the certificates are valid
    #[arg(long, value_name = "DAYS", default_value_t = pki::VALID_DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Shape {
    dry_run: bool,
    directory: String,
    contexts: String,
    nodes: usize,
    principals: Vec<String>,
}

#[derive(Serialize)]
struct AddShape {
    dry_run: bool,
    node: String,
    directory: String,
    contexts: String,
    endpoint: String,
}

pub(crate) fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(init) => run_init(global, init),
        Command::Add(add) => run_add(global, add),
    }
}

fn run_add(global: &Global, add: &Add) -> Result<Exit, Failure> {
    let topology = read_topology(&add.topology)?;
    let options = pki::Options {
        directory: &add.dir,
        topology: &topology,
        valid_days: add.days,
    };
    let made = if add.dry_run {
        pki::check_add_node(&options, &add.new)
    } else {
        pki::add_node(&options, &add.new)
    };
    let folder = made.map_err(|error| {
        let exit = match error {
            PkiError::NodeExists { .. } => Exit::Usage,
            PkiError::NoNode { .. } | PkiError::Read { .. } => Exit::NotFound,
            _ => Exit::Fault,
        };
        Failure::because(exit, &error)
    })?;
    let endpoint = topology.node(&add.new).map(Node::client_endpoint);
    let shape = AddShape {
        dry_run: add.dry_run,
        node: add.new.clone(),
        directory: folder.display().to_string(),
        contexts: pki::contexts_file(&add.dir).display().to_string(),
        endpoint: format!("https://{}", endpoint.unwrap_or_default()),
    };
    global.output().answer(&shape, || {
        let verb = if shape.dry_run { "Would make" } else { "Made" };
        format!(
            "{verb} certificates for {} in {}.\nFor those who are to ask it, add to their endpoints in {}:\n  {} = \"{}\"",
            shape.node, shape.directory, shape.contexts, shape.node, shape.endpoint
        )
    });
    Ok(Exit::Done)
}

fn run_init(global: &Global, init: &Init) -> Result<Exit, Failure> {
    let topology = read_topology(&init.topology)?;
    let shape = if init.dry_run {
        Shape {
            dry_run: true,
            directory: init.dir.display().to_string(),
            contexts: pki::contexts_file(&init.dir).display().to_string(),
            nodes: topology.nodes().len(),
            principals: banyan_drill::identities::principals(&topology)
                .into_iter()
                .map(|one| one.name)
                .collect(),
        }
    } else {
        let options = pki::Options {
            directory: &init.dir,
            topology: &topology,
            valid_days: init.days,
        };
        let made = pki::create(&options).map_err(|error| {
            let exit = if matches!(error, PkiError::NotEmpty { .. }) {
                Exit::Usage
            } else {
                Exit::Fault
            };
            Failure::because(exit, &error)
        })?;
        Shape {
            dry_run: false,
            directory: made.directory.display().to_string(),
            contexts: made.contexts.display().to_string(),
            nodes: made.nodes,
            principals: made.principals,
        }
    };
    global.output().answer(&shape, || {
        let verb = if shape.dry_run { "Would make" } else { "Made" };
        format!(
            "{verb} certificates for {} nodes and {} principals in {}.\nprincipals  {}\ncontexts    {}\n\
             Keep the keys of the authorities (*-ca.key) away from the nodes.",
            shape.nodes,
            shape.principals.len(),
            shape.directory,
            shape.principals.join(", "),
            shape.contexts
        )
    });
    Ok(Exit::Done)
}

/// Reads and checks a topology file.
pub(crate) fn read_topology(path: &Path) -> Result<Topology, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::NotFound,
            format!("cannot read {}: {error}", path.display()),
        )
    })?;
    let parsed = Topology::parse(&text).map_err(|error| Failure::because(Exit::Usage, &error))?;
    Ok(parsed.topology)
}

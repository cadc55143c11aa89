//! `banyan member`: nodes that come, vote, vote no more, and go for good.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banyan_topology::Node;
use banyan_wire::errors::Code;
use banyan_wire::v1;
use banyan_wire::v1::change_members_request::Change;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::leader::first_status;
use super::pki::read_topology;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::session::{Session, Usual};

/// Between two tries of a change that is not possible yet: a new node gets the log meanwhile.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let a new node get the log, as a learner
    Add(Add),
    /// Make learners voters
    Promote(Voters),
    /// Make voters learners
    Demote(Voters),
    /// Put a new node in the place of another one: add it, let it vote if the other did, remove the other
    Replace(Replace),
    /// Take a learner out, for good: its id is never used again
    Remove(Remove),
}

#[derive(Debug, Args)]
struct How {
    /// Wait so long for a node to catch up and for other changes to end
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    /// Go on although the survival goal would not hold: the cluster's name in full
    #[arg(long = "override", value_name = "CLUSTER", default_value = "")]
    override_goal: String,
    /// Only judge
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Node of the topology file
    #[arg(value_name = "NODE")]
    new: String,
    /// Topology file that names the new node
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Voters {
    /// Members, all of them in one change
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// Member that goes
    #[arg(value_name = "NODE")]
    old: String,
    /// Node of the topology file that comes, under an id of its own
    #[arg(long, value_name = "NODE")]
    by: String,
    /// Topology file that names the new node
    #[arg(long, value_name = "FILE")]
    topology: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Member that goes
    #[arg(value_name = "NODE")]
    old: String,
    #[command(flatten)]
    how: How,
}

/// One change, and of whom it speaks.
struct Planned {
    step: &'static str,
    nodes: Vec<String>,
    change: Change,
}

#[derive(Serialize)]
struct Shape {
    dry_run: bool,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    nodes: Vec<String>,
    survival_goal: String,
    before: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    during: String,
    after: String,
}

impl Command {
    fn how(&self) -> &How {
        match self {
            Self::Add(Add { how, .. })
            | Self::Promote(Voters { how, .. })
            | Self::Demote(Voters { how, .. })
            | Self::Replace(Replace { how, .. })
            | Self::Remove(Remove { how, .. }) => how,
        }
    }
}

pub(crate) async fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    let session = Session::open(global, Usual::Operator)?;
    let status = first_status(&session).await?;
    let plan = match command {
        Command::Add(Add { new, topology, .. }) => vec![add(&new_node(topology, new)?)],
        Command::Promote(Voters { nodes, .. }) => vec![voters("promote", &status, nodes, &[])?],
        Command::Demote(Voters { nodes, .. }) => vec![voters("demote", &status, &[], nodes)?],
        Command::Remove(Remove { old, .. }) => vec![remove(&status, old)?],
        Command::Replace(replace) => steps_of(&status, replace)?,
    };
    let how = command.how();
    let until = Instant::now() + Duration::from_secs(how.wait);
    let mut steps = Vec::with_capacity(plan.len());
    for Planned {
        step,
        nodes,
        change,
    } in plan
    {
        let request = v1::ChangeMembersRequest {
            change: Some(change),
            dry_run: how.dry_run,
            override_goal: how.override_goal.clone(),
        };
        let answer = ask(&session, request, until).await?;
        steps.push(Step {
            step,
            nodes,
            survival_goal: answer.survival_goal,
            before: answer.before,
            during: answer.during,
            after: answer.after,
        });
    }
    let shape = Shape {
        dry_run: how.dry_run,
        steps,
    };
    global.output().answer(&shape, || words(&shape));
    Ok(Exit::Done)
}

/// Asks for a change until it is made, or cannot be.
async fn ask(
    session: &Session,
    request: v1::ChangeMembersRequest,
    until: Instant,
) -> Result<v1::ChangeMembersResponse, Failure> {
    let node = session.any_node()?;
    loop {
        let asked = session.client.change_members(node, request.clone()).await;
        match asked {
            Ok(answer) => return Ok(answer.answer),
            Err(error) => {
                let not_yet = error.code() == Some(Code::MembersNotChanged);
                if !not_yet || Instant::now() + AGAIN_AFTER >= until {
                    return Err(error.into());
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn new_node(topology: &Path, name: &str) -> Result<Node, Failure> {
    let topology = read_topology(topology)?;
    topology.node(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = topology.nodes().iter().map(Node::name).collect();
        Failure::new(
            Exit::NotFound,
            format!(
                "the topology names no node {name}; it has {}",
                known.join(", ")
            ),
        )
    })
}

fn add(node: &Node) -> Planned {
    Planned {
        step: "add",
        nodes: vec![node.name().to_owned()],
        change: Change::Add(v1::NewMember {
            node_id: node.id().get(),
            node: node.name().to_owned(),
            site: node.site().to_owned(),
            peer_endpoint: node.peer_endpoint(),
            client_endpoint: node.client_endpoint(),
            will_vote: node.is_voter(),
        }),
    }
}

fn voters(
    step: &'static str,
    status: &v1::StatusResponse,
    promote: &[String],
    demote: &[String],
) -> Result<Planned, Failure> {
    let ids = |names: &[String]| -> Result<Vec<u64>, Failure> {
        names.iter().map(|name| member_id(status, name)).collect()
    };
    Ok(Planned {
        step,
        nodes: promote.iter().chain(demote).cloned().collect(),
        change: Change::Voters(v1::ChangeVoters {
            promote_node_ids: ids(promote)?,
            demote_node_ids: ids(demote)?,
        }),
    })
}

fn remove(status: &v1::StatusResponse, name: &str) -> Result<Planned, Failure> {
    Ok(Planned {
        step: "remove",
        nodes: vec![name.to_owned()],
        change: Change::RemoveNodeId(member_id(status, name)?),
    })
}

/// What is left to be done of a replacement: it may have been begun before.
fn steps_of(status: &v1::StatusResponse, replace: &Replace) -> Result<Vec<Planned>, Failure> {
    let new = new_node(&replace.topology, &replace.by)?;
    let old = member(status, &replace.old)?;
    if new.id().get() == old.node_id {
        return Err(Failure::usage(format!(
            "{} has the id of {}: a node that takes another one's place has an id that was never used",
            replace.by, replace.old
        )));
    }
    let mut steps = vec![add(&new)];
    let joined = status
        .members
        .iter()
        .any(|member| member.node_id == new.id().get());
    // What comes after the new node has joined is judged then.
    if replace.how.dry_run && !joined {
        return Ok(steps);
    }
    if old.membership == "voter" {
        steps.push(Planned {
            step: "exchange",
            nodes: vec![replace.by.clone(), replace.old.clone()],
            change: Change::Voters(v1::ChangeVoters {
                promote_node_ids: vec![new.id().get()],
                demote_node_ids: vec![old.node_id],
            }),
        });
    }
    // While it still votes it could not be removed.
    if !(replace.how.dry_run && old.membership == "voter") {
        steps.push(remove(status, &replace.old)?);
    }
    Ok(steps)
}

fn member<'a>(status: &'a v1::StatusResponse, name: &str) -> Result<&'a v1::MemberStatus, Failure> {
    let members = &status.members;
    members
        .iter()
        .find(|member| member.node == name)
        .ok_or_else(|| {
            let known: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
            Failure::new(
                Exit::NotFound,
                format!("no member is called {name}; there are {}", known.join(", ")),
            )
        })
}

fn member_id(status: &v1::StatusResponse, name: &str) -> Result<u64, Failure> {
    Ok(member(status, name)?.node_id)
}

fn words(shape: &Shape) -> String {
    let line = |step: &Step| {
        let what = step.nodes.join(", ");
        let done = match (step.step, shape.dry_run) {
            ("add", false) => format!("{what} is a member and gets the log."),
            ("add", true) => format!("{what} would be a member and get the log."),
            ("promote", false) => format!("Voting: {what}."),
            ("promote", true) => format!("Would vote: {what}."),
            ("demote", false) => format!("Voting no more: {what}."),
            ("demote", true) => format!("Would vote no more: {what}."),
            ("exchange", false) => format!("{} no longer.", step.nodes.join(" votes, and ")),
            ("exchange", true) => {
                format!("{} no longer.", step.nodes.join(" would vote, and "))
            }
            (_, false) => format!("{what} is out, for good."),
            (_, true) => format!("{what} would be out, for good."),
        };
        let during = if step.during.is_empty() {
            String::new()
        } else {
            format!("; during it: {}", step.during)
        };
        format!(
            "{done} Survival of {}: before, {}{during}; after, {}.",
            step.survival_goal, step.before, step.after
        )
    };
    let mut lines: Vec<String> = shape.steps.iter().map(line).collect();
    if shape.dry_run {
        lines.push("Nothing was done.".to_owned());
    }
    lines.join("\n")
}

//! `banyan leader transfer`: moves leadership to a voter.

use banyan_wire::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::session::{Session, Usual};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand leadership to another voter
    Transfer(Transfer),
}

#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// Voter that shall lead [default: the best caught-up one]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Only say who leads and who would
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Shape {
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
}

pub(crate) async fn run(global: &Global, command: &Command) -> Result<Exit, Failure> {
    let Command::Transfer(transfer) = command;
    let session = Session::open(global, Usual::Operator)?;
    let status = first_status(&session).await?;
    let wanted = transfer
        .to
        .as_deref()
        .map(|name| voter(&status, name))
        .transpose()?;
    let leader_before = name_of(&status, status.leader_id);
    let leader = if transfer.dry_run {
        transfer.to.clone()
    } else {
        let node = session.any_node()?;
        let moved = session
            .client
            .transfer_leader(node, wanted.unwrap_or(0))
            .await?;
        name_of(&status, moved.answer.leader_id)
    };
    let shape = Shape {
        dry_run: transfer.dry_run,
        leader_before,
        leader,
    };
    global.output().answer(&shape, || {
        let before = shape.leader_before.as_deref().unwrap_or("nobody");
        let after = shape
            .leader
            .as_deref()
            .unwrap_or("the best caught-up voter");
        if shape.dry_run {
            format!("{before} leads; {after} would. Nothing was done.")
        } else {
            format!("{after} leads; before, {before} did.")
        }
    });
    Ok(Exit::Done)
}

/// The status of the chosen node, or of the first that answers.
pub(super) async fn first_status(session: &Session) -> Result<v1::StatusResponse, Failure> {
    if let Some(node) = &session.node {
        return Ok(session.client.status(node).await?.answer);
    }
    let answers = banyan_drill::access::status_of_all(&session.client, &session.nodes).await;
    let mut reasons = Vec::new();
    let mut answered = Vec::new();
    for (name, answer) in answers {
        match answer {
            Ok(status) => answered.push(status),
            Err(reason) => reasons.push(format!("{name}: {reason}")),
        }
    }
    // The one that knows a leader, of these the one in the highest term.
    answered
        .into_iter()
        .max_by_key(|status| (status.leader_id != 0, status.term))
        .ok_or_else(|| {
            Failure::new(
                Exit::Unavailable,
                format!("no node answers ({})", reasons.join("; ")),
            )
            .with_next("banyan cluster status")
        })
}

fn voter(status: &v1::StatusResponse, name: &str) -> Result<u64, Failure> {
    let members = &status.members;
    match members.iter().find(|member| member.node == name) {
        Some(member) if member.membership == "voter" => Ok(member.node_id),
        Some(_) => Err(
            Failure::usage(format!("{name} is a learner and cannot lead"))
                .with_next("banyan cluster status"),
        ),
        None => {
            let known: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
            Err(Failure::new(
                Exit::NotFound,
                format!("no member is called {name}; there are {}", known.join(", ")),
            ))
        }
    }
}

fn name_of(status: &v1::StatusResponse, node_id: u64) -> Option<String> {
    let member = status
        .members
        .iter()
        .find(|member| member.node_id == node_id)?;
    Some(member.node.clone())
}

//! Learners of etcd: members that get the log, and neither vote nor serve.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use banyan_drill::wait_for;

use super::{ETCD, Etcd, READY_WITHIN, arguments, unary};
use crate::authority::Authority;
use crate::process::{Launch, Running, free_ports};
use crate::systems::etcd_messages::{
    MemberAddRequest, MemberAddResponse, StatusRequest, StatusResponse, path,
};

impl Etcd {
    /// Attaches so many learners, or as many as etcd permits: how many.
    ///
    /// # Errors
    /// That one does not start, or does not answer.
    pub(crate) async fn attach_learners(
        &mut self,
        folder: &Path,
        authority: &Authority,
        wanted: usize,
    ) -> anyhow::Result<usize> {
        let server = authority.issue("etcd-learner")?;
        // What the first member was told of the others.
        let first = &self.members[0].launch.arguments;
        let all = first
            .iter()
            .find(|argument| argument.starts_with("--initial-cluster="))
            .context("the first member was told of no cluster")?
            .clone();
        for number in 1..=wanted {
            let [client, peer]: [u16; 2] = free_ports()?;
            let name = format!("l{number}");
            let url = format!("https://127.0.0.1:{peer}");
            let leader = self.leader().await?;
            let add = MemberAddRequest {
                peer_urls: vec![url.clone()],
                is_learner: true,
            };
            let channel = self.channel(leader)?;
            let added = wait_for::condition("a place for a learner", READY_WITHIN, async || {
                let added = unary::<_, MemberAddResponse>(&channel, path::MEMBER_ADD, add.clone());
                match added.await {
                    Ok(_) => Ok(true),
                    // etcd 3.4 permits one, and has no setting for it.
                    Err(error) if error.contains("too many learner") => Ok(false),
                    // It wants its members to have been connected for some seconds.
                    Err(error) => Err(error),
                }
            });
            if !added.await? {
                break;
            }
            let launch = Launch {
                name: format!("etcd {name}"),
                program: PathBuf::from(ETCD),
                arguments: arguments(
                    folder,
                    &name,
                    [client, peer],
                    &server,
                    &authority.certificate(),
                )
                .into_iter()
                .chain([
                    format!("{all},{name}={url}"),
                    "--initial-cluster-state=existing".to_owned(),
                ])
                .collect(),
                log: folder.join(format!("{name}.log")),
                user: None,
            };
            self.learners.push(launch.start()?);
            let endpoint = self.endpoint(format!("https://127.0.0.1:{client}"))?;
            let channel = endpoint.connect_lazy();
            wait_for::condition("a level learner of etcd", READY_WITHIN, async || {
                let learner: StatusResponse =
                    unary(&channel, path::STATUS, StatusRequest {}).await?;
                let leader = self.status(leader).await?;
                if learner.raft_applied_index > 0
                    && learner.raft_applied_index + 100 > leader.raft_applied_index
                {
                    Ok(())
                } else {
                    Err(format!("it stands at {}", learner.raft_applied_index))
                }
            })
            .await?;
        }
        Ok(self.learners.len())
    }

    /// That the learners run still.
    ///
    /// # Errors
    /// The first that does not.
    pub(crate) fn check_learners(&mut self) -> anyhow::Result<()> {
        self.learners.iter_mut().try_for_each(Running::check)
    }
}

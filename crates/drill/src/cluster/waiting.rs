//! Waiting for the nodes of a local cluster: until they answer, agree, are level.

use std::time::{Duration, Instant};

use banyan_client::Client;
use banyan_wire::v1;

use super::{ClusterError, LocalCluster, files};
use crate::access;
use crate::wait_for;

impl LocalCluster {
    /// Waits until the named nodes answer an operator.
    ///
    /// # Errors
    /// [`ClusterError::Elapsed`], or [`ClusterError::Ended`] as soon as one of them has ended.
    pub async fn wait_answering(
        &mut self,
        nodes: &[String],
        deadline: Duration,
    ) -> Result<(), ClusterError> {
        let operator = self.operator()?;
        self.wait_all(
            &operator,
            nodes,
            "an answer of every node",
            deadline,
            |_, _| Ok(()),
        )
        .await
    }

    /// Waits until every named node has applied what the furthest of them has committed, and all agree on the leader.
    ///
    /// # Errors
    /// As [`LocalCluster::wait_answering`].
    pub async fn wait_caught_up(
        &mut self,
        nodes: &[String],
        deadline: Duration,
    ) -> Result<u64, ClusterError> {
        let operator = self.operator()?;
        let end = Instant::now() + deadline;
        self.wait_all(
            &operator,
            nodes,
            "one leader known to all",
            deadline,
            |name, status| {
                if status.leader_id == 0 {
                    Err(format!("{name} knows no leader"))
                } else {
                    Ok(())
                }
            },
        )
        .await?;
        let statuses = access::status_of_all(&operator, nodes).await;
        let furthest = statuses
            .values()
            .filter_map(|status| status.as_ref().ok())
            .map(|status| status.applied_index.max(status.committed_index))
            .max()
            .unwrap_or(0);
        let left = end.saturating_duration_since(Instant::now());
        self.wait_applied(nodes, furthest, left).await?;
        Ok(furthest)
    }

    /// Waits until every named node has applied a position.
    ///
    /// # Errors
    /// As [`LocalCluster::wait_answering`].
    pub async fn wait_applied(
        &mut self,
        nodes: &[String],
        position: u64,
        deadline: Duration,
    ) -> Result<(), ClusterError> {
        let operator = self.operator()?;
        let what = format!("applying position {position} on every node");
        self.wait_all(&operator, nodes, &what, deadline, |name, status| {
            if status.applied_index >= position {
                Ok(())
            } else {
                Err(format!("{name} has applied {}", status.applied_index))
            }
        })
        .await
    }

    async fn wait_all(
        &mut self,
        operator: &Client,
        nodes: &[String],
        what: &str,
        deadline: Duration,
        holds: impl Fn(&str, &v1::StatusResponse) -> Result<(), String>,
    ) -> Result<(), ClusterError> {
        let mut ended = None;
        let waited = wait_for::condition(what, deadline, async || {
            ended = self.first_ended(nodes);
            if ended.is_some() {
                return Ok(());
            }
            for (name, status) in access::status_of_all(operator, nodes).await {
                let status = status.map_err(|reason| format!("{name}: {reason}"))?;
                holds(&name, &status)?;
            }
            Ok(())
        })
        .await;
        match ended {
            Some((node, how)) => {
                let log = self.layout.node_log(&node);
                let tail = files::tail(&log);
                Err(ClusterError::Ended {
                    node,
                    how,
                    log,
                    tail,
                })
            }
            None => Ok(waited?),
        }
    }

    fn first_ended(&mut self, nodes: &[String]) -> Option<(String, String)> {
        nodes.iter().find_map(|name| {
            let how = self.ended_with(name)?;
            Some((name.clone(), how))
        })
    }
}

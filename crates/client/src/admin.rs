//! Calls about the cluster, each to an endpoint that the caller names.

use std::time::Duration;

use banyan_wire::v1;
use banyan_wire::v1::cluster_admin_client::ClusterAdminClient;
use tonic::transport::Channel;

use crate::client::Client;
use crate::error::CallError;
use crate::journey::{Journey, Roaming};
use crate::link::{ANSWER_BYTES_MAX, timed};
use crate::reads::{Read, read};

/// Time for a question about one node; a node that is down is reported quickly, and callers ask again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

impl Client {
    /// What one node knows: its role, positions and members. One try at this endpoint only, of at most 3 s.
    ///
    /// # Errors
    /// [`CallError::Unavailable`] if that node did not answer, else as for any call.
    pub async fn status(&self, endpoint: &str) -> Result<Read<v1::StatusResponse>, CallError> {
        read(self.question(endpoint)?, |link, time| async move {
            Ok(admin(link.channel)
                .status(timed(v1::StatusRequest {}, time))
                .await?
                .into_inner())
        })
        .await
    }

    /// One node's digest at a mark. One try at this endpoint only, of at most 3 s.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn get_digest(
        &self,
        endpoint: &str,
        position: u64,
    ) -> Result<Read<v1::GetDigestResponse>, CallError> {
        read(self.question(endpoint)?, |link, time| async move {
            let request = timed(v1::GetDigestRequest { position }, time);
            Ok(admin(link.channel).get_digest(request).await?.into_inner())
        })
        .await
    }

    /// Makes one node take a checkpoint of its state now. Tries this endpoint only, until the deadline.
    ///
    /// # Errors
    /// As for any call.
    pub async fn take_snapshot(
        &self,
        endpoint: &str,
    ) -> Result<Read<v1::TakeSnapshotResponse>, CallError> {
        let journey = self.from(endpoint, Roaming::Stay)?;
        read(journey, |link, time| async move {
            let request = timed(v1::TakeSnapshotRequest {}, time);
            Ok(admin(link.channel)
                .take_snapshot(request)
                .await?
                .into_inner())
        })
        .await
    }

    /// Forms the cluster from the topology of the node called. Safe to repeat.
    ///
    /// # Errors
    /// As for any call.
    pub async fn bootstrap(
        &self,
        endpoint: &str,
    ) -> Result<Read<v1::BootstrapResponse>, CallError> {
        let journey = self.from(endpoint, Roaming::Stay)?;
        read(journey, |link, time| async move {
            Ok(admin(link.channel)
                .bootstrap(timed(v1::BootstrapRequest {}, time))
                .await?
                .into_inner())
        })
        .await
    }

    /// Moves leadership to a voter, 0 meaning the best caught-up one. Starts at this endpoint and follows leader hints.
    ///
    /// # Errors
    /// As for any call.
    pub async fn transfer_leader(
        &self,
        endpoint: &str,
        to_node_id: u64,
    ) -> Result<Read<v1::TransferLeaderResponse>, CallError> {
        let journey = self.from(endpoint, Roaming::Anywhere)?;
        read(journey, |link, time| async move {
            let request = timed(v1::TransferLeaderRequest { to_node_id }, time);
            Ok(admin(link.channel)
                .transfer_leader(request)
                .await?
                .into_inner())
        })
        .await
    }

    /// Changes the membership, or judges the change only. Starts at this endpoint and follows leader hints. Asking for what is so already is no
    /// error, so that a retry is safe.
    ///
    /// # Errors
    /// As for any call; `SURVIVAL_AT_RISK` and `MEMBERSHIP_MISMATCH` say that nothing was changed.
    pub async fn change_members(
        &self,
        endpoint: &str,
        request: v1::ChangeMembersRequest,
    ) -> Result<Read<v1::ChangeMembersResponse>, CallError> {
        let journey = self.from(endpoint, Roaming::Anywhere)?;
        read(journey, |link, time| {
            let request = timed(request.clone(), time);
            async move {
                Ok(admin(link.channel)
                    .change_members(request)
                    .await?
                    .into_inner())
            }
        })
        .await
    }

    /// Proposes a digest mark and answers its position. Starts at this endpoint and follows leader hints.
    ///
    /// A mark is not idempotent: a retry may leave a second mark in the log, which costs one more hashing of the state.
    ///
    /// # Errors
    /// As for any call.
    pub async fn start_digest(
        &self,
        endpoint: &str,
    ) -> Result<Read<v1::StartDigestResponse>, CallError> {
        let journey = self.from(endpoint, Roaming::Anywhere)?;
        read(journey, |link, time| async move {
            let request = timed(v1::StartDigestRequest {}, time);
            Ok(admin(link.channel)
                .start_digest(request)
                .await?
                .into_inner())
        })
        .await
    }

    fn question(&self, endpoint: &str) -> Result<Journey<'_>, CallError> {
        let route = vec![self.target(endpoint)?];
        let deadline = self.shared.options.deadline.min(QUESTION_TIMEOUT);
        Ok(Journey::new(&self.shared, route, Roaming::Once, deadline))
    }

    fn from(&self, endpoint: &str, roaming: Roaming) -> Result<Journey<'_>, CallError> {
        let route = vec![self.target(endpoint)?];
        Ok(Journey::new(
            &self.shared,
            route,
            roaming,
            self.shared.options.deadline,
        ))
    }
}

/// The administration service on a connection.
fn admin(channel: Channel) -> ClusterAdminClient<Channel> {
    ClusterAdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

//! A new leader lets its callers wait until a quorum has answered it once.
//!
//! Until then it has no lease, and openraft refuses what is proposed. That takes a round trip to the nearest voter: far less than the pause after
//! which a caller who was refused comes back, and with sites far apart long enough for all callers to meet it.

use std::time::Duration;

use openraft::{
    Raft, RaftMetrics, ServerState, async_runtime::watch::WatchReceiver as _,
    storage::RaftStateMachine,
};
use openraft_rt::AsyncRuntime;

use crate::types::TypeConfig;

/// Waits while this node leads and no quorum has answered it in its term, at most `within`: a leader without a quorum refuses after that, as one does
/// that has lost its quorum.
pub(crate) async fn wait<R, SM>(raft: &Raft<TypeConfig<R>, SM>, within: Duration)
where
    R: AsyncRuntime,
    SM: RaftStateMachine<TypeConfig<R>>,
{
    let mut metrics = raft.metrics();
    if !is_unanswered(&metrics.borrow_watched()) {
        return;
    }
    let answered = async {
        while is_unanswered(&metrics.borrow_watched()) {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    };
    // Either way the proposals go on: openraft has the last word.
    let _ = R::timeout(within, Box::pin(answered)).await;
}

fn is_unanswered<R: AsyncRuntime>(metrics: &RaftMetrics<TypeConfig<R>>) -> bool {
    metrics.state == ServerState::Leader
        && metrics.last_quorum_acked.is_none()
        // The only voter has nobody to wait for.
        && metrics.membership_config.membership().voter_ids().count() > 1
}

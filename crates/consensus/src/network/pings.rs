//! Pings between voters: the asking side. The answering side is in `server`.

use std::time::Duration;

use banyan_domain::Timestamp;
use banyan_wire::internal_v1 as wire;
use futures::{FutureExt as _, future::BoxFuture, join};
use openraft_rt::AsyncRuntime;

use crate::{
    member::Member,
    network::client::{Client, PeerNetwork},
    pings::PingWire,
};

impl<R: AsyncRuntime> PingWire for PeerNetwork<R> {
    fn ping(&self, node: u64, member: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        let clients = self.election_clients(node, member);
        let within = self.ping_time();
        async move {
            let [votes, heartbeats] = clients?;
            // At once: one that stays silent costs the other one no time.
            let (_, answer) = join!(ask::<R>(votes, within), ask::<R>(heartbeats, within));
            // The connection of heartbeats waits behind no bulk data: its clock is the more exact one.
            answer
        }
        .boxed()
    }
}

async fn ask<R: AsyncRuntime>(mut client: Client, within: Duration) -> Result<Timestamp, String> {
    match R::timeout(within, Box::pin(client.ping(wire::PingRequest {}))).await {
        Ok(Ok(reply)) => Ok(Timestamp(reply.into_inner().unix_time_ms)),
        Ok(Err(status)) => Err(format!("{}: {}", status.code(), status.message())),
        Err(_elapsed) => Err(format!("no answer within {within:?}")),
    }
}

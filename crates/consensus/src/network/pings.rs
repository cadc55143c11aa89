//! Pings between voters: the asking side. The answering side is in `server`.

use banyan_domain::Timestamp;
use banyan_wire::internal_v1 as wire;
use futures::{FutureExt as _, future::BoxFuture};
use openraft_rt::AsyncRuntime;

use crate::{member::Member, network::client::PeerNetwork, pings::PingWire};

impl<R: AsyncRuntime> PingWire for PeerNetwork<R> {
    fn ping(&self, node: u64, member: &Member) -> BoxFuture<'static, Result<Timestamp, String>> {
        let clients = self.election_clients(node, member);
        let within = self.ping_time();
        async move {
            let mut answer = Err("there is no connection".to_owned());
            // The last is that of heartbeats, which waits behind no bulk data: its clock is the more exact one.
            for mut client in clients? {
                let reply = R::timeout(within, Box::pin(client.ping(wire::PingRequest {}))).await;
                answer = match reply {
                    Ok(Ok(reply)) => Ok(Timestamp(reply.into_inner().unix_time_ms)),
                    Ok(Err(status)) => Err(format!("{}: {}", status.code(), status.message())),
                    Err(_elapsed) => Err(format!("no answer within {within:?}")),
                };
            }
            answer
        }
        .boxed()
    }
}

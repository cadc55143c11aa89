//! A client that insists.

use std::time::Duration;

use banyan_consensus::ReadLevel;
use openraft_rt::AsyncRuntime as _;

use super::{Book, Client};
use crate::sim::{
    afterwards::stands,
    nation::Nation,
    runtime::{Simulated, now},
};

/// Its number: above those of all others.
const NUMBER: u64 = 900;

/// Shows that the nation serves, everywhere: a write is accepted, and every node of the membership answers linearizable and bounded
/// reads.
///
/// # Errors
/// What was not done in time.
pub async fn serves(
    nation: &Nation,
    seed: u64,
    known: &Book,
    within: Duration,
) -> Result<(), String> {
    let until = now() + within;
    let mut client = Client::new(nation.clone(), seed, NUMBER, known.clone());
    while !client.birth().await {
        if now() > until {
            return Err(format!("no write was accepted: {}", stands(nation)));
        }
    }
    // Leadership may be on its way from one to another.
    let members = loop {
        if let Some((_, registry)) = nation.leader() {
            break registry.status().members;
        }
        if now() > until {
            return Err(format!("nobody leads: {}", stands(nation)));
        }
        Simulated::sleep(Duration::from_millis(50)).await;
    };
    for id in members.keys() {
        for level in [
            ReadLevel::Linearizable,
            ReadLevel::Within(Duration::from_secs(2)),
        ] {
            while !client.read_at(id.get(), level).await {
                if now() > until {
                    return Err(format!(
                        "node {id} answered no read, {level:?}: {}",
                        stands(nation)
                    ));
                }
                Simulated::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(())
}

//! What a seed decides before its run: how fast machines and links are, how large batches become, and which kinds of fault there are at all.
//!
//! Each seed takes part of the kinds only ("swarm testing", Groce et al. 2012): a run with everything at once hardly ever gets anywhere.

use std::{collections::BTreeSet, time::Duration};

use banyan_consensus::{LogPolicy, Timing};
use banyan_storage::GroupBounds;
use rand::{Rng, SeedableRng, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use strum::VariantArray as _;

use super::{disk::Speed, faults::Kind, network::Link, node::Settings};

/// The decisions of one seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For how long there are clients and faults.
    pub length: Duration,
    /// Settings of every node.
    pub settings: Settings,
    /// Every link, while no fault changes it.
    pub link: Link,
    /// Every disk.
    pub speed: Speed,
    /// Clients.
    pub clients: usize,
    /// A client waits from ... to ... milliseconds between two operations.
    pub pause: (u64, u64),
    /// Salts that clients draw from: few, so that two births often want the same number.
    pub salts: u64,
    /// Kinds of fault that this run has.
    pub kinds: BTreeSet<Kind>,
    /// From ... to ... milliseconds between two faults.
    pub calm: (u64, u64),
}

impl Plan {
    /// What this seed decides, for a run of this length.
    pub fn of(seed: u64, length: Duration) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(0x9_1a4);
        let timing = *[
            Timing::millis(50, 150, 300),
            Timing::millis(60, 300, 600),
            Timing::millis(100, 700, 1400),
        ]
        .choose(&mut rng)
        .unwrap_or(&Timing::PROMPT);
        let settings = Settings {
            timing,
            log_policy: LogPolicy {
                snapshot_bytes: 1 << 40,
                snapshot_entries: rng.random_range(20..120),
                keep_bytes: 1 << 40,
                keep_entries: rng.random_range(5..40),
                lag_entries: rng.random_range(20..100),
                check_every: Duration::from_millis(rng.random_range(50..800)),
            },
            group: GroupBounds {
                bytes: rng.random_range(1 << 10..1 << 18),
                commands: rng.random_range(1..40),
                conformance: false,
            },
        };
        let far = rng.random_bool(0.3);
        let link = Link {
            delay_min: Duration::from_micros(if far { 5_000 } else { 100 }),
            delay_max: Duration::from_micros(if far {
                rng.random_range(8_000..25_000)
            } else {
                rng.random_range(500..5_000)
            }),
            ..Link::default()
        };
        let kinds = Kind::VARIANTS
            .iter()
            .copied()
            .filter(|_| rng.random_bool(0.45))
            .collect();
        Self {
            length,
            settings,
            link,
            speed: Speed {
                micros: (100, rng.random_range(300..4_000)),
                stall_one_in: rng.random_range(100..2_000),
            },
            clients: rng.random_range(3..7),
            pause: (1, rng.random_range(40..250)),
            salts: rng.random_range(1..6),
            kinds,
            calm: (50, rng.random_range(400..2_500)),
        }
    }
}

//! Everything at once: the same from the same seed, and no message unaccounted for.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Three processes that call each other at random over bad links, are killed and started again, cut off and healed.
fn turmoil(seed: u64) -> (Counters, Vec<Event>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let (counters, net) = run(seed, async move {
        let net = Net::new(
            seed,
            Link {
                loss: 0.02,
                ..wild()
            },
        );
        net.on_event(Box::new(move |event| seen.lock().unwrap().push(*event)));
        let start = |id: u64, life: u64| {
            let host = serve(&net, id, "node", &Handled::default(), |request| {
                MS * (request % 7) as u32
            });
            for task in 0..3 {
                let net = net.clone();
                let mut random = ChaCha8Rng::seed_from_u64(seed << 16 | life << 8 | id << 4 | task);
                drop(host.spawn(async move {
                    for request in 0.. {
                        let to = random.random_range(0..4);
                        let lane = if random.random() { STREAM } else { CALLS };
                        let call = net.call(id, to, lane, 5000, MS * 300, request);
                        if random.random() {
                            let _ = call.await;
                        } else {
                            drop(Simulated::spawn(call));
                            Simulated::sleep(MS * random.random_range(1..20)).await;
                        }
                    }
                }));
            }
            host
        };
        let mut hosts: Vec<Host> = (0..3).map(|id| start(id, 0)).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for life in 1..80 {
            Simulated::sleep(MS * random.random_range(10..100)).await;
            let (id, to) = (random.random_range(0..3), random.random_range(0..3));
            match random.random_range(0..5) {
                0 => {
                    hosts[id].kill();
                    hosts[id] = start(id as u64, life);
                }
                1 => hosts[id].pause(),
                2 => hosts.iter().for_each(Host::resume),
                3 => net.cut(id as u64, to),
                _ => net.heal_all(),
            }
        }
        let before_end = net.counters();
        hosts.iter().for_each(Host::kill);
        net.heal_all();
        Simulated::sleep(SECOND * 10).await;
        assert_eq!(net.counters().under_way(), 0);
        assert!(before_end.sent > 1000, "{before_end:?}");
        (net.counters(), Arc::downgrade(&net.0))
    })
    .expect_no_panic();
    assert_eq!(net.strong_count(), 0, "a network ends with its run");
    let events = std::mem::take(&mut *events.lock().unwrap());
    (counters, events)
}

#[test]
fn one_seed_gives_the_same_events_and_every_message_meets_one_end() {
    for seed in 0..10 {
        let (counters, events) = turmoil(seed);
        assert_eq!((counters, &events), (turmoil(seed).0, &turmoil(seed).1));
        assert_ne!(counters, turmoil(seed + 100).0);
        let count = |kind| events.iter().filter(|event| event.kind == kind).count() as u64;
        assert_eq!(count(Kind::Sent), counters.sent);
        assert_eq!(count(Kind::Broken), counters.broken);
        let ends = [
            counters.delivered,
            counters.lost,
            counters.cut,
            counters.broken,
            counters.refused,
            counters.unclaimed,
        ];
        assert!(ends.iter().all(|count| *count > 0), "{counters:?}");
        assert_eq!(ends.iter().sum::<u64>(), counters.sent);
        assert!(events.is_sorted_by_key(|event| event.at));
    }
}

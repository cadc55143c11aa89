//! Streams: order, and what a loss does to them.

use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt as _};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

#[test]
fn answers_come_in_order_only_where_that_is_asked_for() {
    /// The first request takes longest.
    fn backwards(request: u64) -> Duration {
        MS * (200 - 20 * u32::try_from(request).unwrap())
    }
    for (lane, first_answered) in [(STREAM, 0), (CALLS, 9)] {
        run(3, async move {
            let net = Net::new(3, wild());
            let _host = serve(&net, 2, "b", &Handled::default(), backwards);
            let mut calls: FuturesUnordered<_> = (0..10)
                .map(|request| net.call(1, 2, lane, 100, SECOND, request))
                .collect();
            let mut answered = Vec::new();
            while let Some(answer) = calls.next().await {
                answered.push(answer.unwrap());
            }
            assert_eq!(answered[0], first_answered);
            assert_eq!(answered.is_sorted(), lane.is_ordered());
        })
        .expect_no_panic();
    }
}

#[test]
fn a_lost_message_breaks_an_ordered_lane_from_there_on() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS * 5)), Handled::default());
        let _host = serve(&net, 2, "b", &handled, quick);
        let call = |request| net.call(1, 2, STREAM, 0, SECOND, request);
        let before = [call(0), call(1)];
        net.set_link(
            1,
            2,
            Link {
                loss: 1.0,
                ..steady(MS * 5)
            },
        );
        let lost = call(2);
        net.reset_links();
        let later = [call(3), call(4)];
        Simulated::sleep(MS * 20).await;
        let last = call(5);
        assert_eq!(join_all(before).await, [Ok(0), Ok(1)]);
        let mut lost = Box::pin(lost);
        assert!((&mut lost).now_or_never().is_none());
        Simulated::sleep(MS * 40).await;
        // The notice came, and the sender has not looked: it goes on with the dead connection.
        let unseen = call(50);
        assert_eq!(lost.now_or_never(), Some(Err(CallError::Broken)));
        assert_eq!(unseen.await, Err(CallError::Broken));
        assert_eq!(join_all(later).await, [Err(CallError::Broken); 2]);
        assert_eq!(last.await, Err(CallError::Broken));
        assert_eq!(handled.requests(), [0, 1]);
        let counters = net.counters();
        assert_eq!(
            (counters.lost, counters.broken, counters.delivered),
            (1, 3, 4)
        );

        assert_eq!(call(6).await, Ok(6), "a new connection");
        // An answer is lost: what was under way is handled, and nothing that is sent after it.
        net.set_link(
            2,
            1,
            Link {
                loss: 1.0,
                ..steady(MS * 5)
            },
        );
        let lost = call(7);
        Simulated::sleep(MS * 3).await;
        let under_way = call(8);
        Simulated::sleep(MS * 3).await;
        net.reset_links();
        let after = call(9);
        for broken in [lost, under_way, after] {
            assert_eq!(broken.await, Err(CallError::Broken));
        }
        assert_eq!(handled.requests(), [6, 7, 8]);

        // On an unordered lane a lost message is lost alone.
        net.set_link(
            1,
            2,
            Link {
                loss: 1.0,
                ..steady(MS * 5)
            },
        );
        let lost = net.call(1, 2, CALLS, 0, SECOND, 10);
        net.reset_links();
        assert_eq!(net.call(1, 2, CALLS, 0, SECOND, 11).await, Ok(11));
        assert_eq!(lost.await, Err(CallError::Silent));
    })
    .expect_no_panic();
}

/// Sends numbers in generations, up to eight calls under way, and begins a new generation at the first number without an answer when one
/// fails. The receiver must see each generation whole up to its break.
async fn pipeline(seed: u64) -> (Net, usize) {
    let net = Net::new(
        seed,
        Link {
            loss: 0.03,
            ..wild()
        },
    );
    let handled = Handled::default();
    let _host = serve(&net, 2, "b", &handled, |request| MS * (request % 5) as u32);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut generation, mut acknowledged) = (0_u64, 0_u64);
    while acknowledged < 300 {
        let mut next = acknowledged;
        let mut window = FuturesOrdered::new();
        let failed = loop {
            while window.len() < 8 {
                let request = generation << 32 | next;
                window.push_back(net.call(1, 2, STREAM, 1000, SECOND * 2, request));
                next += 1;
                Simulated::sleep(MS * random.random_range(0..3)).await;
            }
            match window.next().await.unwrap() {
                Ok(answer) => {
                    assert_eq!(answer, generation << 32 | acknowledged);
                    acknowledged += 1;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(failed, CallError::Broken);
        // Those behind it were broken together with it.
        while let Some(answer) = window.next().now_or_never().flatten() {
            assert_eq!(answer, Err(CallError::Broken));
        }
        assert!(window.is_empty());
        generation += 1;
    }
    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); usize::try_from(generation).unwrap()];
    let mut newest = 0;
    for request in handled.requests() {
        let generation = request >> 32;
        assert!(
            generation >= newest,
            "the lane of one process keeps its order"
        );
        newest = generation;
        seen[usize::try_from(generation).unwrap()].push(request & 0xffff_ffff);
    }
    for numbers in &seen {
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
    }
    (net, seen.len())
}

#[test]
fn a_lossy_ordered_lane_never_skips_nor_reorders() {
    let mut generations = 0;
    for seed in 0..20 {
        let (net, count) = run(seed, pipeline(seed)).expect_no_panic();
        let counters = net.counters();
        assert!(counters.lost > 0 && counters.broken > 0, "{counters:?}");
        generations += count;
    }
    assert!(generations > 200, "{generations}");
}

#[test]
fn over_a_cut_link_no_notice_comes_and_giving_up_makes_a_new_connection() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS)), Handled::default());
        let _host = serve(&net, 2, "b", &handled, quick);
        net.cut(1, 2);
        let first = net.call(1, 2, STREAM, 0, MS * 100, 1);
        Simulated::sleep(MS * 60).await;
        net.heal(1, 2);
        // The sender knows nothing: this one goes into the dead connection.
        let second = net.call(1, 2, STREAM, 0, MS * 100, 2);
        assert_eq!(first.await, Err(CallError::Silent));
        assert_eq!(now(), MS * 100);
        assert_eq!(net.call(1, 2, STREAM, 0, SECOND, 3).await, Ok(3));
        assert_eq!(second.await, Err(CallError::Silent));
        assert_eq!(handled.requests(), [3]);
    })
    .expect_no_panic();
}

#[test]
fn an_answer_that_never_comes_holds_back_later_ones_only_until_it_is_given_up() {
    run(1, async {
        let net = Net::new(1, steady(MS));
        let stuck = |request| if request == 1 { SECOND * 60 } else { MS };
        let _host = serve(&net, 2, "b", &Handled::default(), stuck);
        let first = net.call(1, 2, STREAM, 0, SECOND, 1);
        let second = net.call(1, 2, STREAM, 0, SECOND * 2, 2);
        Simulated::sleep(MS * 100).await;
        drop(first);
        assert_eq!(net.call(1, 2, STREAM, 0, SECOND, 3).await, Ok(3));
        assert_eq!(second.await, Err(CallError::Silent));
    })
    .expect_no_panic();
}

#[test]
fn a_caller_that_was_started_again_does_not_inherit_a_broken_connection() {
    run(1, async {
        let net = Net::new(1, steady(MS));
        let _host = serve(&net, 2, "b", &Handled::default(), quick);
        let call = |host: &Host, request| {
            let net = net.clone();
            host.spawn(async move { net.call(1, 2, STREAM, 0, SECOND, request).await })
        };
        let (old, new) = (Host::new("a"), Host::new("a"));
        net.set_link(
            1,
            2,
            Link {
                loss: 1.0,
                ..steady(MS)
            },
        );
        let lost = call(&old, 1);
        Simulated::sleep(MS).await;
        net.reset_links();
        let answered = call(&new, 2);
        assert_eq!(answered.await.unwrap(), Ok(2));
        assert_eq!(lost.await.unwrap(), Err(CallError::Broken));
    })
    .expect_no_panic();
}

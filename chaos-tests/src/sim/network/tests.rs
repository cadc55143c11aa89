//! What the simulated network keeps true.

mod ordered;
mod turmoil;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use openraft_rt::AsyncRuntime as _;

use super::{CallError, Counters, Event, Kind, Lane, Link, Network, Way};
use crate::sim::runtime::{Host, Simulated, now, outside, run};

type Net = Network<u64, u64>;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const STREAM: Lane = Lane::ordered(0);
const CALLS: Lane = Lane::unordered(1);

/// What processes handled: their name, the request, when.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<(String, u64, Duration)>>>);

impl Handled {
    fn take(&self) -> Vec<(String, u64)> {
        let all = std::mem::take(&mut *self.0.lock().unwrap());
        all.into_iter()
            .map(|(name, request, _)| (name, request))
            .collect()
    }

    fn requests(&self) -> Vec<u64> {
        self.take()
            .into_iter()
            .map(|(_, request)| request)
            .collect()
    }
}

/// A new process that serves `id` and answers a request with itself after `pause`.
fn serve(net: &Net, id: u64, name: &str, handled: &Handled, pause: fn(u64) -> Duration) -> Host {
    let host = Host::new(name);
    let (handled, name) = (handled.clone(), name.to_owned());
    net.serve(id, &host, move |_, request| {
        let (handled, name) = (handled.clone(), name.clone());
        async move {
            handled.0.lock().unwrap().push((name, request, now()));
            Simulated::sleep(pause(request)).await;
            request
        }
        .boxed()
    });
    host
}

fn quick(_: u64) -> Duration {
    Duration::from_micros(1)
}

/// A link without surprises: every message takes `delay`.
fn steady(delay: Duration) -> Link {
    Link {
        delay_min: delay,
        delay_max: delay,
        tail: 0.0,
        tail_max: delay,
        notice_min: MS * 50,
        notice_max: MS * 50,
        ..Link::default()
    }
}

/// A link on which delays differ widely.
fn wild() -> Link {
    Link {
        delay_min: MS,
        delay_max: MS * 20,
        tail: 0.05,
        tail_max: MS * 100,
        ..Link::default()
    }
}

#[test]
fn a_lane_keeps_its_order_and_lanes_overtake_each_other() {
    let mut overtaken = 0;
    for seed in 0..20 {
        overtaken += run(seed, async move {
            let (net, handled) = (Net::new(seed, wild()), Handled::default());
            let _host = serve(&net, 2, "b", &handled, quick);
            let lanes = [CALLS, STREAM, Lane::unordered(7)];
            let calls = (0..60).map(|request| {
                net.call(1, 2, lanes[request as usize % 3], 100, SECOND * 10, request)
            });
            let answers = join_all(calls).await;
            assert_eq!(answers, (0..60).map(Ok).collect::<Vec<_>>());
            let arrived = handled.requests();
            for lane in 0..3 {
                let of_lane = arrived.iter().filter(|request| **request % 3 == lane);
                assert!(of_lane.is_sorted());
            }
            arrived.windows(2).filter(|pair| pair[0] > pair[1]).count()
        })
        .expect_no_panic();
    }
    assert!(overtaken > 100, "{overtaken}");
}

#[test]
fn nobody_there_is_known_after_one_round_trip_and_a_cut_is_silent() {
    run(1, async {
        let net = Net::new(1, steady(MS * 5));
        for lane in [STREAM, CALLS] {
            let began = now();
            let answer = net.call(1, 2, lane, 0, SECOND, 7).await;
            assert_eq!(answer, Err(CallError::Unreachable));
            assert_eq!((now() - began).as_millis(), 10);
        }
        net.cut(1, 2);
        let began = now();
        assert_eq!(
            net.call(1, 2, CALLS, 0, SECOND, 7).await,
            Err(CallError::Silent)
        );
        assert_eq!(now() - began, SECOND);

        net.heal_all();
        let host = serve(&net, 2, "b", &Handled::default(), quick);
        assert_eq!(net.call(1, 2, CALLS, 0, SECOND, 7).await, Ok(7));
        host.kill();
        assert_eq!(
            net.call(1, 2, CALLS, 0, SECOND, 7).await,
            Err(CallError::Unreachable)
        );
        let _host = serve(&net, 2, "b again", &Handled::default(), quick);
        assert_eq!(net.call(1, 2, STREAM, 0, SECOND, 7).await, Ok(7));
        net.gone(2);
        assert_eq!(
            net.call(1, 2, CALLS, 0, SECOND, 7).await,
            Err(CallError::Unreachable)
        );
    })
    .expect_no_panic();
}

#[test]
fn a_cut_is_directed_and_catches_what_is_under_way() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS * 5)), Handled::default());
        let _hosts = [
            serve(&net, 1, "a", &handled, quick),
            serve(&net, 2, "b", &handled, quick),
        ];
        net.cut(1, 2);
        assert!(net.is_cut(1, 2) && !net.is_cut(2, 1));
        assert_eq!(
            net.call(1, 2, CALLS, 9, SECOND, 1).await,
            Err(CallError::Silent)
        );
        assert!(handled.take().is_empty());
        // The request gets through, its answer does not.
        assert_eq!(
            net.call(2, 1, CALLS, 9, SECOND, 2).await,
            Err(CallError::Silent)
        );
        assert_eq!(handled.requests(), [2]);
        net.heal(1, 2);
        assert_eq!(net.call(2, 1, CALLS, 9, SECOND, 3).await, Ok(3));
        assert_eq!(handled.requests(), [3]);

        let before = net.counters();
        let call = net.call(1, 2, CALLS, 9, SECOND, 4);
        Simulated::sleep(MS).await;
        net.cut(1, 2);
        Simulated::sleep(MS * 10).await;
        net.heal(1, 2);
        assert_eq!(call.await, Err(CallError::Silent));
        assert!(handled.take().is_empty());
        let after = net.counters();
        assert_eq!((after.sent - before.sent, after.cut - before.cut), (1, 1));
    })
    .expect_no_panic();
}

#[test]
fn a_request_is_handled_although_its_caller_died() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS * 5)), Handled::default());
        let _host = serve(&net, 2, "b", &handled, quick);
        let caller = Host::new("a");
        let own = net.clone();
        for lane in [STREAM, CALLS] {
            let own = own.clone();
            drop(caller.spawn(async move { own.call(1, 2, lane, 0, SECOND, 1).await }));
        }
        Simulated::sleep(MS).await;
        caller.kill();
        Simulated::sleep(MS * 20).await;
        assert_eq!(handled.requests(), [1, 1]);
        let counters = net.counters();
        assert_eq!((counters.delivered, counters.unclaimed), (2, 2));
        assert_eq!(counters.under_way(), 0);
    })
    .expect_no_panic();
}

#[test]
fn a_request_finds_the_process_that_serves_when_it_arrives() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS * 5)), Handled::default());
        let old = serve(&net, 2, "old", &handled, quick);
        let calls = [STREAM, CALLS].map(|lane| net.call(1, 2, lane, 0, SECOND, 1));
        Simulated::sleep(MS).await;
        old.kill();
        net.gone(2);
        Simulated::sleep(MS).await;
        let new = serve(&net, 2, "new", &handled, quick);
        assert_eq!(join_all(calls).await, [Ok(1), Ok(1)]);
        let to_new = ("new".to_owned(), 1);
        assert_eq!(handled.take(), [to_new.clone(), to_new]);

        // A stream that the process had begun to read ends with it; a call does not care.
        let calls = [STREAM, CALLS].map(|lane| net.call(1, 2, lane, 0, SECOND, 2));
        new.kill();
        let _newest = serve(&net, 2, "newest", &handled, quick);
        assert_eq!(join_all(calls).await, [Err(CallError::Broken), Ok(2)]);
        assert_eq!(handled.take(), [("newest".to_owned(), 2)]);
        assert_eq!(net.call(1, 2, STREAM, 0, SECOND, 3).await, Ok(3));
    })
    .expect_no_panic();
}

#[test]
fn a_process_that_dies_at_work_answers_nothing() {
    run(1, async {
        let net = Net::new(1, steady(MS));
        let host = serve(&net, 2, "b", &Handled::default(), |_| MS * 10);
        let call = net.call(1, 2, CALLS, 0, SECOND, 1);
        Simulated::sleep(MS * 5).await;
        host.kill();
        assert_eq!(call.await, Err(CallError::Silent));
        assert_eq!(now(), SECOND);
    })
    .expect_no_panic();
}

#[test]
fn a_stopped_process_takes_requests_and_handles_them_when_it_goes_on() {
    run(1, async {
        let (net, handled) = (Net::new(1, steady(MS)), Handled::default());
        let host = serve(&net, 2, "b", &handled, quick);
        host.pause();
        assert_eq!(
            net.call(1, 2, CALLS, 0, MS * 50, 1).await,
            Err(CallError::Silent)
        );
        let waits = net.call(1, 2, CALLS, 0, SECOND, 2);
        Simulated::sleep(MS * 50).await;
        assert!(handled.take().is_empty());
        host.resume();
        assert_eq!(waits.await, Ok(2));
        assert_eq!(handled.requests(), [1, 2]);
        assert_eq!(net.counters().unclaimed, 1);
    })
    .expect_no_panic();
}

#[test]
fn a_large_message_takes_time_and_holds_its_lane_alone() {
    run(1, async {
        let link = Link {
            bytes_per_second: 1_000_000,
            ..steady(MS)
        };
        let net = Net::new(1, link);
        net.measure_answers(|answer| if *answer == 1 { 500_000 } else { 0 });
        let _host = serve(&net, 2, "b", &Handled::default(), quick);
        let timed = |lane, bytes, request| {
            let call = net.call(1, 2, lane, bytes, SECOND * 5, request);
            async move {
                assert_eq!(call.await, Ok(request));
                now().as_millis()
            }
        };
        let other = Lane::unordered(9);
        let times = [
            timed(CALLS, 1_000_000, 1),
            timed(CALLS, 0, 2),
            timed(other, 0, 3),
        ];
        // One second there and half a second back; the second waits behind the first both ways.
        assert_eq!(join_all(times).await, [1502, 1502, 2]);
    })
    .expect_no_panic();
}

#[test]
fn no_message_takes_no_time_and_slow_links_have_their_own_delay() {
    run(1, async {
        let net = Net::new(1, steady(Duration::ZERO));
        let _host = serve(&net, 2, "b", &Handled::default(), |_| Duration::ZERO);
        let began = now();
        assert_eq!(net.call(1, 2, CALLS, 0, SECOND, 1).await, Ok(1));
        assert!(now() >= began + Duration::from_micros(2));
        net.set_link(2, 1, steady(MS * 40));
        assert_eq!(net.link(2, 1).delay_min, MS * 40);
        let began = now();
        assert_eq!(net.call(1, 2, CALLS, 0, SECOND, 1).await, Ok(1));
        assert_eq!((now() - began).as_millis(), 40);
        net.set_default_link(steady(MS * 7));
        net.reset_links();
        let began = now();
        assert_eq!(net.call(1, 2, CALLS, 0, SECOND, 1).await, Ok(1));
        assert_eq!((now() - began).as_millis(), 14);
    })
    .expect_no_panic();
}

#[test]
fn the_hook_sees_messages_both_ways() {
    run(1, async {
        let net = Net::new(1, steady(MS * 5));
        let _host = serve(&net, 2, "b", &Handled::default(), |_| MS);
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        net.on_event(Box::new(move |event| seen.lock().unwrap().push(*event)));
        let own = net.clone();
        let answer = outside(async move { own.call(1, 2, STREAM, 77, SECOND, 1).await });
        assert_eq!(answer.await.unwrap(), Ok(1));
        let event = |kind, way, from, to, bytes, at| Event {
            kind,
            way,
            from,
            to,
            lane: STREAM,
            bytes,
            at,
        };
        let arrival = MS * 5 + Duration::from_nanos(770);
        let back = arrival + MS;
        let expected = [
            event(Kind::Sent, Way::Request, 1, 2, 77, Duration::ZERO),
            event(Kind::Delivered, Way::Request, 1, 2, 77, arrival),
            event(Kind::Sent, Way::Answer, 2, 1, 64, back),
            event(
                Kind::Delivered,
                Way::Answer,
                2,
                1,
                64,
                back + MS * 5 + Duration::from_nanos(640),
            ),
        ];
        assert_eq!(*events.lock().unwrap(), expected);
    })
    .expect_no_panic();
}

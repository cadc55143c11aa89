//! The gate before a service that the tests make up.

use std::convert::Infallible;
use std::sync::Mutex;

use banyan_domain::{Actor, NodeId, Principal, Role};
use tower::ServiceExt as _;

use super::*;
use crate::clock::Clock;

/// A clock that shows what a test sets.
struct Shown(Mutex<i64>);

impl Clock for Shown {
    fn now_ms(&self) -> i64 {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

fn gate(places: usize) -> GateLayer {
    gate_with(places, Box::new(|_| None))
}

fn gate_with(places: usize, room: Room) -> GateLayer {
    GateLayer(Arc::new(Gate {
        room,
        writes: Counter::default(),
        places: Places::new(places),
        deadline_max: Duration::from_millis(200),
        metrics: Arc::new(Metrics::new("c", "n", "s")),
        clock: Arc::new(Shown(Mutex::new(1_000_000))),
        further: &[],
        stop: CancellationToken::new(),
    }))
}

fn centre(not_after: i64) -> Peer {
    let actor = Actor {
        principal: Principal::new("centre@central").unwrap(),
        role: Role::Centre,
        admitted_by: NodeId(1),
    };
    Peer(Ok(Arc::new(Authenticated {
        actor,
        not_after,
        certificate: bytes::Bytes::new(),
    })))
}

fn request(path: &str, peer: Peer, timeout: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(peer);
    request
}

const SUBMIT: &str = "/banyan.v1.Registry/Submit";
const READ: &str = "/banyan.v1.Registry/GetPerson";

fn code(answer: &Response<Body>) -> Option<Code> {
    let status = Status::from_header_map(answer.headers())?;
    errors::from_status(&status)?.known_code()
}

/// Calls a service that answers with `answer` through the gate.
async fn call<F>(gate: &GateLayer, answer: impl Fn() -> F, request: Request<Body>) -> Response<Body>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let answer = answer();
    let answer = Arc::new(Mutex::new(Some(answer)));
    let service = tower::service_fn(move |_: Request<Body>| {
        let answer = answer.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(answer.await) }
    });
    gate.layer(service).oneshot(request).await.unwrap()
}

async fn at_once() -> Response<Body> {
    Response::new(Body::empty())
}

async fn never() -> Response<Body> {
    std::future::pending().await
}

#[tokio::test]
async fn a_handler_that_is_late_is_cut_off() {
    let gate = gate(1);
    for (path, timeout, expected) in [
        (READ, Some("100m"), Code::DeadlineExceeded),
        (SUBMIT, Some("100m"), Code::OutcomeUnknown),
        // The node's own bound, where the caller names none or a longer one.
        (READ, None, Code::DeadlineExceeded),
        (READ, Some("99H"), Code::DeadlineExceeded),
    ] {
        let answer = call(&gate, never, request(path, centre(i64::MAX), timeout)).await;
        assert_eq!(code(&answer), Some(expected), "{path} {timeout:?}");
    }
}

#[tokio::test]
async fn past_the_bound_a_request_is_refused_with_a_hint_and_later_ones_are_served() {
    let gate = gate(1);
    let slow = call(&gate, never, request(READ, centre(i64::MAX), Some("100m")));
    let second = call(&gate, at_once, request(READ, centre(i64::MAX), None));
    let (_, refused) = tokio::join!(slow, second);
    let status = Status::from_header_map(refused.headers()).unwrap();
    let detail = errors::from_status(&status).unwrap();
    assert_eq!(detail.known_code(), Some(Code::Overloaded));
    assert!(detail.retry_after().is_some());
    let third = call(&gate, at_once, request(READ, centre(i64::MAX), None)).await;
    assert_eq!(code(&third), None);
}

#[tokio::test]
async fn a_write_that_consensus_has_no_room_for_is_refused_unread_and_a_read_is_served() {
    let hint = Duration::from_millis(70);
    let gate = gate_with(1, Box::new(move |_| Some(hint)));
    // The service never answers: whatever is answered here has not reached it.
    let refused = call(&gate, never, request(SUBMIT, centre(i64::MAX), None)).await;
    let status = Status::from_header_map(refused.headers()).unwrap();
    let detail = errors::from_status(&status).unwrap();
    assert_eq!(detail.known_code(), Some(Code::Overloaded));
    assert_eq!(detail.retry_after(), Some(hint));
    let served = call(&gate, at_once, request(READ, centre(i64::MAX), None)).await;
    assert_eq!(code(&served), None);
    let late = call(&gate, at_once, request(SUBMIT, centre(999), None)).await;
    assert_eq!(
        code(&late),
        Some(Code::IdentityMissing),
        "identity goes first"
    );
}

#[tokio::test]
async fn writes_being_served_count_for_the_room_until_they_end() {
    // Room for one.
    let full = |before| (before > 0).then_some(Duration::from_millis(70));
    let gate = gate_with(9, Box::new(full));
    let slow = call(
        &gate,
        never,
        request(SUBMIT, centre(i64::MAX), Some("100m")),
    );
    let second = call(&gate, at_once, request(SUBMIT, centre(i64::MAX), None));
    let (slow, refused) = tokio::join!(slow, second);
    assert_eq!(code(&slow), Some(Code::OutcomeUnknown));
    assert_eq!(code(&refused), Some(Code::Overloaded));
    let third = call(&gate, at_once, request(SUBMIT, centre(i64::MAX), None)).await;
    assert_eq!(code(&third), None);
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let gate = gate(1);
    // The clock shows second 1000.
    for (not_after, expected) in [(1_000, None), (999, Some(Code::IdentityMissing))] {
        let answer = call(&gate, at_once, request(READ, centre(not_after), None)).await;
        assert_eq!(code(&answer), expected, "{not_after}");
    }
}

#[tokio::test]
async fn a_connection_without_an_accepted_identity_gets_nothing() {
    let gate = gate(1);
    for (fault, expected) in [
        (IdentityFault::Missing, Code::IdentityMissing),
        (IdentityFault::NoIdentity, Code::IdentityMissing),
        (IdentityFault::OtherCluster, Code::IdentityOtherCluster),
        (IdentityFault::WrongAuthority, Code::AuthorityMismatch),
        (IdentityFault::UnknownAuthority, Code::AuthorityMismatch),
    ] {
        for path in [READ, SUBMIT, "/nowhere"] {
            let answer = call(&gate, at_once, request(path, Peer(Err(fault)), None)).await;
            assert_eq!(code(&answer), Some(expected), "{path}");
        }
    }
}

#[tokio::test]
async fn a_timeout_that_is_not_grpcs_is_a_request_fault() {
    let gate = gate(1);
    let answer = call(
        &gate,
        at_once,
        request(READ, centre(i64::MAX), Some("soon")),
    )
    .await;
    assert_eq!(code(&answer), Some(Code::InvalidFields));
}

#[test]
fn timeouts_are_read_as_grpc_writes_them() {
    assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
    assert_eq!(parse_timeout("1H"), Some(Duration::from_secs(3600)));
    for wrong in ["", "S", "123456789S", "1", "-1S", "1x", "1 S", "1µ"] {
        assert_eq!(parse_timeout(wrong), None, "{wrong}");
    }
}

#[test]
fn the_text_of_a_foreign_error_is_not_passed_on() {
    let detail = foreign_detail(&Status::internal("quotes Zzmarkedname"));
    assert!(!detail.message.contains("Zzmarked"));
    assert_eq!(detail.known_code(), Some(Code::InvalidFields));
}

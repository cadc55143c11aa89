//! What a node counts and measures. Labels are names of methods, codes and reasons: never data about a person.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// A gauge of unsigned 64-bit values: positions and sizes do not fit a signed one.
type Unsigned = Gauge<u64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    edge: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VoterLabel {
    node: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
    property: &'static str,
}

/// Bounds of latency buckets: from 100 µs by factors of two to about 13 s.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}

/// The roles that [`RaftReading::role`] can have; exactly one of their gauges is 1.
const ROLES: [&str; 5] = ["leader", "follower", "candidate", "learner", "stopped"];

/// What consensus says at the time of a scrape.
#[derive(Debug, Clone, Default)]
pub struct RaftReading {
    /// One of leader, follower, candidate, learner, stopped.
    pub role: &'static str,
    /// Current term.
    pub term: u64,
    /// Node id of the leader; 0 where none is known.
    pub leader: u64,
    /// Index of the last entry in the log.
    pub last_log: u64,
    /// Index up to which entries are known to be committed.
    pub committed: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index of the newest snapshot.
    pub snapshot: u64,
    /// Index up to which the log was purged.
    pub purged: u64,
    /// Calls of peers refused since the start.
    pub peer_calls_refused: u64,
}

/// One reading of a store.
#[derive(Debug, Clone)]
pub struct StoreReading {
    /// `log`, `state` or `journal`.
    pub store: &'static str,
    /// What was read, with its unit, for instance `sst_bytes`.
    pub property: &'static str,
    /// The value.
    pub value: u64,
}

/// All metrics of one node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<MethodLabel, Histogram, fn() -> Histogram>,
    requests_in_flight: Gauge,
    tls_refusals: Family<RefusalLabels, Counter>,
    access_records: Counter,
    access_record_seconds: Histogram,
    scans_held: Gauge,
    config_unknown_keys: Gauge,
    raft_role: Family<RoleLabel, Gauge>,
    raft_term: Unsigned,
    raft_leader: Unsigned,
    raft_last_log: Unsigned,
    raft_committed: Unsigned,
    raft_snapshot: Unsigned,
    raft_purged: Unsigned,
    peer_calls_refused: Unsigned,
    voter_clock_offset: Family<VoterLabel, Gauge<f64, AtomicU64>>,
    applied_position: Unsigned,
    commit_time: Gauge,
    persons: Unsigned,
    store: Family<StoreLabels, Unsigned>,
}

impl Metrics {
    /// Fresh metrics of a node of this name, site and cluster.
    #[must_use]
    pub fn new(cluster: &str, node: &str, site: &str) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("banyan"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency as fn() -> Histogram),
            requests_in_flight: Gauge::default(),
            tls_refusals: Family::default(),
            access_records: Counter::default(),
            access_record_seconds: latency(),
            scans_held: Gauge::default(),
            config_unknown_keys: Gauge::default(),
            raft_role: Family::default(),
            raft_term: Unsigned::default(),
            raft_leader: Unsigned::default(),
            raft_last_log: Unsigned::default(),
            raft_committed: Unsigned::default(),
            raft_snapshot: Unsigned::default(),
            raft_purged: Unsigned::default(),
            peer_calls_refused: Unsigned::default(),
            voter_clock_offset: Family::default(),
            applied_position: Unsigned::default(),
            commit_time: Gauge::default(),
            persons: Unsigned::default(),
            store: Family::default(),
        };
        metrics.registered(cluster, node, site)
    }

    fn registered(mut self, cluster: &str, node: &str, site: &str) -> Self {
        let owned = |text: &str| text.to_owned();
        let r = &mut self.registry;
        r.register(
            "build",
            "Version of the program, and which node of which cluster this is",
            Info::new(vec![
                (owned("version"), owned(crate::VERSION)),
                (owned("cluster"), owned(cluster)),
                (owned("node"), owned(node)),
                (owned("site"), owned(site)),
            ]),
        );
        r.register(
            "requests",
            "Requests answered, by method and code",
            self.requests.clone(),
        );
        r.register_with_unit(
            "request",
            "Time from the arrival of a request to its answer, by method",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        r.register(
            "requests_in_flight",
            "Requests being served",
            self.requests_in_flight.clone(),
        );
        r.register(
            "tls_refusals",
            "Connections refused at or right after the TLS handshake, by edge and reason",
            self.tls_refusals.clone(),
        );
        r.register(
            "access_records",
            "Access records synced in the journal",
            self.access_records.clone(),
        );
        r.register_with_unit(
            "access_record",
            "Time to sync an access record",
            Unit::Seconds,
            self.access_record_seconds.clone(),
        );
        r.register(
            "scans_held",
            "Scans that wait for their next page; each keeps an old state alive",
            self.scans_held.clone(),
        );
        r.register(
            "config_unknown_keys",
            "Keys of the configuration file that this version does not know",
            self.config_unknown_keys.clone(),
        );
        r.register(
            "raft_role",
            "1 for the role that this node has",
            self.raft_role.clone(),
        );
        r.register("raft_term", "Current term", self.raft_term.clone());
        r.register(
            "raft_leader",
            "Node id of the leader, 0 if none is known",
            self.raft_leader.clone(),
        );
        r.register(
            "raft_last_log_index",
            "Last entry in the log",
            self.raft_last_log.clone(),
        );
        r.register(
            "raft_committed_index",
            "Last committed entry",
            self.raft_committed.clone(),
        );
        r.register(
            "raft_snapshot_index",
            "Position of the newest snapshot",
            self.raft_snapshot.clone(),
        );
        r.register(
            "raft_purged_index",
            "Last purged entry",
            self.raft_purged.clone(),
        );
        r.register(
            "peer_calls_refused",
            "Calls of peers refused since the start, for their certificate or their place in the membership",
            self.peer_calls_refused.clone(),
        );
        r.register_with_unit(
            "voter_clock_offset",
            "By how much a voter's clock is ahead of this node's",
            Unit::Seconds,
            self.voter_clock_offset.clone(),
        );
        r.register(
            "applied_index",
            "Last applied entry",
            self.applied_position.clone(),
        );
        r.register(
            "commit_time_ms",
            "Replicated time of the newest applied entry, milliseconds since 1970-01-01 UTC",
            self.commit_time.clone(),
        );
        r.register(
            "persons",
            "Persons in this node's state",
            self.persons.clone(),
        );
        r.register(
            "store",
            "Readings of the stores, by store and property",
            self.store.clone(),
        );
        self
    }

    /// Counts an answered request.
    pub fn request_answered(&self, method: &'static str, code: &'static str, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels { method, code })
            .inc();
        self.request_seconds
            .get_or_create(&MethodLabel { method })
            .observe(took.as_secs_f64());
    }

    /// A request begins; it ends when the returned guard is dropped.
    #[must_use]
    pub fn request_begins(&self) -> InFlight {
        self.requests_in_flight.inc();
        InFlight(self.requests_in_flight.clone())
    }

    /// Counts a connection that was refused at the TLS layer.
    pub fn tls_refused(&self, edge: &'static str, reason: &'static str) {
        self.tls_refusals
            .get_or_create(&RefusalLabels { edge, reason })
            .inc();
    }

    /// Counts an access record that is on disk.
    pub fn access_recorded(&self, took: Duration) {
        self.access_records.inc();
        self.access_record_seconds.observe(took.as_secs_f64());
    }

    /// Notes how many scans wait for their next page.
    pub fn set_scans_held(&self, count: usize) {
        self.scans_held
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Notes how many keys of the configuration file are unknown.
    pub fn set_config_unknown_keys(&self, count: usize) {
        self.config_unknown_keys
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Takes over what consensus says.
    pub fn set_raft(&self, reading: &RaftReading) {
        for role in ROLES {
            self.raft_role
                .get_or_create(&RoleLabel { role })
                .set(i64::from(role == reading.role));
        }
        self.raft_term.set(reading.term);
        self.raft_leader.set(reading.leader);
        self.raft_last_log.set(reading.last_log);
        self.raft_committed.set(reading.committed);
        self.raft_snapshot.set(reading.snapshot);
        self.raft_purged.set(reading.purged);
        self.applied_position.set(reading.applied);
        self.peer_calls_refused.set(reading.peer_calls_refused);
    }

    /// Takes over by how many milliseconds each voter's clock is ahead of this node's. Voters that are not named are not heard.
    pub fn set_voter_clocks(&self, offsets: impl IntoIterator<Item = (u64, i64)>) {
        self.voter_clock_offset.clear();
        for (node, offset_ms) in offsets {
            #[expect(clippy::cast_precision_loss, reason = "exact for 200,000 years")]
            let seconds = offset_ms as f64 / 1000.0;
            self.voter_clock_offset
                .get_or_create(&VoterLabel { node })
                .set(seconds);
        }
    }

    /// Takes over what the state says.
    pub fn set_state(&self, commit_time_ms: i64, persons: u64) {
        self.commit_time.set(commit_time_ms);
        self.persons.set(persons);
    }

    /// Takes over a reading of a store.
    pub fn set_store(&self, reading: &StoreReading) {
        let labels = StoreLabels {
            store: reading.store,
            property: reading.property,
        };
        self.store.get_or_create(&labels).set(reading.value);
    }

    /// The text that a scrape gets, in the OpenMetrics format.
    ///
    /// # Errors
    /// Writing to the string failed; it does not, short of a fault in an encoder.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Takes a request off the gauge when dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_requests_by_method_and_code_and_one_role() {
        let metrics = Metrics::new("c", "n", "s");
        metrics.request_answered("GetPerson", "OK", Duration::from_millis(1));
        metrics.set_raft(&RaftReading {
            role: "leader",
            term: 3,
            applied: 7,
            ..RaftReading::default()
        });
        let text = metrics.encode().unwrap();
        for expected in [
            "banyan_requests_total{method=\"GetPerson\",code=\"OK\"} 1",
            "banyan_raft_role{role=\"leader\"} 1",
            "banyan_raft_role{role=\"learner\"} 0",
            "banyan_applied_index 7",
            "banyan_request_seconds_bucket",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }
}

//! Brings the gauges up to date before a scrape.

use banyan_domain::{NodeId, Position, View as _};
use banyan_storage::Stores;

use super::assembly::NodeConsensus;
use crate::metrics::{Metrics, RaftReading, StoreReading};

pub(super) fn refresh(metrics: &Metrics, consensus: &NodeConsensus, stores: &Stores) {
    let status = consensus.status();
    let index = |position: Option<Position>| position.map_or(0, |position| position.index);
    metrics.set_raft(&RaftReading {
        role: status.role.name(),
        term: status.term,
        leader: status.leader.map_or(0, NodeId::get),
        last_log: status.last_log_index.unwrap_or(0),
        committed: index(status.committed),
        applied: index(status.applied),
        snapshot: index(status.snapshot),
        purged: index(status.purged),
        peer_calls_refused: status.peer_calls_refused,
    });
    let offsets = consensus.clock_offsets().into_iter();
    metrics.set_voter_clocks(offsets.map(|(node, offset)| (node.get(), offset)));
    // A store that has failed keeps its last figures; the fault itself is in the log and in `/livez`.
    if let Ok(view) = stores.state.view()
        && let (Ok(counters), Ok(applied)) = (view.counters(), view.applied())
    {
        metrics.set_state(
            applied.map_or(0, |applied| applied.time.get()),
            counters.persons,
        );
    }
    for reading in store_readings(stores) {
        metrics.set_store(&reading);
    }
}

fn store_readings(stores: &Stores) -> Vec<StoreReading> {
    let figures = stores.metrics();
    let (log, state, journal) = (figures.log, figures.state, figures.journal);
    let reading = |store, property, value| StoreReading {
        store,
        property,
        value,
    };
    vec![
        reading("log", "appended_entries", log.appended_entries),
        reading("log", "appended_bytes", log.appended_bytes),
        reading("log", "groups", log.groups),
        reading("log", "syncs", log.sync.count),
        reading("log", "sync_sum_us", log.sync.sum_micros),
        reading("log", "queued", log.queued),
        reading("log", "tail_bytes", log.tail_bytes),
        reading("log", "durable_index", log.durable_index),
        reading("log", "memtable_bytes", log.memtable_bytes),
        reading("log", "sst_bytes", log.sst_bytes),
        reading("state", "groups", state.groups),
        reading("state", "commands", state.commands),
        reading("state", "decide_sum_us", state.decide.sum_micros),
        reading("state", "log_wait_sum_us", state.log_wait.sum_micros),
        reading("state", "write_sum_us", state.write.sum_micros),
        reading("state", "flushes", state.flush.count),
        reading("state", "queued", state.queued),
        reading("state", "memtable_bytes", state.memtable_bytes),
        reading("state", "sst_bytes", state.sst_bytes),
        reading("state", "durable_index", state.durable_applied),
        reading("journal", "appended", journal.appended),
        reading("journal", "records", journal.records),
        reading("journal", "bytes", journal.bytes),
        reading("journal", "budget_bytes", journal.budget_bytes),
        reading("journal", "refused", journal.refused),
        reading("journal", "dropped", journal.dropped),
        reading("journal", "syncs", journal.sync.count),
        reading("journal", "sync_sum_us", journal.sync.sum_micros),
    ]
}

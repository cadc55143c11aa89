//! Settings of the stores, with defaults for seven nodes on a machine with two cores and 24 GiB.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Env,
    LogLevel, LruCacheOptions, Options,
};

use crate::lock::Hold;

use crate::state::schema::Family;
use crate::state::{GroupBounds, InstallStep};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// 16 shards: more than the threads of a node that look something up at the same time.
const CACHE_SHARD_BITS: i32 = 4;

/// Settings of the three stores of a node. Sizes are in bytes.
///
/// A production node with its machine to itself raises `block_cache_bytes` to a quarter of the memory and
/// `background_threads` to the number of cores.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Cache of uncompressed blocks, shared by the three stores. Default 64 MiB.
    pub block_cache_bytes: usize,
    /// Threads for compaction, in this process (all stores, and all nodes that run in it). Default 1; flushes have one more.
    pub background_threads: u32,
    /// Memtable of the indexes of the state. Default 32 MiB. Those of the other families take fixed shares of it, 1 3/8 of it in all.
    /// All are flushed together as soon as one is full; up to four of each may exist while a flush lags.
    pub state_write_buffer_bytes: usize,
    /// Memtable of the log. Default 32 MiB.
    pub log_write_buffer_bytes: usize,
    /// Bound of the log's in-memory tail: entries in it are read without touching RocksDB. Default 64 MiB. Entries
    /// that are not written yet stay even past the bound; the queue bounds them.
    pub log_tail_bytes: usize,
    /// Jobs that may wait for the log's flusher; a caller blocks when it is full. Default 4,096.
    pub log_queue: usize,
    /// Bytes that these jobs may hold; a caller blocks until there is room. A job larger than the bound waits alone. Default 32 MiB.
    pub log_queue_bytes: usize,
    /// Bytes of entries that one group write takes at most. Default 8 MiB.
    pub log_group_bytes: usize,
    /// Jobs that may wait for the apply thread. Default 64.
    pub apply_queue: usize,
    /// Bytes that one write batch of the state takes before the group ends. Default 4 MiB.
    pub apply_group_bytes: usize,
    /// Commands that one write batch of the state takes at most. Default 2,000.
    pub apply_group_commands: usize,
    /// Checkpoints kept; pinned ones stay longer. Default 2.
    pub checkpoints_kept: usize,
    /// Disk budget of the access records in the journal: beyond it the journal refuses further ones. Default 8 GiB.
    pub journal_budget_bytes: u64,
    /// Open files of each database. Default 256.
    pub open_files_max: i32,
    /// For openraft's store suite only, which applies and purges entries that it never appended: no waiting for the log, no check of
    /// the order of applied entries, no bound for purges. Default false; true gives up crash safety.
    pub conformance: bool,
    /// For crash tests: called at each step of an installation, on the apply thread. Default none.
    pub install_observer: Option<fn(InstallStep)>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 * MIB,
            background_threads: 1,
            state_write_buffer_bytes: 32 * MIB,
            log_write_buffer_bytes: 32 * MIB,
            log_tail_bytes: 64 * MIB,
            log_queue: 4_096,
            log_queue_bytes: 32 * MIB,
            log_group_bytes: 8 * MIB,
            apply_queue: 64,
            apply_group_bytes: 4 * MIB,
            apply_group_commands: 2_000,
            checkpoints_kept: 2,
            journal_budget_bytes: 8 << 30,
            open_files_max: 256,
            conformance: false,
            install_observer: None,
        }
    }
}

/// What the databases of one data directory share.
pub(crate) struct Shared {
    cache: Cache,
    env: Env,
    hold: Hold,
}

impl Shared {
    /// For a database that is opened, so that the directory stays locked until it is closed.
    pub(crate) fn hold(&self) -> Hold {
        self.hold.clone()
    }
}

impl StoreOptions {
    pub(crate) fn group_bounds(&self) -> GroupBounds {
        GroupBounds {
            bytes: self.apply_group_bytes,
            commands: self.apply_group_commands,
            conformance: self.conformance,
        }
    }

    /// Makes the cache, and sizes the thread pools of the process.
    pub(crate) fn share(&self, hold: Hold) -> Result<Shared, rocksdb::Error> {
        let mut env = Env::new()?;
        env.set_low_priority_background_threads(
            i32::try_from(self.background_threads.max(1)).unwrap_or(1),
        );
        // Flushes have their own pool, so that a long compaction cannot stall writes.
        env.set_high_priority_background_threads(1);
        let mut cache = LruCacheOptions::default();
        cache.set_capacity(self.block_cache_bytes);
        // RocksDB would make 64 shards, each of them too small for the larger blocks.
        cache.set_num_shard_bits(CACHE_SHARD_BITS);
        Ok(Shared {
            cache: Cache::new_lru_cache_opts(&cache),
            env,
            hold,
        })
    }

    fn common(&self, shared: &Shared) -> Options {
        let mut options = Options::default();
        options.set_env(&shared.env);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        options.set_max_open_files(self.open_files_max);
        options.set_max_background_jobs(
            i32::try_from(self.background_threads.max(1)).unwrap_or(1) + 1,
        );
        // RocksDB's own log: small, and only what an operator would act on.
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(4 * MIB);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_max_manifest_file_size(16 * MIB);
        options.set_bytes_per_sync(MIB as u64);
        // `manual_wal_flush` stays off: with it any WAL error is fatal at a place of RocksDB's choosing.
        options
    }

    fn table(shared: &Shared, bloom: bool) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&shared.cache);
        table.set_block_size(8 * KIB);
        table.set_format_version(5);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // The filter of a file of 64 MiB is one block of more than a megabyte otherwise. What does not fit into the cache is read and
        // checked whole at every look-up, which took four fifths of the throughput away from 350,000 persons on.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_pin_top_level_index_and_filter(true);
        table.set_optimize_filters_for_memory(true);
        if bloom {
            // Ten bits: about one look-up in a hundred for an absent key reads a block.
            table.set_bloom_filter(10.0, false);
            table.set_whole_key_filtering(true);
            table.set_partition_filters(true);
        }
        table
    }

    /// The log: one family, WAL on, every group synced by the flusher.
    pub(crate) fn log_database(&self, shared: &Shared) -> Options {
        let mut options = self.common(shared);
        options.set_block_based_table_factory(&Self::table(shared, false));
        options.set_write_buffer_size(self.log_write_buffer_bytes);
        options.set_max_write_buffer_number(4);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        // Overwriting a file of the right size needs no file system metadata at each sync (half the latency).
        options.set_recycle_log_file_num(2);
        options.set_max_total_wal_size(4 * self.log_write_buffer_bytes as u64);
        // Entries come in order and are purged in order: files never overlap, so compaction has little to do.
        options.set_level_zero_file_num_compaction_trigger(8);
        options.set_level_zero_slowdown_writes_trigger(64);
        options.set_level_zero_stop_writes_trigger(128);
        options
    }

    /// The state: what holds for the database and for all families. WAL off by the writer, atomic flush.
    pub(crate) fn state_database(&self, shared: &Shared) -> Options {
        let mut options = self.common(shared);
        options.set_atomic_flush(true);
        options.set_enable_pipelined_write(false);
        options.set_write_buffer_size(self.state_write_buffer_bytes);
        options.set_max_write_buffer_number(4);
        // The apply thread must not be slowed down for a compaction that two cores will do later.
        options.set_level_zero_file_num_compaction_trigger(8);
        options.set_level_zero_slowdown_writes_trigger(48);
        options.set_level_zero_stop_writes_trigger(96);
        options
    }

    /// A family of the state, with its share of [`state_write_buffer_bytes`](StoreOptions::state_write_buffer_bytes).
    pub(crate) fn state_family(&self, family: Family, shared: &Shared) -> Options {
        let mut options = match family {
            Family::Markers => self.state_rewritten(shared, false),
            Family::Versions | Family::Events | Family::Audit => self.state_growing(shared),
            Family::Indexes => {
                let mut options = self.state_rewritten(shared, true);
                // Most look-ups by number, name, form and idempotency key are for absent keys while a population is loaded.
                options.set_memtable_prefix_bloom_ratio(0.1);
                options.set_memtable_whole_key_filtering(true);
                options
            }
        };
        // All families are flushed with the first that is full. With these shares none of those that grow is full long before the others:
        // a registration takes about 400 bytes of versions, 140 of audit, 70 of events. Markers take 200 bytes a group, which may be
        // as small as one command.
        let eighths = match family {
            Family::Indexes => 8,
            Family::Versions => 6,
            Family::Audit | Family::Markers => 2,
            Family::Events => 1,
        };
        options.set_write_buffer_size(self.state_write_buffer_bytes / 8 * eighths);
        options
    }

    /// Keys that grow, read by scans and by reverse order.
    fn state_growing(&self, shared: &Shared) -> Options {
        let mut options = self.state_database(shared);
        options.set_block_based_table_factory(&Self::table(shared, false));
        // The same at all levels: files that do not overlap then move down without being written again. RocksDB never moves a file
        // to a level of another compression, and looks for such files in level 0 only where no compression is set by level.
        options.set_compression_type(DBCompressionType::Zstd);
        options
    }

    /// Keys that are changed in no order: files overlap and are merged, so that what is merged soon is not compressed.
    fn state_rewritten(&self, shared: &Shared, bloom: bool) -> Options {
        let mut options = self.state_database(shared);
        options.set_block_based_table_factory(&Self::table(shared, bloom));
        options.set_compression_per_level(&[
            DBCompressionType::None,
            DBCompressionType::None,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Zstd,
        ]);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options
    }

    /// The journal: like the log, but small.
    pub(crate) fn journal_database(&self, shared: &Shared) -> Options {
        let mut options = self.common(shared);
        options.set_block_based_table_factory(&Self::table(shared, false));
        options.set_write_buffer_size(8 * MIB);
        // The same at all levels: files of records that do not overlap then move down without being written again.
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_recycle_log_file_num(2);
        options.set_max_total_wal_size(32 * MIB as u64);
        options
    }
}

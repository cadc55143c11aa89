//! The file beside the log, and the one beside the journal, that says what was last known to be synced: a group of writes of the log,
//! an access record of the journal.
//!
//! Every write carries its number into the database. After the sync of number n returned, n is written here. If at open the
//! database knows only a smaller number, writes that had been synced are gone: the write-ahead log is damaged before its
//! tail, and RocksDB has silently cut it there. If it knows the same number or a larger one, whatever is missing
//! was never acknowledged: a torn tail.
//!
//! The mark itself is written without a sync each time (it costs a microsecond) and synced now and then: after a power loss it
//! may be old, which makes the check weaker, never wrong. Two slots take turns, so that a torn write leaves the other.
//!
//! ```text
//! slot 0 at byte 0, slot 1 at byte 512: | number 8 bytes LE | CRC-32C of it 4 bytes LE |
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SLOT_BYTES: usize = 12;
const SLOT_DISTANCE: u64 = 512;
/// Advances between two syncs of the mark.
const ADVANCES_PER_SYNC: u64 = 256;

#[derive(Debug)]
pub(crate) struct SyncedMark {
    file: File,
    turn: u64,
    unsynced: u64,
}

impl SyncedMark {
    /// Opens the file, making it if need be, and returns it with the newest number that it knows of (zero if none).
    pub(crate) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let newest = (0..2)
            .filter_map(|slot| Some((read_slot(&file, slot)?, slot)))
            .max();
        let (number, turn) = newest.unwrap_or((0, 0));
        Ok((
            Self {
                file,
                turn,
                unsynced: 0,
            },
            number,
        ))
    }

    /// Remembers that everything through `number` is synced.
    pub(crate) fn advance(&mut self, number: u64) -> io::Result<()> {
        let mut slot = [0_u8; SLOT_BYTES];
        slot[..8].copy_from_slice(&number.to_le_bytes());
        let checksum = crc32c::crc32c(&slot[..8]);
        slot[8..].copy_from_slice(&checksum.to_le_bytes());
        self.turn += 1;
        self.file
            .write_all_at(&slot, (self.turn % 2) * SLOT_DISTANCE)?;
        self.unsynced += 1;
        if self.unsynced >= ADVANCES_PER_SYNC {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the mark durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        self.file.sync_data()
    }
}

fn read_slot(file: &File, slot: u64) -> Option<u64> {
    let mut bytes = [0_u8; SLOT_BYTES];
    file.read_exact_at(&mut bytes, slot * SLOT_DISTANCE).ok()?;
    let (number, checksum) = bytes.split_at(8);
    (crc32c::crc32c(number).to_le_bytes() == checksum)
        .then(|| number.try_into().ok().map(u64::from_le_bytes))
        .flatten()
}

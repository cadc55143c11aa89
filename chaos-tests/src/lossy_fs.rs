//! A FUSE file system that loses what was not synced: SIGKILL keeps the page cache, so only this shows durability itself.
//!
//! Contract of use: mount it, run processes on it, end them all, then [`LossyFs::lose_power`], which unmounts (so that the kernel
//! forgets its caches), drops what was not synced, and mounts again at the same place.
//! Needs `/dev/fuse` and the right to mount; [`LossyFs::mount`] says which of them is missing.

mod answers;
pub mod disk;
mod listings;
mod mount_error;
mod stall;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use nix::mount::{MntFlags, umount2};

use answers::{
    ATTRIBUTES_VALID, BLOCK_BYTES, answer_empty, answer_entry, errno, file_attributes, kind, maker,
};
use disk::{Disk, Losses, PowerCut};
use listings::Listings;
use stall::Stall;

pub use mount_error::MountError;

/// What `/proc/self/mounts` names as the source of such a mount.
pub const SOURCE: &str = "banyan-lossy";
/// What `statfs` tells: 64 GiB free, so that checks of free space pass.
const BLOCKS_TOLD: u64 = 16 * 1024 * 1024;
/// `fallocate` flag: reserve space, leave the size.
const KEEP_SIZE: i32 = 0x01;
/// `fallocate` flag: give space back; reads as zeros.
const PUNCH_HOLE: i32 = 0x02;

/// A mounted lossy file system; unmounts when dropped.
pub struct LossyFs {
    disk: Arc<Mutex<Disk>>,
    stall: Arc<Stall>,
    mountpoint: PathBuf,
    session: Option<BackgroundSession>,
}

impl LossyFs {
    /// Mounts an empty one at `mountpoint`, an existing empty directory.
    pub fn mount(mountpoint: &Path) -> Result<LossyFs, MountError> {
        if !Path::new("/dev/fuse").exists() {
            return Err(MountError::NoDevice);
        }
        let disk = Arc::new(Mutex::new(Disk::new()));
        let stall = Arc::new(Stall::default());
        let session = open_session(&disk, &stall, mountpoint)?;
        Ok(LossyFs {
            disk,
            stall,
            mountpoint: mountpoint.to_owned(),
            session: Some(session),
        })
    }

    /// Bytes that a loss of power would take now.
    pub fn unsynced_bytes(&self) -> u64 {
        lock(&self.disk).unsynced_bytes()
    }

    /// How many syncs were asked for so far.
    pub fn syncs(&self) -> u64 {
        lock(&self.disk).syncs()
    }

    /// From now on syncs are answered and not done (or done again): a disk that lies, for the negative control.
    pub fn set_lying(&self, lying: bool) {
        lock(&self.disk).set_lying(lying);
    }

    /// From now on nothing is taken that needs space, until this is taken back. Stricter than most disks: what `fallocate` has
    /// reserved beyond a file's end is refused, too.
    pub fn set_full(&self, full: bool) {
        lock(&self.disk).set_full(full);
    }

    /// How often something was refused for want of space since it was last made full, by the file's name in its directory.
    pub fn refused(&self) -> BTreeMap<OsString, u64> {
        lock(&self.disk).refused().clone()
    }

    /// From now on no sync ends, until this is taken back: a disk that hangs.
    pub fn set_stalled(&self, stalled: bool) {
        self.stall.set(stalled);
    }

    /// How many syncs hang.
    pub fn syncs_hanging(&self) -> usize {
        self.stall.hanging()
    }

    /// From now on syncs fail with `EIO` and are not done, those too that hang, until [`LossyFs::set_stalled`] or a loss of power: a process that is to
    /// be killed cannot end while one of its threads waits for a sync, and a sync that was waiting when the power went was not done.
    pub fn give_up_syncs(&self) {
        self.stall.give_up();
    }

    /// The power goes and comes back. Every process that had files open here must have ended.
    pub fn lose_power(&mut self, cut: PowerCut) -> Result<Losses, MountError> {
        let refused = |source| MountError::Refused {
            path: self.mountpoint.clone(),
            source,
        };
        if let Some(session) = self.session.take() {
            session.umount_and_join().map_err(refused)?;
        }
        let losses = lock(&self.disk).lose_power(cut);
        self.stall.set(false);
        self.session = Some(open_session(&self.disk, &self.stall, &self.mountpoint)?);
        Ok(losses)
    }
}

impl Drop for LossyFs {
    fn drop(&mut self) {
        self.stall.set(false);
        let unmounted = match self.session.take() {
            Some(session) => session.umount_and_join().is_ok(),
            // A loss of power took it, and could not unmount or not mount again.
            None => false,
        };
        if !unmounted {
            // A process still uses it. The name goes at once, the rest with that process. It may be gone already, and a destructor can tell nobody.
            let _ = umount2(&self.mountpoint, MntFlags::MNT_DETACH);
        }
    }
}

fn open_session(
    disk: &Arc<Mutex<Disk>>,
    stall: &Arc<Stall>,
    path: &Path,
) -> Result<BackgroundSession, MountError> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    config.n_threads = Some(2);
    fuser::spawn_mount(
        Adapter {
            disk: Arc::clone(disk),
            stall: Arc::clone(stall),
            listings: Listings::default(),
        },
        path,
        &config,
    )
    .map_err(|source| MountError::Refused {
        path: path.to_owned(),
        source,
    })
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "times of files are for the kernel alone; nothing decides by them"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Translates between FUSE and [`Disk`].
struct Adapter {
    disk: Arc<Mutex<Disk>>,
    stall: Arc<Stall>,
    listings: Listings,
}

impl Adapter {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

impl Filesystem for Adapter {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.disk().look_up(parent.0, name));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.disk().attributes(ino.0) {
            Ok(found) => reply.attr(&ATTRIBUTES_VALID, &file_attributes(found)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let sized = size.map_or(Ok(()), |size| disk.set_size(ino.0, size, now()));
        let mode = mode.map(|mode| (mode & 0o7777) as u16);
        let changed = sized.and_then(|()| disk.set_owner(ino.0, mode, uid, gid));
        match changed.and_then(|()| disk.attributes(ino.0)) {
            Ok(found) => reply.attr(&ATTRIBUTES_VALID, &file_attributes(found)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self
            .disk()
            .make_directory(parent.0, name, maker(req, mode, umask), now());
        answer_entry(reply, made);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.disk().unlink(parent.0, name, false));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.disk().unlink(parent.0, name, true));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            reply.error(Errno::EINVAL);
            return;
        }
        let keep_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let renamed = self
            .disk()
            .rename(parent.0, name, newparent.0, newname, keep_existing);
        answer_empty(reply, renamed);
    }

    fn link(
        &self,
        _req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        answer_entry(reply, self.disk().link(ino.0, newparent.0, newname));
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut disk = self.disk();
        let made = disk
            .make_file(parent.0, name, maker(req, mode, umask), now())
            .and_then(|made| disk.opened(made.inode).map(|()| made));
        match made {
            Ok(made) => reply.created(
                &ATTRIBUTES_VALID,
                &file_attributes(made),
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.disk().opened(ino.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.disk().released(ino.0);
        reply.ok();
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(ino.0, offset, size) {
            Ok(data) => reply.data(data),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk().write(ino.0, offset, data, now()) {
            Ok(()) => reply.written(data.len() as u32),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    /// `close` makes nothing durable.
    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let waited = self.stall.wait();
        let synced = waited.and_then(|()| self.disk().sync_file(ino.0));
        answer_empty(reply, synced);
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let waited = self.stall.wait();
        let synced = waited.and_then(|()| self.disk().sync_directory(ino.0));
        answer_empty(reply, synced);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.listings.open()), FopenFlags::empty());
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings.close(fh.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let list = || self.disk().list(ino.0);
        match self.listings.read(fh.0, offset == 0, list) {
            Ok(names) => {
                let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
                for (index, (name, inode, directory)) in names.iter().enumerate().skip(skipped) {
                    if reply.add(INodeNo(*inode), index as u64 + 1, kind(*directory), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn fallocate(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.disk();
        let size = match disk.attributes(ino.0) {
            Ok(found) => found.size,
            Err(refusal) => return reply.error(errno(refusal)),
        };
        let result = if mode & PUNCH_HOLE != 0 {
            let end = offset.saturating_add(length).min(size);
            let zeros = vec![0; usize::try_from(end.saturating_sub(offset)).unwrap_or(0)];
            if zeros.is_empty() {
                Ok(())
            } else {
                disk.write(ino.0, offset, &zeros, now())
            }
        } else if mode & KEEP_SIZE == 0 && offset.saturating_add(length) > size {
            disk.set_size(ino.0, offset + length, now())
        } else {
            Ok(())
        };
        answer_empty(reply, result);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let free = if self.disk().is_full() {
            0
        } else {
            BLOCKS_TOLD
        };
        reply.statfs(
            BLOCKS_TOLD,
            free,
            free,
            1_000_000,
            1_000_000,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
    }
}

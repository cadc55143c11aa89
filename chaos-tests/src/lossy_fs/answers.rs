//! What the disk says, in FUSE's words.

use std::time::Duration;

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo, ReplyEmpty, ReplyEntry, Request};

use super::disk::{Attributes, Maker, Refusal};

/// Nothing but the kernel changes this file system, so what it was told stays true.
pub(super) const ATTRIBUTES_VALID: Duration = Duration::from_secs(60);
pub(super) const BLOCK_BYTES: u32 = 4096;

pub(super) fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotDirectory => Errno::ENOTDIR,
        Refusal::IsDirectory => Errno::EISDIR,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::Invalid => Errno::EINVAL,
        Refusal::Full => Errno::ENOSPC,
        Refusal::Broken => Errno::EIO,
    }
}

pub(super) fn kind(directory: bool) -> FileType {
    if directory {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

pub(super) fn file_attributes(found: Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(found.inode),
        size: found.size,
        blocks: found.size.div_ceil(512),
        atime: found.modified,
        mtime: found.modified,
        ctime: found.modified,
        crtime: found.modified,
        kind: kind(found.directory),
        perm: found.mode,
        nlink: found.links,
        uid: found.uid,
        gid: found.gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

pub(super) fn maker(request: &Request, mode: u32, umask: u32) -> Maker {
    Maker {
        mode: ((mode & !umask) & 0o7777) as u16,
        uid: request.uid(),
        gid: request.gid(),
    }
}

pub(super) fn answer_entry(reply: ReplyEntry, result: Result<Attributes, Refusal>) {
    match result {
        Ok(found) => reply.entry(&ATTRIBUTES_VALID, &file_attributes(found), Generation(0)),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

pub(super) fn answer_empty(reply: ReplyEmpty, result: Result<(), Refusal>) {
    match result {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

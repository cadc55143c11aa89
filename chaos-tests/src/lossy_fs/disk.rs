//! The disk behind the lossy file system: what was written, and which part of it a loss of power would leave.
//!
//! Every file and directory has two faces: the *view* that processes see, and the *durable* part that survives. `fsync`
//! copies a file's changed bytes from the first to the second; `fsync` on a directory does so with its entries. This is the
//! letter of POSIX: syncing a new file says nothing of its name, syncing a directory nothing of the bytes in its files.

mod file;
mod power;
mod space;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use file::FileBody;
pub use power::{Losses, PowerCut};

/// The root directory, as FUSE numbers it.
pub const ROOT: u64 = 1;

/// What a file operation was refused with; the adapter turns it into an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    Exists,
    NotDirectory,
    IsDirectory,
    NotEmpty,
    Invalid,
    /// It needs space, and there is none.
    Full,
    /// The disk is gone.
    Broken,
}

/// What is told of an inode.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    pub inode: u64,
    pub directory: bool,
    pub size: u64,
    pub mode: u16,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: SystemTime,
}

/// Who makes a file or directory, and with which permissions.
#[derive(Debug, Clone, Copy)]
pub struct Maker {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
}

type Names = BTreeMap<OsString, u64>;

#[derive(Debug, Default)]
struct DirectoryBody {
    view: Names,
    durable: Names,
}

#[derive(Debug)]
enum Body {
    File(FileBody),
    Directory(DirectoryBody),
}

#[derive(Debug)]
struct Inode {
    body: Body,
    maker: Maker,
    modified: SystemTime,
    /// Names in views of directories.
    links: u32,
    /// Names in durable parts of directories.
    durable_links: u32,
    /// Open handles.
    opens: u32,
}

/// All inodes of one file system.
#[derive(Debug)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Syncs are answered and not done: the negative control.
    lying: bool,
    /// Nothing may grow.
    full: bool,
    /// What was refused for want of space since the disk was last made full.
    refused: BTreeMap<OsString, u64>,
    syncs: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Disk {
        let root = Inode {
            body: Body::Directory(DirectoryBody::default()),
            maker: Maker {
                mode: 0o755,
                uid: 0,
                gid: 0,
            },
            modified: SystemTime::UNIX_EPOCH,
            links: 1,
            durable_links: 1,
            opens: 0,
        };
        Disk {
            inodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            lying: false,
            full: false,
            refused: BTreeMap::new(),
            syncs: 0,
        }
    }

    /// From now on a sync is answered without being done, or done again.
    pub fn set_lying(&mut self, lying: bool) {
        self.lying = lying;
    }

    /// How many syncs of files and directories were asked for.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// Bytes that a loss of power would take now.
    pub fn unsynced_bytes(&self) -> u64 {
        self.inodes
            .values()
            .map(|inode| match &inode.body {
                Body::File(file) => file.unsynced(),
                Body::Directory(_) => 0,
            })
            .sum()
    }

    pub fn attributes(&self, inode: u64) -> Result<Attributes, Refusal> {
        let found = self.inodes.get(&inode).ok_or(Refusal::Missing)?;
        let (directory, size) = match &found.body {
            Body::File(file) => (false, file.view.len() as u64),
            Body::Directory(names) => (true, names.view.len() as u64),
        };
        Ok(Attributes {
            inode,
            directory,
            size,
            mode: found.maker.mode,
            links: found.links,
            uid: found.maker.uid,
            gid: found.maker.gid,
            modified: found.modified,
        })
    }

    pub fn look_up(&self, parent: u64, name: &OsStr) -> Result<Attributes, Refusal> {
        let inode = *self.names(parent)?.view.get(name).ok_or(Refusal::Missing)?;
        self.attributes(inode)
    }

    /// The names of a directory, in order.
    pub fn list(&self, directory: u64) -> Result<Vec<(OsString, u64, bool)>, Refusal> {
        let names = self.names(directory)?;
        Ok(names
            .view
            .iter()
            .map(|(name, inode)| {
                let is_directory = matches!(
                    self.inodes.get(inode).map(|found| &found.body),
                    Some(Body::Directory(_))
                );
                (name.clone(), *inode, is_directory)
            })
            .collect())
    }

    pub fn make_file(
        &mut self,
        parent: u64,
        name: &OsStr,
        maker: Maker,
        now: SystemTime,
    ) -> Result<Attributes, Refusal> {
        self.make(parent, name, maker, now, Body::File(FileBody::default()))
    }

    pub fn make_directory(
        &mut self,
        parent: u64,
        name: &OsStr,
        maker: Maker,
        now: SystemTime,
    ) -> Result<Attributes, Refusal> {
        self.make(
            parent,
            name,
            maker,
            now,
            Body::Directory(DirectoryBody::default()),
        )
    }

    fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        maker: Maker,
        now: SystemTime,
        body: Body,
    ) -> Result<Attributes, Refusal> {
        if self.full {
            *self.refused.entry(name.to_owned()).or_default() += 1;
            return Err(Refusal::Full);
        }
        let inode = self.next;
        let names = self.names_mut(parent)?;
        if names.view.contains_key(name) {
            return Err(Refusal::Exists);
        }
        names.view.insert(name.to_owned(), inode);
        self.next += 1;
        let made = Inode {
            body,
            maker,
            modified: now,
            links: 1,
            durable_links: 0,
            opens: 0,
        };
        self.inodes.insert(inode, made);
        self.attributes(inode)
    }

    pub fn link(&mut self, inode: u64, parent: u64, name: &OsStr) -> Result<Attributes, Refusal> {
        if self.attributes(inode)?.directory {
            return Err(Refusal::IsDirectory);
        }
        let names = self.names_mut(parent)?;
        if names.view.contains_key(name) {
            return Err(Refusal::Exists);
        }
        names.view.insert(name.to_owned(), inode);
        self.inode_mut(inode)?.links += 1;
        self.attributes(inode)
    }

    /// Removes a name; the inode goes when no name, no durable name and no open handle holds it.
    pub fn unlink(&mut self, parent: u64, name: &OsStr, directory: bool) -> Result<(), Refusal> {
        let target = self.look_up(parent, name)?;
        match (directory, target.directory) {
            (true, false) => return Err(Refusal::NotDirectory),
            (false, true) => return Err(Refusal::IsDirectory),
            (true, true) if target.size > 0 => return Err(Refusal::NotEmpty),
            _ => {}
        }
        self.names_mut(parent)?.view.remove(name);
        self.drop_link(target.inode);
        Ok(())
    }

    pub fn rename(
        &mut self,
        parent: u64,
        name: &OsStr,
        new_parent: u64,
        new_name: &OsStr,
        keep_existing: bool,
    ) -> Result<(), Refusal> {
        let moved = self.look_up(parent, name)?;
        let replaced = match self.look_up(new_parent, new_name) {
            Ok(_) if keep_existing => return Err(Refusal::Exists),
            Ok(target) if target.inode == moved.inode => return Ok(()),
            Ok(target) if target.directory && target.size > 0 => return Err(Refusal::NotEmpty),
            Ok(target) if target.directory != moved.directory => {
                return Err(if target.directory {
                    Refusal::IsDirectory
                } else {
                    Refusal::NotDirectory
                });
            }
            Ok(target) => Some(target.inode),
            Err(Refusal::Missing) => None,
            Err(refusal) => return Err(refusal),
        };
        self.names_mut(parent)?.view.remove(name);
        self.names_mut(new_parent)?
            .view
            .insert(new_name.to_owned(), moved.inode);
        if let Some(inode) = replaced {
            self.drop_link(inode);
        }
        Ok(())
    }

    pub fn opened(&mut self, inode: u64) -> Result<(), Refusal> {
        self.inode_mut(inode)?.opens += 1;
        Ok(())
    }

    pub fn released(&mut self, inode: u64) {
        if let Some(found) = self.inodes.get_mut(&inode) {
            found.opens = found.opens.saturating_sub(1);
        }
        self.reclaim(inode);
    }

    pub fn read(&self, inode: u64, offset: u64, size: u32) -> Result<&[u8], Refusal> {
        match &self.inodes.get(&inode).ok_or(Refusal::Missing)?.body {
            Body::Directory(_) => Err(Refusal::IsDirectory),
            Body::File(file) => {
                let length = file.view.len();
                let start = usize::try_from(offset)
                    .map_err(|_| Refusal::Invalid)?
                    .min(length);
                let end = start.saturating_add(size as usize).min(length);
                Ok(&file.view[start..end])
            }
        }
    }

    pub fn write(
        &mut self,
        inode: u64,
        offset: u64,
        data: &[u8],
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let start = usize::try_from(offset).map_err(|_| Refusal::Invalid)?;
        if self.lacks_space(inode, start.saturating_add(data.len())) {
            return Err(Refusal::Full);
        }
        let found = self.inode_mut(inode)?;
        match &mut found.body {
            Body::Directory(_) => Err(Refusal::IsDirectory),
            Body::File(file) => {
                found.modified = now;
                file.write(start, data);
                Ok(())
            }
        }
    }

    pub fn set_size(&mut self, inode: u64, size: u64, now: SystemTime) -> Result<(), Refusal> {
        let size = usize::try_from(size).map_err(|_| Refusal::Invalid)?;
        if self.lacks_space(inode, size) {
            return Err(Refusal::Full);
        }
        let found = self.inode_mut(inode)?;
        match &mut found.body {
            Body::Directory(_) => Err(Refusal::IsDirectory),
            Body::File(file) => {
                found.modified = now;
                file.resize(size);
                Ok(())
            }
        }
    }

    /// Permissions and owner; they are taken as durable at once, nothing here depends on them.
    pub fn set_owner(
        &mut self,
        inode: u64,
        mode: Option<u16>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Refusal> {
        let maker = &mut self.inode_mut(inode)?.maker;
        maker.mode = mode.unwrap_or(maker.mode);
        maker.uid = uid.unwrap_or(maker.uid);
        maker.gid = gid.unwrap_or(maker.gid);
        Ok(())
    }

    /// Makes the bytes of one file durable.
    pub fn sync_file(&mut self, inode: u64) -> Result<(), Refusal> {
        self.syncs += 1;
        if self.lying {
            return Ok(());
        }
        match &mut self.inode_mut(inode)?.body {
            Body::File(file) => file.sync(),
            Body::Directory(_) => return self.sync_names(inode),
        }
        Ok(())
    }

    /// Makes the names in one directory durable.
    pub fn sync_directory(&mut self, inode: u64) -> Result<(), Refusal> {
        self.syncs += 1;
        if self.lying {
            return Ok(());
        }
        self.sync_names(inode)
    }

    fn sync_names(&mut self, directory: u64) -> Result<(), Refusal> {
        let names = self.names_mut(directory)?;
        let before = std::mem::replace(&mut names.durable, names.view.clone());
        let after = names.durable.clone();
        for inode in after.values() {
            if let Some(found) = self.inodes.get_mut(inode) {
                found.durable_links += 1;
            }
        }
        for inode in before.values() {
            if let Some(found) = self.inodes.get_mut(inode) {
                found.durable_links = found.durable_links.saturating_sub(1);
            }
            self.reclaim(*inode);
        }
        Ok(())
    }

    fn drop_link(&mut self, inode: u64) {
        if let Some(found) = self.inodes.get_mut(&inode) {
            found.links = found.links.saturating_sub(1);
        }
        self.reclaim(inode);
    }

    fn reclaim(&mut self, inode: u64) {
        let unused = self
            .inodes
            .get(&inode)
            .is_some_and(|found| found.links == 0 && found.durable_links == 0 && found.opens == 0);
        if unused
            && let Some(Inode {
                body: Body::Directory(names),
                ..
            }) = self.inodes.remove(&inode)
        {
            for child in names.durable.values() {
                if let Some(found) = self.inodes.get_mut(child) {
                    found.durable_links = found.durable_links.saturating_sub(1);
                }
                self.reclaim(*child);
            }
        }
    }

    fn inode_mut(&mut self, inode: u64) -> Result<&mut Inode, Refusal> {
        self.inodes.get_mut(&inode).ok_or(Refusal::Missing)
    }

    fn names(&self, directory: u64) -> Result<&DirectoryBody, Refusal> {
        match &self.inodes.get(&directory).ok_or(Refusal::Missing)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) => Err(Refusal::NotDirectory),
        }
    }

    fn names_mut(&mut self, directory: u64) -> Result<&mut DirectoryBody, Refusal> {
        match &mut self.inode_mut(directory)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) => Err(Refusal::NotDirectory),
        }
    }
}

#[cfg(test)]
mod tests;

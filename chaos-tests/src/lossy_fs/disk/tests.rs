//! What a loss of power takes from the disk's model, and what it leaves.

use super::*;

const MAKER: Maker = Maker {
    mode: 0o600,
    uid: 0,
    gid: 0,
};
const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn file(disk: &mut Disk, name: &str) -> u64 {
    disk.make_file(ROOT, OsStr::new(name), MAKER, NOW)
        .unwrap()
        .inode
}

#[test]
fn unsynced_bytes_are_lost_and_synced_ones_stay() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "wal");
    disk.write(inode, 0, b"synced", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.sync_directory(ROOT).unwrap();
    disk.write(inode, 6, b" and not", NOW).unwrap();
    disk.write(inode, 0, b"S", NOW).unwrap();

    let losses = disk.lose_power(PowerCut::DropUnsynced);

    assert_eq!(disk.read(inode, 0, 100).unwrap(), b"synced");
    assert_eq!((losses.files, losses.bytes, losses.names), (1, 9, 0));
}

#[test]
fn unsynced_names_are_lost_even_when_the_file_was_synced() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "sst");
    disk.write(inode, 0, b"bytes", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    let losses = disk.lose_power(PowerCut::DropUnsynced);
    assert_eq!(
        disk.look_up(ROOT, OsStr::new("sst")).unwrap_err(),
        Refusal::Missing
    );
    assert_eq!(losses.names, 1);
}

#[test]
fn unsynced_rename_and_removal_go_back() {
    let mut disk = Disk::new();
    let old = file(&mut disk, "CURRENT");
    disk.write(old, 0, b"old", NOW).unwrap();
    disk.sync_file(old).unwrap();
    disk.sync_directory(ROOT).unwrap();
    let new = file(&mut disk, "tmp");
    disk.write(new, 0, b"new", NOW).unwrap();
    disk.sync_file(new).unwrap();
    disk.rename(ROOT, OsStr::new("tmp"), ROOT, OsStr::new("CURRENT"), false)
        .unwrap();
    assert_eq!(
        disk.look_up(ROOT, OsStr::new("CURRENT")).unwrap().inode,
        new
    );

    disk.lose_power(PowerCut::DropUnsynced);

    let found = disk.look_up(ROOT, OsStr::new("CURRENT")).unwrap();
    assert_eq!(disk.read(found.inode, 0, 10).unwrap(), b"old");
    assert_eq!(disk.list(ROOT).unwrap().len(), 1);
}

#[test]
fn truncation_that_was_synced_does_not_bring_old_bytes_back() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "log");
    disk.write(inode, 0, &[7; 100], NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.sync_directory(ROOT).unwrap();
    disk.set_size(inode, 10, NOW).unwrap();
    disk.set_size(inode, 50, NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.lose_power(PowerCut::DropUnsynced);
    let mut expected = vec![7; 10];
    expected.resize(50, 0);
    assert_eq!(disk.read(inode, 0, 100).unwrap(), expected);
}

#[test]
fn hard_links_share_their_bytes_and_outlive_the_first_name() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "1.sst");
    disk.write(inode, 0, b"x", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    let folder = disk
        .make_directory(ROOT, OsStr::new("checkpoint"), MAKER, NOW)
        .unwrap()
        .inode;
    disk.link(inode, folder, OsStr::new("1.sst")).unwrap();
    disk.sync_directory(folder).unwrap();
    disk.sync_directory(ROOT).unwrap();
    disk.unlink(ROOT, OsStr::new("1.sst"), false).unwrap();
    disk.sync_directory(ROOT).unwrap();
    disk.lose_power(PowerCut::DropUnsynced);
    let found = disk.look_up(folder, OsStr::new("1.sst")).unwrap();
    assert_eq!((found.inode, found.links), (inode, 1));
    assert_eq!(disk.read(inode, 0, 10).unwrap(), b"x");
}

#[test]
fn torn_tail_keeps_a_prefix_of_what_was_appended() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "wal");
    disk.write(inode, 0, b"base", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.sync_directory(ROOT).unwrap();
    disk.write(inode, 4, &[9; 1000], NOW).unwrap();
    disk.lose_power(PowerCut::TornTails { seed: 3 });
    let left = disk.read(inode, 0, 2000).unwrap();
    assert!(left.len() >= 4 && left.len() <= 1004 && left.starts_with(b"base"));
}

#[test]
fn lying_disk_loses_what_it_said_was_synced() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "wal");
    disk.sync_directory(ROOT).unwrap();
    disk.set_lying(true);
    disk.write(inode, 0, b"gone", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.lose_power(PowerCut::DropUnsynced);
    assert_eq!(disk.read(inode, 0, 10).unwrap(), b"");
}

#[test]
fn full_disk_refuses_what_grows_and_still_takes_the_rest() {
    let mut disk = Disk::new();
    let inode = file(&mut disk, "wal");
    disk.write(inode, 0, b"there", NOW).unwrap();
    disk.set_full(true);
    assert_eq!(
        disk.write(inode, 3, b"more", NOW).unwrap_err(),
        Refusal::Full
    );
    assert_eq!(disk.set_size(inode, 6, NOW).unwrap_err(), Refusal::Full);
    let made = disk.make_file(ROOT, OsStr::new("new"), MAKER, NOW);
    assert_eq!(made.unwrap_err(), Refusal::Full);
    assert_eq!(disk.read(inode, 0, 10).unwrap(), b"there");
    disk.write(inode, 0, b"T", NOW).unwrap();
    disk.sync_file(inode).unwrap();
    disk.unlink(ROOT, OsStr::new("wal"), false).unwrap();
    let refused = |disk: &Disk| -> Vec<_> {
        let each = disk.refused().iter();
        each.map(|(name, count)| (name.to_string_lossy().into_owned(), *count))
            .collect()
    };
    let told = [("new".to_owned(), 1), ("wal".to_owned(), 2)];
    assert_eq!(refused(&disk), told);
    disk.set_full(false);
    assert_eq!(refused(&disk), told);
    disk.set_full(true);
    assert_eq!(refused(&disk), []);
    disk.set_full(false);
    disk.make_file(ROOT, OsStr::new("new"), MAKER, NOW).unwrap();
}

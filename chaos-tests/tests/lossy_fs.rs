//! The lossy file system itself, seen through the kernel: it must lose exactly what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use banyan_chaos_tests::lossy_fs::LossyFs;
use banyan_chaos_tests::lossy_fs::disk::PowerCut;

fn sync_directory(path: &Path) {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .expect("a directory can be synced");
}

fn append(path: &Path, bytes: &[u8]) -> File {
    let write = || -> std::io::Result<File> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(bytes)?;
        Ok(file)
    };
    write().expect("a file can be written")
}

#[test]
fn power_loss_takes_what_was_not_synced_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut fs = LossyFs::mount(folder.path()).unwrap();
    let at = |name: &str| folder.path().join(name);

    append(&at("kept"), b"synced").sync_data().unwrap();
    append(&at("shrunk"), b"synced").sync_all().unwrap();
    sync_directory(folder.path());
    append(&at("shrunk"), b" and more");
    append(&at("nameless"), b"its bytes were synced, its name was not")
        .sync_all()
        .unwrap();
    fs::create_dir(at("folder")).unwrap();
    assert_eq!(fs::read(at("shrunk")).unwrap(), b"synced and more");
    assert_eq!(fs.unsynced_bytes(), 9);

    let losses = fs.lose_power(PowerCut::DropUnsynced).unwrap();

    assert_eq!(fs::read(at("kept")).unwrap(), b"synced");
    assert_eq!(fs::read(at("shrunk")).unwrap(), b"synced");
    assert!(!at("nameless").exists() && !at("folder").exists());
    assert_eq!((losses.files, losses.bytes, losses.names), (1, 9, 2));
}

#[test]
fn link_rename_truncate_and_list_work_as_a_store_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut fs = LossyFs::mount(folder.path()).unwrap();
    let at = |name: &str| folder.path().join(name);

    fs::create_dir(at("checkpoint")).unwrap();
    append(&at("1.sst"), &[7; 300_000]).sync_all().unwrap();
    fs::hard_link(at("1.sst"), at("checkpoint/1.sst")).unwrap();
    append(&at("CURRENT.tmp"), b"checkpoint")
        .sync_all()
        .unwrap();
    fs::rename(at("CURRENT.tmp"), at("CURRENT")).unwrap();
    fs::remove_file(at("1.sst")).unwrap();
    sync_directory(&at("checkpoint"));
    sync_directory(folder.path());
    let file = append(&at("checkpoint/1.sst"), b"");
    file.set_len(100_000).unwrap();
    file.sync_all().unwrap();
    drop(file);
    for number in 0..500 {
        append(&at(&format!("checkpoint/{number:05}.log")), b"");
    }
    assert_eq!(fs::read_dir(at("checkpoint")).unwrap().count(), 501);
    // Emptied while it is read, in more than one piece.
    fs::create_dir(at("unfinished")).unwrap();
    for number in 0..3_000 {
        append(&at(&format!("unfinished/{number:05}.log")), b"");
    }
    fs::remove_dir_all(at("unfinished")).unwrap();

    fs.lose_power(PowerCut::DropUnsynced).unwrap();

    assert_eq!(fs::read(at("CURRENT")).unwrap(), b"checkpoint");
    assert_eq!(fs::read(at("checkpoint/1.sst")).unwrap(), vec![7; 100_000]);
    assert_eq!(fs::read_dir(at("checkpoint")).unwrap().count(), 1);
    assert!(!at("1.sst").exists());
}

#[test]
fn lying_disk_forgets_what_it_said_it_had_synced() {
    let folder = tempfile::tempdir().unwrap();
    let mut fs = LossyFs::mount(folder.path()).unwrap();
    let file = append(&folder.path().join("wal"), b"before");
    file.sync_all().unwrap();
    sync_directory(folder.path());
    fs.set_lying(true);
    drop(file);
    append(&folder.path().join("wal"), b" after")
        .sync_all()
        .unwrap();
    fs.set_lying(false);
    fs.lose_power(PowerCut::DropUnsynced).unwrap();
    assert_eq!(fs::read(folder.path().join("wal")).unwrap(), b"before");
}

#[test]
fn sync_that_hung_when_the_power_went_was_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut fs = LossyFs::mount(folder.path()).unwrap();
    let wal = folder.path().join("wal");
    append(&wal, b"before").sync_all().unwrap();
    sync_directory(folder.path());

    fs.set_stalled(true);
    let file = append(&wal, b" after");
    let hangs = std::thread::spawn(move || file.sync_all());
    let begun = Instant::now();
    while fs.syncs_hanging() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no sync came");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs.give_up_syncs();
    let synced = hangs.join().unwrap();
    assert_eq!(
        synced.map_err(|error| error.raw_os_error()),
        Err(Some(5)),
        "EIO"
    );
    assert_eq!(fs.unsynced_bytes(), 6);

    fs.lose_power(PowerCut::DropUnsynced).unwrap();
    assert_eq!(fs::read(&wal).unwrap(), b"before");
    append(&wal, b" again").sync_all().unwrap();
    assert_eq!(fs.unsynced_bytes(), 0);
}

//! What a run that was killed has left: found by the name of its process, and removed when the next run starts. Mounts that nobody serves any more go,
//! too, whoever made them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use banyan_drill::cluster::LocalCluster;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::name::RunName;
use super::{namespaces, tools};
use crate::harness;
use crate::lossy_fs;

/// Removes processes, mounts, namespaces and folders of runs whose process is gone, and mounts of tests that are gone. `folder` holds the folders of
/// runs.
///
/// What cannot be removed is told and left: it hinders no other run.
pub(super) async fn remove(folder: &Path) {
    let dead = folders_of_the_dead(folder);
    for path in &dead {
        end_processes(path).await;
    }
    for (place, is_served) in mounts().await {
        if !is_served || dead.iter().any(|folder| place.starts_with(folder)) {
            let done = umount2(&place, MntFlags::MNT_DETACH);
            tell(&place.display().to_string(), done.map_err(Into::into));
        }
    }
    for name in entries(Path::new(namespaces::NAMES)) {
        if RunName::at_start_of(&name).is_some_and(|run| !run.runs()) {
            tell(&name, tools::call("ip", &["netns", "del", &name]));
        }
    }
    for path in dead {
        tell(
            &path.display().to_string(),
            fs::remove_dir_all(&path).map_err(Into::into),
        );
    }
}

/// How long a look at a mount may take.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// What the folder of a run is called that stays for people. It is no run's name, so that no run removes it for being dead.
pub(super) const KEPT: &str = "kept-";
/// Folders that stay; the oldest go.
const KEPT_AT_MOST: usize = 5;

/// Removes the oldest folders that were kept, until there is room for one more.
pub(super) fn make_room(folder: &Path) {
    let kept = entries(folder).into_iter().filter(|name| {
        let rest = name.strip_prefix(KEPT).unwrap_or_default();
        rest.parse::<RunName>().is_ok()
    });
    let mut kept: Vec<(SystemTime, PathBuf)> = kept
        .map(|name| folder.join(name))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    kept.sort();
    let too_many = (kept.len() + 1).saturating_sub(KEPT_AT_MOST);
    for (_, path) in kept.into_iter().take(too_many) {
        let shown = path.display().to_string();
        tell(&shown, fs::remove_dir_all(&path).map_err(Into::into));
    }
}

fn folders_of_the_dead(folder: &Path) -> Vec<PathBuf> {
    let is_dead = |name: &String| name.parse().is_ok_and(|run: RunName| !run.runs());
    let names = entries(folder).into_iter().filter(is_dead);
    names
        .filter_map(|name| folder.join(name).canonicalize().ok())
        .collect()
}

/// Nodes end with what started them; this is for where that could not be arranged.
async fn end_processes(folder: &Path) {
    let Ok(mut cluster) = LocalCluster::attach(&folder.join(super::start::CLUSTER)) else {
        return;
    };
    let processes = cluster.process_ids();
    if !processes.is_empty() {
        harness::say(&format!("ending the nodes of a killed run: {processes:?}"));
        if let Err(error) = cluster.kill_all().await {
            harness::say(&format!("    {error}"));
        }
    }
}

/// The mounts of our file system, and whether anybody serves them: those of a test that is gone are not in the folder of any run.
async fn mounts() -> Vec<(PathBuf, bool)> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for place in places(&text) {
        let is_served = is_served(place.clone()).await;
        found.push((place, is_served));
    }
    found
}

/// Where our file system is mounted, as `/proc/self/mounts` tells. Spaces and the like are written in octal there, and are left so: such a place is
/// not found by its name, and stays.
fn places(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' '));
    fields
        .filter_map(|mut fields| Some((fields.next()?, fields.next()?)))
        .filter(|(source, _)| *source == lossy_fs::SOURCE)
        .map(|(_, place)| PathBuf::from(place))
        .collect()
}

/// Only a mount whose process is gone refuses with `ENOTCONN`. One that does not answer at all hangs, as a disk of another run may: it is served.
async fn is_served(place: PathBuf) -> bool {
    let looked = tokio::task::spawn_blocking(move || fs::metadata(place));
    match tokio::time::timeout(LOOK_WITHIN, looked).await {
        Ok(Ok(Err(error))) => error.raw_os_error() != Some(Errno::ENOTCONN as i32),
        _ => true,
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    found
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn tell(what: &str, done: anyhow::Result<()>) {
    match done {
        Ok(()) => harness::say(&format!("removed {what}, left by an earlier run")),
        Err(error) => harness::say(&format!("{what}, left by an earlier run, stays: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use nix::mount::{MsFlags, mount};

    use super::*;

    #[test]
    fn mounts_of_others_are_left_alone() {
        let text = "proc /proc proc rw 0 0\nbanyan-lossy /tmp/a fuse rw 0 0\nother-lossy /tmp/b fuse rw 0 0\nbroken\n";
        assert_eq!(places(text), [Path::new("/tmp/a")]);
    }

    #[tokio::test]
    async fn mount_whose_process_is_gone_is_told_from_one_that_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let device = fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        let source = Some(lossy_fs::SOURCE);
        mount(source, &path, Some("fuse"), flags, Some(options.as_str())).unwrap();
        // As the end of its process would.
        drop(device);
        let found = mounts().await;
        assert!(found.contains(&(path.clone(), false)), "{found:?}");
        umount2(&path, MntFlags::MNT_DETACH).unwrap();
    }

    #[tokio::test]
    async fn disk_that_is_dropped_while_a_file_of_it_is_open_does_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let disk = lossy_fs::LossyFs::mount(&path).unwrap();
        let is_mounted = || {
            let text = fs::read_to_string("/proc/self/mounts").unwrap();
            places(&text).contains(&path)
        };
        assert!(is_mounted() && is_served(path.clone()).await);
        let open = fs::File::create(path.join("open")).unwrap();
        drop(disk);
        assert!(!is_mounted());
        drop(open);
    }

    #[test]
    fn few_kept_folders_stay_and_nothing_else_goes() {
        let folder = tempfile::tempdir().unwrap();
        let names = (1..=7).map(|pid| format!("{KEPT}banyan-chaos-{pid}-1"));
        for name in names.chain(["mine".to_owned(), "kept-mine".to_owned()]) {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        make_room(folder.path());
        let left = entries(folder.path());
        assert_eq!(left.len(), 2 + KEPT_AT_MOST - 1, "{left:?}");
        assert!(left.contains(&"mine".to_owned()) && left.contains(&"kept-mine".to_owned()));
    }
}

//! What a run that was killed has left: found by the name of its process, and removed when the next run starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use banyan_drill::cluster::LocalCluster;
use nix::mount::{MntFlags, umount2};

use super::name::RunName;
use super::{namespaces, tools};
use crate::harness;
use crate::lossy_fs;

/// Removes processes, mounts, namespaces and folders of runs whose process is gone. `folder` holds the folders of runs.
///
/// What cannot be removed is told and left: it hinders no other run.
pub(super) async fn remove(folder: &Path) {
    let dead = folders_of_the_dead(folder);
    for path in &dead {
        end_processes(path).await;
    }
    unmount(|path| dead.iter().any(|folder| path.starts_with(folder)));
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

/// Takes off the mounts of our file system whose place fits. Nobody serves them any more: every use of them fails.
fn unmount(fits: impl Fn(&Path) -> bool) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(source), Some(place)) = (fields.next(), fields.next()) else {
            continue;
        };
        // Spaces and the like are written in octal there; the run's own folders hold none, so that nothing else can fit.
        let place = Path::new(place);
        if source == lossy_fs::SOURCE && fits(place) {
            let done = umount2(place, MntFlags::MNT_DETACH);
            tell(&place.display().to_string(), done.map_err(Into::into));
        }
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
    use super::*;

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

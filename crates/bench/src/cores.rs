//! Which cores a process runs on. A generator that shares its cores with what it measures takes away the time that it asks for.

use std::fs;
use std::ops::Range;

use anyhow::{Context as _, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Rounds after which a process that starts threads all the time is given up.
const ROUNDS_MAX: usize = 20;

/// Keeps all threads of a process on these cores; those that it starts later inherit them.
///
/// # Errors
/// That there is no such process, or no such core.
pub(crate) fn keep_on(pid: i32, cores: Range<usize>) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(core)?;
    }
    let mut done: Vec<i32> = Vec::new();
    // A thread that was started by one not kept yet, while the folder was read, is found in the next round.
    for _ in 0..ROUNDS_MAX {
        let threads = threads(pid)?;
        if threads == done {
            return Ok(());
        }
        for thread in &threads {
            match sched_setaffinity(Pid::from_raw(*thread), &set) {
                // It has ended since.
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(errno) => bail!("thread {thread} cannot be kept on its cores: {errno}"),
            }
        }
        done = threads;
    }
    bail!("process {pid} starts threads without end")
}

/// The threads of a process, in order.
fn threads(pid: i32) -> anyhow::Result<Vec<i32>> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let mut threads = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        threads.push(name.to_string_lossy().parse()?);
    }
    threads.sort_unstable();
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::sched::sched_getaffinity;

    use super::*;

    #[test]
    fn process_is_kept_on_the_cores() {
        let mut child = Command::new("/bin/sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let kept = keep_on(pid, 0..1);
        let set = sched_getaffinity(Pid::from_raw(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        kept.unwrap();
        let set = set.unwrap();
        let cores = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap());
        assert_eq!(cores.collect::<Vec<_>>(), [0]);
        // It is gone.
        assert!(keep_on(pid, 0..1).is_err());
    }
}

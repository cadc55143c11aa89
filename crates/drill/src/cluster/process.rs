//! One `banyand` process: started, recognised again, signalled by its process id, reaped.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Whether the nodes outlive the program that started them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// They end with it, however it ends: for tests and drills.
    WithStarter,
    /// They stay: for `cluster up`.
    Detached,
}

/// A process that can be told from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessMark {
    pub(super) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks between boot and the process's start.
    pub(super) started_ticks: u64,
}

impl ProcessMark {
    /// The mark of a process that runs now.
    fn of(pid: i32) -> io::Result<ProcessMark> {
        let (_, started_ticks) = stat(pid)?;
        Ok(ProcessMark { pid, started_ticks })
    }

    /// Whether this very process still runs. One that ended and was not reaped does not run.
    pub(super) fn runs(self) -> bool {
        stat(self.pid)
            .is_ok_and(|(state, ticks)| ticks == self.started_ticks && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal, unless the process is gone: then `false`.
    pub(super) fn signal(self, signal: Signal) -> io::Result<bool> {
        if !self.runs() {
            return Ok(false);
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// State letter and start time. The command's name may hold anything, so fields are counted from its closing bracket.
fn stat(pid: i32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/<pid>/stat");
    let (_, fields) = text.rsplit_once(')').ok_or_else(malformed)?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let state = fields
        .first()
        .and_then(|field| field.chars().next())
        .ok_or_else(malformed)?;
    let ticks = fields
        .get(19)
        .and_then(|field| field.parse().ok())
        .ok_or_else(malformed)?;
    Ok((state, ticks))
}

/// A node's process, ours to reap or found again through its mark.
#[derive(Debug)]
pub(super) struct NodeProcess {
    pub(super) mark: ProcessMark,
    child: Option<Child>,
}

impl NodeProcess {
    pub(super) fn attached(mark: ProcessMark) -> NodeProcess {
        NodeProcess { mark, child: None }
    }

    /// Whether it still runs; reaps it if it is ours and has ended.
    pub(super) fn runs(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            return matches!(child.try_wait(), Ok(None));
        }
        self.mark.runs()
    }

    /// How it ended, if it is ours and has ended.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    /// As [`ProcessMark::signal`].
    pub(super) fn signal(&self, signal: Signal) -> io::Result<bool> {
        self.mark.signal(signal)
    }

    /// Waits until it has ended; `false`: it still runs at the deadline.
    pub(super) async fn ended_within(&mut self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        while self.runs() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Ends it at once and reaps it; for destructors, which cannot wait without blocking.
    pub(super) fn end_now(&mut self) {
        let _ = self.signal(Signal::SIGKILL);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) banyand: PathBuf,
    /// A program with its arguments that becomes `banyand`; empty: none.
    pub(super) wrapper: Vec<OsString>,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) lifetime: Lifetime,
    /// Whether the node may form its data directory.
    pub(super) first_start: bool,
}

impl Launch {
    fn command(&self) -> io::Result<Command> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = match self.lifetime {
            // `setpriv` (util-linux) sets the parent-death signal and becomes the node: the same process id.
            Lifetime::WithStarter if Path::new(SETPRIV).exists() => {
                let mut command = Command::new(SETPRIV);
                command
                    .args(["--pdeathsig", "KILL", "--"])
                    .args(&self.wrapper)
                    .arg(&self.banyand);
                command
            }
            _ => match self.wrapper.split_first() {
                Some((program, arguments)) => {
                    let mut command = Command::new(program);
                    command.args(arguments).arg(&self.banyand);
                    command
                }
                None => Command::new(&self.banyand),
            },
        };
        command
            .arg("--config")
            .arg(&self.config)
            .args(self.first_start.then_some("--first-start"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: a terminal's Ctrl-C reaches the starter, which then stops the nodes in order.
            .process_group(0);
        Ok(command)
    }
}

const SETPRIV: &str = "/usr/bin/setpriv";

/// Starts processes from one thread that lives as long as it: the parent-death signal comes when the *thread* that
/// started a process ends, and a runtime's threads come and go.
#[derive(Debug, Clone)]
pub(super) struct Starter {
    orders: mpsc::Sender<(Launch, mpsc::SyncSender<io::Result<Child>>)>,
}

impl Starter {
    pub(super) fn new() -> io::Result<Starter> {
        let (orders, inbox) = mpsc::channel::<(Launch, mpsc::SyncSender<io::Result<Child>>)>();
        std::thread::Builder::new()
            .name("node-starter".to_owned())
            .spawn(move || {
                while let Ok((launch, answer)) = inbox.recv() {
                    let started = launch.command().and_then(|mut command| command.spawn());
                    let _ = answer.send(started);
                }
            })?;
        Ok(Starter { orders })
    }

    pub(super) fn start(&self, launch: Launch) -> io::Result<NodeProcess> {
        let (answer, started) = mpsc::sync_channel(1);
        let gone = || io::Error::other("the thread that starts nodes is gone");
        self.orders.send((launch, answer)).map_err(|_| gone())?;
        let child = started.recv().map_err(|_| gone())??;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(NodeProcess {
            mark: ProcessMark::of(pid)?,
            child: Some(child),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_recognised_and_a_later_one_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mark = ProcessMark::of(pid).unwrap();
        assert!(mark.runs());
        let later = ProcessMark {
            started_ticks: mark.started_ticks + 1,
            ..mark
        };
        assert!(!later.runs());
        // Goes nowhere: this test goes on.
        assert!(!later.signal(Signal::SIGKILL).unwrap());
    }

    #[test]
    fn started_process_can_be_killed_and_reaped() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("banyand");
        fs::write(&script, "#!/bin/sh\nexec sleep 60\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let starter = Starter::new().unwrap();
        for lifetime in [Lifetime::WithStarter, Lifetime::Detached] {
            let mut process = starter
                .start(Launch {
                    banyand: script.clone(),
                    wrapper: Vec::new(),
                    config: folder.path().join("node.toml"),
                    log: folder.path().join("log"),
                    lifetime,
                    first_start: false,
                })
                .unwrap();
            assert!(process.runs());
            process.end_now();
            assert!(!process.runs() && !process.mark.runs());
        }
    }
}

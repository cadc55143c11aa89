//! Processes of the systems that are measured: started by the main thread, known by their process ids, ended in any case.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Sets the parent-death signal and the user, and becomes the program: the same process id. A part of util-linux.
const SETPRIV: &str = "/usr/bin/setpriv";
/// A process that was asked to end and has not is killed after this.
const GRACE: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// For messages.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Gets what the program prints; appended to.
    pub(crate) log: PathBuf,
    /// The user to run as; `None`: as this program.
    pub(crate) user: Option<String>,
}

impl Launch {
    /// The program under `setpriv`. It ends when the thread ends that starts it, so that only the main thread may.
    fn command(&self) -> Command {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    fn log_file(&self) -> anyhow::Result<std::fs::File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))
    }

    /// Starts it, to be ended with the value returned.
    ///
    /// # Errors
    /// That it cannot be started.
    pub(crate) fn start(&self) -> anyhow::Result<Running> {
        let log = self.log_file()?;
        let child = self
            .command()
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: a terminal's Ctrl-C reaches this program only, which then ends the others in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        Ok(Running {
            name: self.name.clone(),
            log: self.log.clone(),
            child,
        })
    }

    /// Runs it to its end, which has to be a success within `bound`.
    ///
    /// # Errors
    /// That it failed, with the end of its log.
    pub(crate) fn run(&self, bound: Duration) -> anyhow::Result<()> {
        let mut running = self.start()?;
        let end = Instant::now() + bound;
        while Instant::now() < end {
            if let Some(status) = running.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("{} ended with {status}: {}", self.name, tail(&self.log));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not end within {bound:?}", self.name)
    }
}

/// A process that runs, and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// An error once it has ended by itself, with the end of its log.
    ///
    /// # Errors
    /// See above.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: {}", self.name, tail(&self.log)),
        }
    }

    /// Sends SIGKILL and reaps.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks with `signal`, waits a moment, kills.
    pub(crate) fn end_with(&mut self, signal: Signal) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let asked = i32::try_from(self.child.id())
            .map_err(io::Error::other)
            .and_then(|pid| Ok(kill(Pid::from_raw(pid), signal)?));
        let end = Instant::now() + GRACE;
        while asked.is_ok() && Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, for an error.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let from = text.len().saturating_sub(1500);
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}

/// Free ports of 127.0.0.1. They are let go before they are used, so that a start may fail for a
/// neighbour that finds the same one.
///
/// # Errors
/// That the system gives none.
pub(crate) fn free_ports<const COUNT: usize>() -> io::Result<[u16; COUNT]> {
    // All are held until all are known, so that none is given twice.
    let mut held = Vec::with_capacity(COUNT);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let listener = banyan_drill::cluster::free_port("127.0.0.1")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Launch {
        Launch {
            name: "a shell".to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            log: folder.join("log"),
            user: None,
        }
    }

    #[test]
    fn dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut running = shell(folder.path(), "exec sleep 60").start().unwrap();
        running.check().unwrap();
        let pid = Pid::from_raw(i32::try_from(running.child.id()).unwrap());
        drop(running);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn failure_tells_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let failed = shell(folder.path(), "echo reason; exit 3")
            .run(Duration::from_secs(20))
            .unwrap_err();
        assert!(failed.to_string().contains("reason"), "{failed}");
    }

    #[test]
    fn ports_are_distinct() {
        let ports: [u16; 8] = free_ports().unwrap();
        let distinct: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        assert_eq!(distinct.len(), ports.len());
    }
}

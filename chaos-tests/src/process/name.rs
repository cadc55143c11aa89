//! What a run calls the things that it makes: by its process, so that the next run can tell what is left of a killed one.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

const PREFIX: &str = "banyan-chaos-";

/// `banyan-chaos-<process id>-<start>`, the start in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunName {
    pid: u32,
    started_ticks: u64,
}

impl RunName {
    /// The name of this process's run.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn own() -> io::Result<RunName> {
        let pid = std::process::id();
        Ok(RunName {
            pid,
            started_ticks: started_ticks(pid)?,
        })
    }

    /// The run whose name `text` begins with: alone, or before another `-`.
    pub(super) fn at_start_of(text: &str) -> Option<RunName> {
        let mut parts = text.strip_prefix(PREFIX)?.split('-');
        let pid = parts.next()?.parse().ok()?;
        let started_ticks = parts.next()?.parse().ok()?;
        Some(RunName { pid, started_ticks })
    }

    /// Whether the process of this run still runs.
    pub(super) fn runs(self) -> bool {
        started_ticks(self.pid).is_ok_and(|ticks| ticks == self.started_ticks)
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", self.pid, self.started_ticks)
    }
}

impl FromStr for RunName {
    type Err = ();

    fn from_str(text: &str) -> Result<RunName, ()> {
        RunName::at_start_of(text)
            .filter(|name| name.to_string() == text)
            .ok_or(())
    }
}

/// When a process started. The command's name may hold anything, so fields are counted from its closing bracket.
fn started_ticks(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    text.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected /proc/<pid>/stat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_found_again_by_its_name_and_only_while_it_is_that_process() {
        let own = RunName::own().unwrap();
        let namespace = format!("{own}-central-1");
        assert_eq!(RunName::at_start_of(&namespace), Some(own));
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(own.runs());
        let earlier = RunName {
            started_ticks: own.started_ticks + 1,
            ..own
        };
        assert!(!earlier.runs());
    }

    #[test]
    fn names_of_others_are_left_alone() {
        for text in [
            "",
            "banyan-chaos",
            "banyan-chaos-x-1",
            "other-1-2",
            "banyan-chaos-7",
        ] {
            assert_eq!(RunName::at_start_of(text), None, "{text}");
        }
        assert!("banyan-chaos-1-2-hub".parse::<RunName>().is_err());
    }
}

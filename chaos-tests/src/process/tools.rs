//! Programs of the system that a run calls, and the Debian packages that they come from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program and its package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    program: &'static str,
    package: &'static str,
}

const IP: Tool = Tool {
    program: "ip",
    package: "iproute2",
};
const TC: Tool = Tool {
    program: "tc",
    package: "iproute2",
};
const NFT: Tool = Tool {
    program: "nft",
    package: "nftables",
};
const NSENTER: Tool = Tool {
    program: "nsenter",
    package: "util-linux",
};

/// What namespaces are made with.
pub(super) const OF_NAMESPACES: [Tool; 4] = [IP, TC, NFT, NSENTER];

/// Folders of the system's programs; those of an administrator are not on everyone's path.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The tools of a list that are not installed, for people; `None`: all are there.
pub(super) fn missing(tools: &[Tool]) -> Option<String> {
    let missing: Vec<String> = tools
        .iter()
        .filter(|tool| find(tool.program).is_none())
        .map(|tool| format!("{} (Debian package {})", tool.program, tool.package))
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Where a program of the system is.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

/// Runs a program to its end.
///
/// # Errors
/// It is not there, or failed: with what it said.
pub(super) fn call(program: &str, arguments: &[&str]) -> Result<()> {
    call_with_input(program, arguments, "")
}

/// Runs a program to its end with a text on its standard input.
///
/// # Errors
/// As [`call`].
pub(super) fn call_with_input(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    use std::io::Write as _;

    let path = find(program).with_context(|| format!("{program} is not installed"))?;
    let mut child = Command::new(path)
        .args(arguments.iter().map(OsStr::new))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input has closed it; how it ended says more.
        let _ = stdin.write_all(input.as_bytes());
    }
    let ended = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {program}"))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

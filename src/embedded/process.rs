//! Runs a helper program to its end with a limit on its time, and keeps the end of what it said.
//!
//! For `initdb`, `pip` and `npm`; Postgres itself lives in `server.rs`. Output goes to a file,
//! since a pipe that nobody reads would block the child. Never: a helper that outlives us.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// As much of a log as a person wants to see in an error.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 8 << 10;

/// How a helper ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// None if it was killed because its time was over or we were asked to stop.
    pub(super) status: Option<ExitStatus>,
    /// The last lines of what it wrote.
    pub(super) output: String,
}

impl Ended {
    pub(super) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs `command`. It must already be bound to our life, see `sys::bind_to_parent`.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    cancelled: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    let mut log = tempfile::tempfile()?;
    command.stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log.try_clone()?);
    // A group of its own, so that Ctrl-C at a terminal reaches us alone and we end it in order.
    command.process_group(0);
    let mut child = command.spawn()?;
    let status = wait(&mut child, limit, cancelled)?;
    let output = last_lines(&mut log, 0)?;
    Ok(Ended { status, output })
}

fn wait(
    child: &mut Child,
    limit: Duration,
    cancelled: &dyn Fn() -> bool,
) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < limit && !cancelled() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The last lines of a log from an offset on; empty if it cannot be read.
pub(super) fn tail(path: &Path, from: u64) -> String {
    File::open(path).and_then(|mut file| last_lines(&mut file, from)).unwrap_or_default()
}

fn last_lines(file: &mut File, from: u64) -> io::Result<String> {
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    let shown = lines[first..].iter().map(|line| format!("  {}", line.trim_end()));
    Ok(shown.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_takes_too_long_is_ended() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo begun; exec sleep 600"]);
        let ended = run(&mut command, Duration::from_millis(300), &|| false).unwrap();
        assert!(!ended.succeeded() && ended.status.is_none());
        assert_eq!(ended.output, "  begun");
    }

    #[test]
    fn a_helper_that_fails_is_heard() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo why >&2; exit 3"]);
        let ended = run(&mut command, Duration::from_secs(60), &|| false).unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert_eq!(ended.output, "  why");
    }
}

//! `postmaster.pid`: what a running Postgres says about itself, and what a dead one has left.
//!
//! Everything here acts under `owner.lock`, so a Postgres that still runs on the data lost its
//! guardian and has to go. Postgres refuses to start when the file names any living process, even a
//! stranger that got the number after a reboot; we know better, because we look at what the process
//! is. Never: a signal to a process that is not shown to be a Postgres on this very data.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::process;
use super::record::remove_if_present;
use super::sys::{self, Signal};

const LOOK: Duration = Duration::from_millis(50);
/// A Postgres whose guardian died has been told by the kernel; this long we only wait for it.
const LEAVE_ALONE: Duration = Duration::from_secs(5);
/// From then on it is told to end at once.
const INSIST: Duration = Duration::from_secs(35);

/// The lines of the file that matter: the first and the eighth.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PidFile {
    pid: u32,
    status: String,
}

impl PidFile {
    fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        PidFile::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A Postgres in single-user mode writes its number with a minus.
        let pid = lines.next()?.trim().trim_start_matches('-').parse().ok()?;
        let status = lines.nth(6).unwrap_or_default().trim().to_owned();
        Some(PidFile { pid, status })
    }
}

/// Whether the Postgres with this process number says that it takes connections.
pub(super) fn says_ready(data: &Path, pid: u32) -> bool {
    PidFile::read(data).is_some_and(|file| file.pid == pid && file.status == "ready")
}

/// Waits until no earlier Postgres is on the data, pressing it if need be, and removes a file that
/// would keep a new one from starting. Ends early, without effect, when `cancelled`.
pub(super) fn clear(
    layout: &Layout,
    deadline: Duration,
    say: &dyn Fn(&str),
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    let data = layout.data();
    let start = Instant::now();
    let mut told = false;
    loop {
        let left = leftovers(&data);
        let Some(first) = left.first() else { break };
        if !told {
            told = true;
            say(&format!("waiting for an earlier Postgres (process {first}) to end"));
        }
        if cancelled() {
            return Ok(());
        }
        if start.elapsed() > deadline {
            return Err(stays(layout, *first, deadline));
        }
        press(&data, &left, start.elapsed());
        std::thread::sleep(LOOK);
    }
    remove_a_strangers(&data);
    Ok(())
}

/// Tells an earlier postmaster to end, should it not have heard. Its backends follow it.
fn press(data: &Path, left: &[u32], waited: Duration) {
    let Some(postmaster) = PidFile::read(data).filter(|file| left.contains(&file.pid)) else {
        return;
    };
    let signal = match waited {
        waited if waited > INSIST => Signal::Quit,
        waited if waited > LEAVE_ALONE && postmaster.status != "stopping" => Signal::Interrupt,
        _ => return,
    };
    if let Err(error) = sys::send(postmaster.pid, signal) {
        tracing::debug!(%error, pid = postmaster.pid, "the earlier Postgres could not be told");
    }
}

fn stays(layout: &Layout, pid: u32, deadline: Duration) -> EmbeddedError {
    EmbeddedError::Postgres {
        data: layout.data(),
        what: format!(
            "from an earlier run (process {pid}) has not ended within {} s",
            deadline.as_secs()
        ),
        log: layout.postgres_log(),
        output: process::tail(&layout.postgres_log(), 0),
    }
}

/// A file that names a dead process is left for Postgres, which checks more about it than we could.
fn remove_a_strangers(data: &Path) {
    let Some(file) = PidFile::read(data) else {
        return;
    };
    if sys::alive(file.pid) && is_stranger(file.pid, data) {
        tracing::info!(
            pid = file.pid,
            "postmaster.pid names a process that is no Postgres of ours; removed it"
        );
        remove_if_present(&data.join("postmaster.pid"));
    }
}

/// The processes of any Postgres that works in this data directory: all of them have it as their
/// working directory.
#[cfg(target_os = "linux")]
fn leftovers(data: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_postgres_on(*pid, data)).collect()
}

#[cfg(target_os = "linux")]
fn is_postgres_on(pid: u32, data: &Path) -> bool {
    let about = Path::new("/proc").join(pid.to_string());
    fs::read_link(about.join("cwd")).is_ok_and(|directory| directory == data)
        && fs::read_to_string(about.join("comm")).is_ok_and(|name| name.trim() == "postgres")
}

/// Whether this is surely no Postgres on this data. In doubt the file stays, and Postgres refuses
/// to start with words that say why.
#[cfg(target_os = "linux")]
fn is_stranger(pid: u32, data: &Path) -> bool {
    let about = Path::new("/proc").join(pid.to_string());
    let Ok(name) = fs::read_to_string(about.join("comm")) else {
        return false;
    };
    name.trim() != "postgres"
        || is_zombie(&about)
        || fs::read_link(about.join("cwd")).is_ok_and(|directory| directory != data)
}

/// A dead process that nobody has waited for still has a number, for as long as its parent lives:
/// for ever in a container whose first process does not care for orphans.
#[cfg(target_os = "linux")]
fn is_zombie(about: &Path) -> bool {
    let status = fs::read_to_string(about.join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tZ"))
}

/// Without /proc, the postmaster is known by the arguments that we start it with.
#[cfg(not(target_os = "linux"))]
fn leftovers(data: &Path) -> Vec<u32> {
    let file = PidFile::read(data);
    let ours = file.filter(|file| sys::alive(file.pid) && is_postgres_on(file.pid, data));
    ours.into_iter().map(|file| file.pid).collect()
}

#[cfg(not(target_os = "linux"))]
fn is_postgres_on(pid: u32, data: &Path) -> bool {
    let mut command = std::process::Command::new("ps");
    command.args(["-ww", "-o", "args=", "-p", &pid.to_string()]);
    command.output().is_ok_and(|output| {
        let arguments = String::from_utf8_lossy(&output.stdout).into_owned();
        arguments.contains("postgres") && arguments.contains(&format!("-D {}", data.display()))
    })
}

#[cfg(not(target_os = "linux"))]
fn is_stranger(pid: u32, data: &Path) -> bool {
    !is_postgres_on(pid, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str =
        "4711\n/srv/data\n1700000000\n5432\n/srv/socket\n\n  1234   5\nready   \n";

    #[test]
    fn the_file_is_read_as_postgres_writes_it() {
        let file = PidFile::parse(WRITTEN).unwrap();
        assert_eq!((file.pid, file.status.as_str()), (4711, "ready"));
        let young = PidFile::parse("4711\n/srv/data\n").unwrap();
        assert_eq!(young.status, "", "it has not got that far");
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn a_strangers_number_goes_and_a_dead_ones_stays() {
        let base = tempfile::tempdir().unwrap();
        let layout = Layout::prepare(&super::super::config::Config::new(base.path(), "")).unwrap();
        let path = layout.data().join("postmaster.pid");
        fs::create_dir(layout.data()).unwrap();
        let clear = || clear(&layout, Duration::from_secs(5), &|_| (), &|| false).unwrap();

        fs::write(&path, WRITTEN.replace("4711", &std::process::id().to_string())).unwrap();
        clear();
        assert!(!path.exists());

        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        fs::write(&path, WRITTEN.replace("4711", &dead.to_string())).unwrap();
        clear();
        assert!(path.exists());
    }
}

//! Elsewhere than on Linux: finds an earlier process group by a note in a file.
//!
//! The note holds the group's id and when its leader began. A leader that began at another time is
//! a stranger with the same id; a missing leader cannot have been replaced, so the group is ours.

use super::os;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// `ps` tells whole seconds, and so do we.
const TOLERANCE_SECONDS: u64 = 2;

/// Notes that the group `id` begins now.
pub(super) fn write(note: &Path, id: u32) -> std::io::Result<()> {
    fs::write(note, format!("{id} {}\n", now_seconds()))
}

/// Ends the group that the note names, if it still runs; returns 1 if it did.
pub(super) fn end_noted(note: &Path) -> usize {
    let ended = fs::read_to_string(note).ok().and_then(|text| {
        let (id, began) = text.trim().split_once(' ')?;
        let (id, began) = (id.parse().ok()?, began.parse().ok()?);
        is_same(id, began).then(|| os::signal_group(id, libc::SIGKILL))
    });
    // A note that has been dealt with must not name a stranger later.
    let _ = fs::remove_file(note);
    usize::from(ended.unwrap_or(false))
}

fn is_same(id: os::Pid, began_seconds: u64) -> bool {
    let ps = Command::new("ps").args(["-o", "etime=", "-p", &id.to_string()]).output();
    let Ok(ps) = ps else { return false };
    match seconds_of(String::from_utf8_lossy(&ps.stdout).trim()) {
        Some(age) => now_seconds().saturating_sub(age).abs_diff(began_seconds) <= TOLERANCE_SECONDS,
        None => true,
    }
}

/// Reads `[[days-]hours:]minutes:seconds`.
fn seconds_of(etime: &str) -> Option<u64> {
    let (days, time) = etime.split_once('-').unwrap_or(("0", etime));
    let units = time.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?));
    Some(days.parse::<u64>().ok()? * 86_400 + units.filter(|_| !time.is_empty())?)
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn times_of_ps_are_read() {
        let cases = [("00:07", Some(7)), ("01:02:03", Some(3_723)), ("2-00:00:01", Some(172_801))];
        for (etime, seconds) in cases {
            assert_eq!(seconds_of(etime), seconds, "{etime}");
        }
        assert_eq!((seconds_of(""), seconds_of("x")), (None, None));
    }

    #[test]
    fn a_noted_group_is_ended_and_a_stranger_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        let note = dir.path().join("note");
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().expect("sleep");
        fs::write(&note, format!("{} {}", child.id(), now_seconds() - 500)).expect("note");
        assert_eq!(end_noted(&note), 0);
        assert!(child.try_wait().expect("wait").is_none(), "a stranger was ended");
        write(&note, child.id()).expect("note");
        assert_eq!(end_noted(&note), 1);
        assert!(!child.wait().expect("wait").success());
        assert!(!note.exists());
    }
}

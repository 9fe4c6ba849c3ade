//! Linux: finds processes by a variable in the environment that they were started with.
//!
//! A variable is inherited by children and grandchildren, whatever group or session they moved to.
//! A process that wiped its environment is not found; its group was ended before.

use super::os::{self, Pid};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A process may start another between our look and our signal, so we look again until none is left.
const ROUNDS_MAX: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);

/// Ends every process of this user with `mark=directory` in its environment; returns how many.
pub(super) fn end_marked(mark: &str, directory: &Path) -> usize {
    let entry = [mark.as_bytes(), b"=", directory.as_os_str().as_bytes()].concat();
    let ours = ancestry();
    let mut ended = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let found = marked(&entry, &ours);
        if found.is_empty() {
            break;
        }
        ended.extend(found.into_iter().filter(kill));
        std::thread::sleep(PAUSE);
    }
    ended.len()
}

/// A process, told apart from a later one with the same id by when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    id: Pid,
    began_ticks: u64,
}

fn kill(process: &Process) -> bool {
    stat(process.id).is_some_and(|now| now.began_ticks == process.began_ticks)
        && os::kill_process(process.id)
}

fn marked(entry: &[u8], except: &[Pid]) -> Vec<Process> {
    let Ok(listing) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = listing.flatten().filter_map(|e| e.file_name().to_str()?.parse::<Pid>().ok());
    ids.filter(|id| !except.contains(id)).filter_map(|id| look(id, entry)).collect()
}

fn look(id: Pid, entry: &[u8]) -> Option<Process> {
    let root = format!("/proc/{id}");
    if fs::metadata(&root).ok()?.uid() != os::user_id() {
        return None;
    }
    // The time is read first: if the id passes to another process afterwards, `kill` notices.
    let stat = stat(id)?;
    let environ = fs::read(format!("{root}/environ")).ok()?;
    let is_marked = environ.split(|byte| *byte == 0).any(|one| one == entry);
    (is_marked && !stat.is_dead).then_some(Process { id, began_ticks: stat.began_ticks })
}

struct Stat {
    is_dead: bool,
    parent: Pid,
    began_ticks: u64,
}

/// Reads `/proc/ID/stat`: state, parent and time of start are fields 3, 4 and 22. The name, field 2,
/// may hold blanks and brackets, so fields are counted from its last bracket.
fn stat(id: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    Some(Stat {
        is_dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        began_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// This process and all that it descends from: a test of ours may itself run inside a stage.
fn ancestry() -> Vec<Pid> {
    let mut line = Vec::new();
    let mut next = Pid::try_from(std::process::id()).ok();
    while let Some(id) = next.filter(|id| *id > 0 && !line.contains(id)) {
        line.push(id);
        next = stat(id).map(|s| s.parent);
    }
    line
}

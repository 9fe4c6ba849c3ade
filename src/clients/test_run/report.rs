//! Collects the report files that a test run left behind.
//!
//! Knows only where a plan says they lie. Never reads one that is older than the run: reports of an
//! earlier run, or committed by somebody, say nothing of this one.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::detect::{ReportFile, ReportFormat};
use super::readers::junit::read_junit;
use super::summary::Summary;

const ENTRIES_MAX: usize = 50_000;
const FILES_MAX: usize = 5_000;
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads all report files below `root` that were written at `since` or later, and sums them.
///
/// `None` when there are none. A file that cannot be read or ends early makes the sum incomplete. The
/// work is bounded in folders entered, files and bytes.
pub fn collect_report(root: &Path, report: &ReportFile, since: SystemTime) -> Option<Summary> {
    let parts: Vec<&str> = report.path.split('/').filter(|part| !part.is_empty()).collect();
    let mut search = Search { found: Vec::new(), entries_left: ENTRIES_MAX };
    search.walk(root, &parts);
    let mut files = search.found;
    files.sort();
    let mut sum: Option<Summary> = None;
    for file in files.iter().filter(|file| is_fresh(file, since)).take(FILES_MAX) {
        let read = read_file(file).and_then(|text| match report.format {
            ReportFormat::Junit => read_junit(&text),
        });
        match (read, &mut sum) {
            (Some(part), Some(sum)) => sum.add(part),
            (Some(part), None) => sum = Some(part),
            (None, Some(sum)) => sum.complete = false,
            (None, None) => {}
        }
    }
    sum
}

struct Search {
    found: Vec<PathBuf>,
    entries_left: usize,
}

impl Search {
    /// Follows the parts of a pattern into the folders. Symbolic links are not followed.
    fn walk(&mut self, folder: &Path, parts: &[&str]) {
        let [part, rest @ ..] = parts else { return };
        let (pattern, any_depth) = match (*part, rest) {
            ("**", [next, ..]) => (*next, true),
            ("**", []) => return,
            (name, _) => (name, false),
        };
        let rest = if any_depth { &rest[1..] } else { rest };
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let Some(left) = self.entries_left.checked_sub(1) else {
                return;
            };
            self.entries_left = left;
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
                continue;
            };
            let fits = matches(pattern, &name);
            if kind.is_file() && fits && rest.is_empty() {
                self.found.push(entry.path());
            } else if kind.is_dir() && fits && !rest.is_empty() {
                self.walk(&entry.path(), rest);
            }
            if kind.is_dir() && any_depth && name != ".git" && name != "node_modules" {
                self.walk(&entry.path(), parts);
            }
        }
    }
}

/// Whether a name fits a pattern with `*` for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(start) else {
        return false;
    };
    // The patterns are our own and have one star; a further one stands for itself.
    name.len() >= rest.len() && name.ends_with(rest)
}

fn is_fresh(file: &Path, since: SystemTime) -> bool {
    let written = fs::metadata(file).and_then(|data| data.modified());
    written.is_ok_and(|written| written >= since)
}

fn read_file(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

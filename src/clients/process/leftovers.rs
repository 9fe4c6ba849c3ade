//! Processes that outlived the worker that started them.
//!
//! A worker that is killed cannot end its agent's children, and two agents in one worktree destroy
//! each other's work. So whoever takes a directory over first ends what still runs for it: the
//! processes whose environment carries the mark of that directory. The caller holds the lock of the
//! directory, so none of them can belong to an attempt that is still wanted.

use std::path::Path;

/// Names the directory that a process was started for.
pub(super) const MARK: &str = "LONGHAUL_WORKSPACE";

/// Ends every process that was started for `directory`, and says how many there were.
pub async fn end_leftovers(directory: &Path) -> usize {
    let directory = directory.to_owned();
    let ended = tokio::task::spawn_blocking(move || end(&directory)).await;
    ended.unwrap_or_default()
}

#[cfg(target_os = "linux")]
fn end(directory: &Path) -> usize {
    super::proc_scan::end_marked(MARK, directory)
}

#[cfg(not(target_os = "linux"))]
fn end(directory: &Path) -> usize {
    super::group_note::end_noted(&note_of(directory))
}

/// The file beside `directory` that notes which group runs for it, where no other trace is left.
#[cfg(not(target_os = "linux"))]
pub(super) fn note_of(directory: &Path) -> std::path::PathBuf {
    let mut path = std::ffi::OsString::from(directory);
    path.push(".process");
    path.into()
}

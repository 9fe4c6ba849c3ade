//! What programs leave in a worktree that nobody wants in a commit, though the repository forgot to
//! ignore it: caches that name themselves as such, and a few that everybody knows.
//!
//! Only what is untracked is concerned; a file that the repository has is taken as it is.

use super::error::GitError;
use super::program::Git;
use std::fmt::Write;
use std::path::Path;

/// Names that stand for nothing else.
const KNOWN: &[&str] = &[
    "__pycache__/",
    "*.py[co]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    "node_modules/",
    ".DS_Store",
    "*.swp",
];

/// A file of this name marks its directory as a cache (bford.info/cachedir); cargo, pytest, mypy and
/// others write one.
const TAG: &str = "CACHEDIR.TAG";

/// Writes the patterns for the worktree that `git` works on to `file`. Returns the directories that
/// mark themselves as caches.
pub(super) async fn write(git: &Git<'_>, file: &Path) -> Result<Vec<String>, GitError> {
    let pattern = format!(":(glob)**/{TAG}");
    let asked = ["ls-files", "-z", "--others", "--exclude-standard", "--", &pattern];
    let tags: Vec<String> = git.run(asked).await?.fields().collect();
    let is_cache = |tag: &String| Some(tag.strip_suffix(TAG)?.trim_end_matches('/').to_owned());
    let caches: Vec<String> =
        tags.iter().filter_map(is_cache).filter(|dir| !dir.is_empty()).collect();
    let mut text = KNOWN.join("\n");
    for cache in &caches {
        let _ = write!(text, "\n/{}/", escaped(cache));
    }
    text.push('\n');
    std::fs::write(file, text).map_err(GitError::files("cannot write", file))?;
    Ok(caches)
}

fn escaped(path: &str) -> String {
    path.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '!' | '#' | ' ') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

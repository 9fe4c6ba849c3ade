//! What changed between two commits, read from git and never from the worktree.

use super::error::GitError;
use super::mirror::Mirror;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, from the root of the repository.
    pub path: String,
    /// `A`dded, `M`odified, `D`eleted or `T`ype changed.
    pub status: char,
    mode: String,
    object: String,
}

/// How large a change is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffStat {
    /// Files that differ.
    pub files: u64,
    /// Lines that came.
    pub insertions: u64,
    /// Lines that went.
    pub deletions: u64,
    /// Files that are not text; their lines are not counted.
    pub binary_files: u64,
}

/// Something in a change that reaches out of the worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// A symbolic link that leads out.
    Link {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A repository inside the repository, whose files are therefore not part of the change.
    Repository {
        /// Its directory.
        path: String,
    },
}

impl std::fmt::Display for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outside::Link { path, target } => {
                write!(f, "the link `{path}` leads out of the worktree, to `{target}`")
            }
            Outside::Repository { path } => {
                write!(
                    f,
                    "`{path}` is a git repository of its own, so its files are not part of the change"
                )
            }
        }
    }
}

/// The first of some names, and how many more there are; a change may have thousands.
pub fn name_some<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    const SHOWN_MAX: usize = 20;
    let all: Vec<S> = names.into_iter().collect();
    let shown: Vec<&str> = all.iter().take(SHOWN_MAX).map(AsRef::as_ref).collect();
    match all.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Mirror {
    /// The files that differ between two commits or trees.
    pub async fn changes(&self, from: &str, to: &str) -> Result<Vec<Change>, GitError> {
        let asked = ["diff-tree", "-r", "-z", "--raw", "--no-renames", from, to];
        let output = self.git().run(asked).await?;
        let fields: Vec<String> = output.fields().collect();
        Ok(fields.chunks_exact(2).filter_map(|pair| change_of(&pair[0], &pair[1])).collect())
    }

    /// How large the difference is; a renamed file counts with the lines that changed.
    pub async fn diff_stat(&self, from: &str, to: &str) -> Result<DiffStat, GitError> {
        let asked = ["diff", "--numstat", "-M", "--no-ext-diff", "--no-textconv", from, to, "--"];
        let said = self.git().text(asked).await?;
        Ok(said.lines().fold(DiffStat::default(), add_line))
    }

    /// The difference as a patch; an error when it is too large to be read.
    pub async fn patch(&self, from: &str, to: &str) -> Result<String, GitError> {
        let asked = ["diff", "--no-color", "--no-ext-diff", "--no-textconv", "-M", from, to, "--"];
        let output = self.git().run(asked).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What among `changes` reaches out of the worktree `tree`.
    pub async fn outside(&self, changes: &[Change], tree: &Path) -> Result<Vec<Outside>, GitError> {
        let mut found = Vec::new();
        for change in changes {
            match change.mode.as_str() {
                "120000" => {
                    let target = self.git().run(["cat-file", "blob", &change.object]).await?.text();
                    if leads_out(&change.path, &target, tree) {
                        found.push(Outside::Link { path: change.path.clone(), target });
                    }
                }
                // A submodule that was there before and only moved on is none of this.
                "160000" if change.status != 'M' => {
                    found.push(Outside::Repository { path: change.path.clone() });
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Reads `:100644 100644 <old> <new> M` and the path that follows it.
fn change_of(facts: &str, path: &str) -> Option<Change> {
    let mut words = facts.trim_start_matches(':').split(' ').skip(1);
    let (mode, object) = (words.next()?.to_owned(), words.nth(1)?.to_owned());
    let status = words.next()?.chars().next()?;
    Some(Change { path: path.to_owned(), status, mode, object })
}

fn add_line(sum: DiffStat, line: &str) -> DiffStat {
    let mut columns = line.split('\t').map(str::parse::<u64>);
    let (Some(came), Some(went)) = (columns.next(), columns.next()) else { return sum };
    DiffStat {
        files: sum.files + 1,
        insertions: sum.insertions + came.as_ref().copied().unwrap_or(0),
        deletions: sum.deletions + went.unwrap_or(0),
        binary_files: sum.binary_files + u64::from(came.is_err()),
    }
}

/// Whether a link leads out, by its words or in truth (by way of another link).
fn leads_out(link: &str, target: &str, tree: &Path) -> bool {
    if !stays_within(Path::new(link), Path::new(target)) {
        return true;
    }
    match (tree.join(link).canonicalize(), tree.canonicalize()) {
        (Ok(real), Ok(root)) => !real.starts_with(root),
        // A link that leads nowhere leads nowhere outside either.
        _ => false,
    }
}

fn stays_within(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() as i64 - 1;
    target.components().all(|part| {
        match part {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
        }
        depth >= 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_judged_by_where_they_lead() {
        let cases = [
            ("a", "b", true),
            ("a", "..", false),
            ("a", "/etc/passwd", false),
            ("x/y/a", "../../b", true),
            ("x/y/a", "../../../b", false),
            ("x/a", "../x/../../b", false),
            ("x/a", "./z/../../b", true),
        ];
        for (link, target, stays) in cases {
            assert_eq!(
                stays_within(Path::new(link), Path::new(target)),
                stays,
                "{link} -> {target}"
            );
        }
    }

    #[test]
    fn lines_of_numstat_are_added_up() {
        let said = "3\t1\ta.rs\n-\t-\tlogo.png\n0\t7\tb with\ttab.rs\n";
        let stat = said.lines().fold(DiffStat::default(), add_line);
        let expected = DiffStat { files: 3, insertions: 3, deletions: 8, binary_files: 1 };
        assert_eq!(stat, expected);
    }
}

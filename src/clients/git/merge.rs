//! Merging without a worktree.

use super::error::GitError;
use super::mirror::Mirror;

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It went without conflict and gives this tree.
    Clean {
        /// The tree.
        tree: String,
    },
    /// Both sides changed the same things.
    Conflict {
        /// The tree with conflict markers in its files.
        tree: String,
        /// The files in conflict.
        files: Vec<String>,
    },
}

/// Merges two commits of the mirror.
pub async fn merge_trees(mirror: &Mirror, ours: &str, theirs: &str) -> Result<Merged, GitError> {
    let asked = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs];
    let args = asked.map(str::to_owned);
    let output = mirror.git().ask(&args, None).await?;
    let mut fields = output.fields();
    match (output.code, fields.next()) {
        (0, Some(tree)) => Ok(Merged::Clean { tree }),
        (1, Some(tree)) => Ok(Merged::Conflict { tree, files: fields.collect() }),
        _ => Err(GitError::Refused {
            command: format!("merge-tree {ours} {theirs}"),
            place: mirror.dir().to_owned(),
            words: output.stderr.trim().to_owned(),
        }),
    }
}

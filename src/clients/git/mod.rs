//! Git, by way of the `git` program: repositories of users, our mirrors of them, and worktrees.
//!
//! The user's repository (`Source`) is read, and written to only by a forge. From it a bare `Mirror`
//! is fetched, once per repository and machine; all our commits are made there. Each execution works
//! in a `Place`, a worktree with a private `.git` that shares the mirror's objects: whatever an agent
//! does to its branches, stashes, hooks or configuration stays in there. Everything but the commits
//! can be made again, so a damaged mirror or worktree is replaced, not mended.
//! Never: stages, tasks, policies. Commits are found again by their trailers, see `commit`.

mod commit;
mod diff;
mod error;
mod junk;
mod lock;
mod merge;
mod mirror;
mod output;
mod place;
mod private;
mod program;
mod refs;
mod remove;
mod source;
mod version;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use commit::{EngineCommit, Round, branch_name, made_for, merge_message, message};
pub use diff::{Change, DiffStat, Outside, name_some};
pub use error::GitError;
pub use lock::Lock;
pub use merge::{Merged, merge_trees};
pub use mirror::Mirror;
pub use output::Output;
pub use place::Place;
pub use private::Head;
pub use program::{Git, UPLOAD_PACK};
pub use refs::{Expected, move_ref};
pub use remove::remove_tree;
pub use source::Source;
pub use version::check_version;

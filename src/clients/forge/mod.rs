//! Forges: where a change is proposed, checked and merged.
//!
//! One adapter per forge behind `Forge`. Each effect is looked for by its deterministic key before it
//! is brought about, so that every call may be made twice. Never: what a check consists of; a forge
//! that runs none says so, and the caller brings a `Judge`.

mod local;

#[cfg(test)]
mod tests;

pub use local::Local;

use crate::workflow::failure::Failure;
use async_trait::async_trait;
use serde::Serialize;
use std::time::Duration;
use uuid::Uuid;

/// What is to be proposed.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// For which execution; there is one change request for each.
    pub execution: Uuid,
    /// One line.
    pub title: &'a str,
    /// The branch to push to.
    pub branch: &'a str,
    /// The branch to be merged into.
    pub base: &'a str,
    /// The commit.
    pub head: &'a str,
}

/// A proposed change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeRequest {
    /// Its number on the forge.
    pub number: u64,
    /// Where to look at it.
    pub url: String,
    /// The branch it is on.
    pub branch: String,
    /// The branch it goes to.
    pub base: String,
    /// The commit that is proposed now.
    pub head_sha: String,
}

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// `success`, `failure`, `timed_out` or `skipped`.
    pub conclusion: String,
    /// How long it took.
    pub duration_ms: u64,
    /// What was run.
    pub command: String,
}

/// What a forge knows about the checks of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checks {
    /// It runs none; whoever asks runs them, in a clean checkout of that very commit.
    RunHere,
    /// Some have not ended; ask again.
    Pending {
        /// Which, for people.
        detail: String,
    },
    /// All have ended.
    Reported(Vec<Check>),
}

/// What is to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    /// For which execution.
    pub execution: Uuid,
    /// One line.
    pub title: &'a str,
    /// The change.
    pub change: &'a ChangeRequest,
    /// How long to wait while others merge into the same repository.
    pub patience: Duration,
}

/// How a merge went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The base contains the change.
    Landed {
        /// The first commit of the base that contains it.
        commit: String,
        /// Whether that was so before.
        was_before: bool,
    },
    /// Others are merging; ask again.
    Busy,
}

/// Judges a merge before anybody sees it.
#[async_trait]
pub trait Judge: Send + Sync {
    /// Whether `commit`, which is on no branch yet, may become the tip of the base.
    async fn judge(&self, commit: &str) -> Result<(), Failure>;
}

/// A place where changes are proposed.
#[async_trait]
pub trait Forge: Send + Sync {
    /// The change request of an execution, if there is one.
    async fn find(&self, execution: Uuid) -> Result<Option<ChangeRequest>, Failure>;

    /// Pushes the commit and creates the change request, or brings the existing one up to date.
    async fn propose(&self, proposal: &Proposal<'_>) -> Result<ChangeRequest, Failure>;

    /// What is known about checks of `head`.
    async fn checks(&self, head: &str) -> Result<Checks, Failure>;

    /// Merges the change into its base, unless that was done before. `judge` is asked when the
    /// result is not what was proposed, because the base has moved on.
    async fn merge(&self, merge: &Merge<'_>, judge: &dyn Judge) -> Result<Landing, Failure>;
}

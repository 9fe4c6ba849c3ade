//! Moving references by compare-and-swap.

use super::commit::is_ours;
use super::error::GitError;
use super::output::lock_file_in;
use super::program::Git;

/// What a reference must be for it to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// It must not exist.
    Absent,
    /// It must point there.
    At(&'a str),
    /// Whatever it is.
    Anything,
}

/// Points `name` to `to` if it is as expected; false when somebody else was quicker.
pub async fn move_ref(
    git: &Git<'_>,
    name: &str,
    to: &str,
    expected: Expected<'_>,
) -> Result<bool, GitError> {
    let old = match expected {
        Expected::Absent => Some("0".repeat(to.len())),
        Expected::At(commit) => Some(commit.to_owned()),
        Expected::Anything => None,
    };
    let mut args = vec!["update-ref".to_owned(), name.to_owned(), to.to_owned()];
    args.extend(old);
    let mut result = git.run(&args).await;
    if let Err(error) = &result
        && remove_dead_lock(git, error, to).await
    {
        result = git.run(&args).await;
    }
    match result {
        Ok(_) => Ok(true),
        Err(error) => match (expected, read_ref(git, name).await?) {
            (Expected::Absent, Some(_)) => Ok(false),
            (Expected::At(old), now) if now.as_deref() != Some(old) => Ok(false),
            (Expected::Absent | Expected::At(_) | Expected::Anything, _) => Err(error),
        },
    }
}

/// A lock file that outlasted all our patience stays for ever if the machine went down in the midst
/// of our own move. Git writes into it what the reference is to become: nobody but us would point it
/// to `to`, or to a commit that we made.
async fn remove_dead_lock(git: &Git<'_>, error: &GitError, to: &str) -> bool {
    let Some(path) = error.words().and_then(lock_file_in) else { return false };
    let Ok(content) = std::fs::read_to_string(&path) else { return false };
    let wanted = content.trim();
    let is_left_by_us = wanted == to || is_ours(git, wanted).await.unwrap_or(false);
    if is_left_by_us {
        tracing::info!(path = %path.display(), "removing a lock file that we left when we died");
    }
    is_left_by_us && std::fs::remove_file(&path).is_ok()
}

/// What `name` points to, if it exists.
pub(super) async fn read_ref(git: &Git<'_>, name: &str) -> Result<Option<String>, GitError> {
    let asked = ["rev-parse", "--verify", "--quiet", name].map(str::to_owned);
    let output = git.ask(&asked, None).await?;
    Ok(Some(output.text()).filter(|_| output.code == 0))
}

impl Git<'_> {
    /// What the reference `name` points to, if it exists.
    pub async fn reference(&self, name: &str) -> Result<Option<String>, GitError> {
        read_ref(self, name).await
    }
}

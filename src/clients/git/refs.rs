//! Moving references by compare-and-swap.

use super::error::GitError;
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
    match git.run(args).await {
        Ok(_) => Ok(true),
        Err(error) => match (expected, read_ref(git, name).await?) {
            (Expected::Absent, Some(_)) => Ok(false),
            (Expected::At(old), now) if now.as_deref() != Some(old) => Ok(false),
            (Expected::Absent | Expected::At(_) | Expected::Anything, _) => Err(error),
        },
    }
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

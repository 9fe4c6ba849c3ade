//! Whether git is there, and new enough.

use super::error::GitError;
use super::program::Git;
use std::path::Path;
use tokio::sync::OnceCell;

/// The first version with `merge-tree --write-tree`, by which we merge without a worktree.
const NEEDED: (u32, u32) = (2, 38);

/// Looks once per process; what is missing is looked for again.
pub async fn check_version() -> Result<(), GitError> {
    static IS_NEW_ENOUGH: OnceCell<()> = OnceCell::const_new();
    let look = async || {
        let said = Git::here(Path::new("/")).text(["version"]).await?;
        let found = said.trim_start_matches("git version ").to_owned();
        if numbers(&found) < NEEDED { Err(GitError::TooOld { found }) } else { Ok(()) }
    };
    IS_NEW_ENOUGH.get_or_try_init(look).await.copied()
}

fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        for (version, is_enough) in [
            ("2.37.9", false),
            ("2.38.0", true),
            ("2.47.3 (Apple Git-1)", true),
            ("3.0", true),
            ("?", false),
        ] {
            assert_eq!(numbers(version) >= NEEDED, is_enough, "{version}");
        }
    }
}

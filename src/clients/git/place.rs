//! A directory in which one attempt works: a worktree with a lock, an index and a private `.git`.
//!
//! Whoever enters holds the lock, and has ended what earlier attempts left running there, so there
//! are never two agents in one worktree. Whatever state a crash left it in, `checkout` sets it right.
//! Our index lies beside the directory, and our git calls name the mirror: what an agent does to the
//! `.git` in the worktree decides nothing.

use super::error::GitError;
use super::junk;
use super::lock::Lock;
use super::mirror::Mirror;
use super::private::{self, Head};
use super::program::Git;
use super::remove::remove_tree;
use crate::clients::process::end_leftovers;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// A directory that is ours to work in.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    index: PathBuf,
    excludes: PathBuf,
    unsettled: PathBuf,
    lock: Lock,
    found_running: usize,
}

impl Place {
    /// Takes the place `name` of a workspace over, once nobody else holds it.
    pub async fn enter(
        workspace: &Path,
        name: &str,
        cancelled: &CancellationToken,
    ) -> Result<Place, GitError> {
        let lock = Lock::take(&workspace.join(format!("{name}.lock")), cancelled).await?;
        let beside = |ending: &str| workspace.join(format!("{name}.{ending}"));
        let (index, excludes, unsettled) =
            (beside("index"), beside("excludes"), beside("unsettled"));
        let dir = workspace.join(name);
        let mut place = Place { dir, index, excludes, unsettled, lock, found_running: 0 };
        place.found_running = place.end_leftovers().await;
        place.begin().await?;
        Ok(place)
    }

    /// Whoever was here before may have been cut off in the midst of filling a cache that git does
    /// not look at, so that nothing of it can be kept.
    async fn begin(&self) -> Result<(), GitError> {
        if self.unsettled.exists() {
            self.clear().await?;
        }
        std::fs::write(&self.unsettled, "")
            .map_err(GitError::files("cannot write", &self.unsettled))
    }

    /// Says that no program was cut off in here, so that ignored files may be used again.
    pub fn settle(&self) -> Result<(), GitError> {
        match std::fs::remove_file(&self.unsettled) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(GitError::files("cannot remove", &self.unsettled)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many processes of earlier attempts still ran here when it was entered, and were ended.
    pub fn found_running(&self) -> usize {
        self.found_running
    }

    /// Ends processes that were started for this place and are still there; returns how many.
    pub async fn end_leftovers(&self) -> usize {
        let ended = end_leftovers(&self.dir).await;
        if ended > 0 {
            tracing::info!(place = %self.dir.display(), ended, "ended processes that were left running");
        }
        ended
    }

    /// Makes the directory hold exactly `head.content`. Files that the repository ignores stay if they
    /// are settled: they are caches, and expensive.
    pub async fn checkout(&self, mirror: &Mirror, head: &Head<'_>) -> Result<(), GitError> {
        mirror.need(head.commit).await?;
        let Err(first) = self.reset(mirror, head.content).await else {
            return private::prepare(&self.dir, &self.index, mirror, head).await;
        };
        tracing::info!(error = %first, place = %self.dir.display(), "making the worktree anew");
        match self.renew(mirror, head.content).await {
            Err(error) if error.is_damage() => mirror.rebuild().await?,
            renewed => {
                renewed?;
                return private::prepare(&self.dir, &self.index, mirror, head).await;
            }
        }
        mirror.need(head.commit).await?;
        self.renew(mirror, head.content).await?;
        private::prepare(&self.dir, &self.index, mirror, head).await
    }

    /// The same, with nothing in it that is not in the commit.
    pub async fn checkout_clean(&self, mirror: &Mirror, head: &Head<'_>) -> Result<(), GitError> {
        self.clear().await?;
        self.checkout(mirror, head).await
    }

    async fn reset(&self, mirror: &Mirror, content: &str) -> Result<(), GitError> {
        if !self.is_real() {
            self.clear().await?;
        }
        std::fs::create_dir_all(&self.dir).map_err(GitError::files("cannot create", &self.dir))?;
        let git = self.git(mirror);
        git.run(["read-tree", "--reset", "-u", content]).await?;
        // Twice -f: also repositories that an agent made inside of it.
        git.run(["clean", "-ffd", "--quiet"]).await.map(drop)
    }

    async fn renew(&self, mirror: &Mirror, content: &str) -> Result<(), GitError> {
        self.clear().await?;
        self.reset(mirror, content).await
    }

    /// Removes everything in it.
    pub async fn clear(&self) -> Result<(), GitError> {
        remove_tree(&self.dir).await?;
        remove_tree(&self.index).await
    }

    /// Whether the directory is one. In place of a link to somewhere else, git would clean up there.
    fn is_real(&self) -> bool {
        std::fs::symlink_metadata(&self.dir).is_ok_and(|meta| meta.is_dir())
    }

    /// The tree that the directory holds now, without ignored files. It does not matter what was
    /// committed in it meanwhile, or on which branch.
    /// None when the directory itself was taken away.
    pub async fn capture(&self, mirror: &Mirror) -> Result<Option<String>, GitError> {
        if !self.is_real() {
            return Ok(None);
        }
        let git = self.git(mirror);
        for cache in junk::write(&git, &self.excludes).await? {
            tracing::info!(place = %self.dir.display(), cache, "a cache is left out of the commit");
        }
        git.run(["add", "--all", "--", "."]).await?;
        git.text(["write-tree"]).await.map(Some)
    }

    fn git(&self, mirror: &Mirror) -> Git<'_> {
        let git = Git::own(mirror.dir()).with_tree(&self.dir, &self.index);
        git.excluding(&self.excludes).under(&self.lock)
    }
}

//! Locks between processes of this machine: a file that one of them holds locked.
//!
//! The system lets go when the last holder of the open file has ended. Git calls under a lock get
//! that file as their input, so a git that outlives a killed worker still holds it, and whoever gets
//! the lock next may take every `*.lock` that git left for dead.

use super::error::GitError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a lock that somebody else holds is tried again.
const POLL: Duration = Duration::from_millis(20);
const POLL_MAX: Duration = Duration::from_millis(250);

/// A lock that is held until this is dropped and no git call under it runs any more.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock until `cancelled` fires.
    pub async fn take(path: &Path, cancelled: &CancellationToken) -> Result<Lock, GitError> {
        let forever = Duration::from_secs(365 * 86_400);
        let taken = Lock::take_within(path, forever, cancelled).await?;
        taken.ok_or_else(|| GitError::Busy { path: path.to_owned() })
    }

    /// The same for at most `patience`; none when the lock is still held then.
    pub async fn take_within(
        path: &Path,
        patience: Duration,
        cancelled: &CancellationToken,
    ) -> Result<Option<Lock>, GitError> {
        let until = Instant::now() + patience;
        let mut pause = POLL;
        loop {
            if let Some(lock) = Lock::try_take(path)? {
                return Ok(Some(lock));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(POLL_MAX),
                () = cancelled.cancelled() => {
                    return Err(GitError::Cancelled { path: path.to_owned() });
                }
            }
        }
    }

    /// The lock, unless somebody holds it.
    pub fn try_take(path: &Path) -> Result<Option<Lock>, GitError> {
        let failed = || GitError::files("cannot lock", path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed())?;
        }
        let open = File::options().create(true).truncate(false).write(true).read(true).open(path);
        let file = open.map_err(failed())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { file, path: path.to_owned() })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed()(source)),
        }
    }

    /// Another handle of the same open file, for a program that shall hold the lock too.
    pub(super) fn share(&self) -> Result<File, GitError> {
        self.file.try_clone().map_err(GitError::files("cannot share the lock", &self.path))
    }
}

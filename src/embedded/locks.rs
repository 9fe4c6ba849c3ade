//! Two file locks decide everything about who may do what.
//!
//! `users.lock` is held shared by each process that uses the cluster, for as long as it does, and
//! exclusively by a guardian that has decided to stop, so that a newcomer waits and then starts the
//! next one. `owner.lock` is held exclusively by the guardian for its life. The kernel drops both
//! when a process dies, however it dies. Never: a lock file deleted while the directory lives,
//! since two processes could then hold "the" lock on two files.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::error::{EmbeddedError, Result};
use super::layout::Layout;

/// How often a lock that is taken is tried again.
const RETRY: Duration = Duration::from_millis(10);
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// This process uses the cluster, until the value is dropped.
#[derive(Debug)]
pub(super) struct UsersLock {
    file: File,
}

impl UsersLock {
    /// Takes the lock; `waiting` is called once if a guardian that stops must be waited for.
    pub(super) async fn attach(
        layout: &Layout,
        deadline: Duration,
        waiting: impl Fn(),
    ) -> Result<Self> {
        let path = layout.users_lock();
        let file = layout.open_file(&path, false)?;
        let start = Instant::now();
        let mut told = false;
        while !locked(file.try_lock_shared(), &path)? {
            // A guardian looks every now and then for some microseconds: no cause for words.
            if !told && start.elapsed() > Duration::from_millis(300) {
                told = true;
                waiting();
            }
            if start.elapsed() > deadline {
                return Err(still_stopping(deadline));
            }
            tokio::time::sleep(RETRY).await;
        }
        touch(&file);
        Ok(UsersLock { file })
    }
}

impl Drop for UsersLock {
    fn drop(&mut self) {
        // The guardian's clock of idleness starts now, even if it never saw us.
        touch(&self.file);
    }
}

/// The time of the last change says when somebody last came or went. It is only a courtesy: without
/// it Postgres stops somewhat early, and the next user starts it again.
fn touch(file: &File) {
    if let Err(error) = file.set_modified(SystemTime::now()) {
        tracing::debug!(%error, "users.lock could not be touched");
    }
}

fn still_stopping(deadline: Duration) -> EmbeddedError {
    EmbeddedError::Deadline {
        what: "the embedded Postgres that is stopping has not ended".to_owned(),
        seconds: deadline.as_secs(),
        hint: "`longhaul db status` names its process; postgres.log says what it does".to_owned(),
    }
}

/// How a guardian looks at the users.
#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    file: File,
}

/// Nobody uses the cluster, and nobody can begin to, until the value is dropped.
#[derive(Debug)]
pub(super) struct NobodyElse<'a> {
    file: &'a File,
}

impl Users {
    pub(super) fn of(layout: &Layout) -> Result<Self> {
        let path = layout.users_lock();
        let file = layout.open_file(&path, false)?;
        Ok(Users { path, file })
    }

    /// Shuts the door if nobody is in.
    pub(super) fn shut_out(&self) -> Result<Option<NobodyElse<'_>>> {
        let free = locked(self.file.try_lock(), &self.path)?;
        Ok(free.then_some(NobodyElse { file: &self.file }))
    }

    /// When somebody last came or went. Only compared with itself: clocks may be set back.
    pub(super) fn last_change(&self) -> Option<SystemTime> {
        self.file.metadata().and_then(|about| about.modified()).ok()
    }
}

impl Drop for NobodyElse<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "users.lock could not be released; it is when this process ends");
        }
    }
}

/// This process is the guardian, until the value is dropped.
#[derive(Debug)]
pub(super) struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    /// Becomes the owner, or finds that somebody else is. Those who only ask whether there is an
    /// owner hold the lock as well, shared and for microseconds: they are waited for. An owner is
    /// not, or guardians that came second would queue up and undo the next stop.
    pub(super) fn acquire(layout: &Layout, patience: Duration) -> Result<Option<Self>> {
        let path = layout.owner_lock();
        let file = layout.open_file(&path, false)?;
        let start = Instant::now();
        while !locked(file.try_lock(), &path)? {
            let owned = !locked(file.try_lock_shared(), &path)?;
            if owned || start.elapsed() > patience {
                return Ok(None);
            }
            file.unlock().map_err(EmbeddedError::io("unlock", &path))?;
            std::thread::sleep(ASK_AGAIN);
        }
        Ok(Some(OwnerLock { _file: file }))
    }

    /// Whether there is a guardian.
    pub(super) fn is_held(layout: &Layout) -> Result<bool> {
        let path = layout.owner_lock();
        let file = layout.open_file(&path, false)?;
        // Shared, so that two who ask do not see each other.
        locked(file.try_lock_shared(), &path).map(|free| !free)
    }
}

fn locked(outcome: std::result::Result<(), TryLockError>, path: &Path) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(EmbeddedError::io("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;

    fn layout(root: &Path) -> Layout {
        Layout::prepare(&Config::new(root, root.join("bin"))).unwrap()
    }

    #[tokio::test]
    async fn users_keep_the_door_open_and_a_shut_door_keeps_users_out() {
        let base = tempfile::tempdir().unwrap();
        let layout = layout(base.path());
        let users = Users::of(&layout).unwrap();
        let short = Duration::from_millis(30);

        let first = UsersLock::attach(&layout, short, || ()).await.unwrap();
        let second = UsersLock::attach(&layout, short, || ()).await.unwrap();
        assert!(users.shut_out().unwrap().is_none());
        drop((first, second));

        let shut = users.shut_out().unwrap().expect("nobody is in");
        let refused = UsersLock::attach(&layout, short, || ()).await;
        assert!(matches!(refused, Err(EmbeddedError::Deadline { .. })));
        drop(shut);
        UsersLock::attach(&layout, short, || ()).await.unwrap();
    }

    #[test]
    fn there_is_one_owner() {
        let base = tempfile::tempdir().unwrap();
        let layout = layout(base.path());
        let none = Duration::ZERO;
        assert!(!OwnerLock::is_held(&layout).unwrap());
        let owner = OwnerLock::acquire(&layout, none).unwrap();
        assert!(owner.is_some() && OwnerLock::is_held(&layout).unwrap());
        assert!(OwnerLock::acquire(&layout, none).unwrap().is_none());
        drop(owner);
        assert!(!OwnerLock::is_held(&layout).unwrap());
    }
}

//! A worker's right to its executions: its sign of life, and its eye on the others'.
//!
//! Death is proven in two ways: the heartbeat is older than the lease by the database's clock, or, on
//! the same machine, the operating system gives us the lock that the other would hold while it lives.
//! The second makes a restart after a crash take over at once.

use super::WorkerOptions;
use crate::clock::Clock;
use crate::store::{Registration, Store, StoreError};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// A file that this process holds locked while it lives. The kernel lets go of it at any death.
pub(super) struct LockFile {
    path: PathBuf,
    // Held open for its lock; closed on exec, so that children do not keep it.
    _file: File,
}

impl LockFile {
    pub(super) fn hold(directory: &Path, id: Uuid) -> std::io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(format!("{id}.lock"));
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        file.lock()?;
        Ok(LockFile { path, _file: file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Left behind only by a crash; the one who buries us removes it then.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the process that held this file locked is certainly gone. A missing file proves nothing.
fn is_proven_dead(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Tells machines apart, and boots of the same machine.
pub(super) fn host_identity() -> String {
    let read = |path: &str| std::fs::read_to_string(path).map(|s| s.trim().to_owned()).ok();
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let machine = read("/etc/machine-id").filter(|id| !id.is_empty());
    let name = || gethostname::gethostname().to_string_lossy().into_owned();
    format!("{}/{boot}", machine.unwrap_or_else(name))
}

/// What a sign of life was answered with.
pub(super) enum Beat {
    /// We live; these executions are ours, at these versions.
    Alive(Vec<(Uuid, u64)>),
    /// The database did not answer, but our lease still holds.
    Late,
    /// We are dead to the others, or may be by now.
    Lost,
}

/// The lease of one life of a worker.
pub(super) struct Lease {
    store: Store,
    me: Registration,
    clock: Arc<dyn Clock>,
    lease: Duration,
    heartbeat: Duration,
    last_beat: Instant,
    beats: u64,
}

impl Lease {
    pub(super) fn new(
        store: &Store,
        me: Registration,
        options: &WorkerOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Lease {
            store: store.clone(),
            me,
            clock,
            lease: options.lease,
            heartbeat: options.heartbeat,
            last_beat: Instant::now(),
            beats: 0,
        }
    }

    /// Gives a sign of life and looks after the others. A worker whose own sign is late stops by
    /// itself, before anybody else may take over: at half of the lease.
    pub(super) async fn beat(&mut self, is_draining: bool) -> Beat {
        let started = Instant::now();
        let call = self.store.beat(self.me.worker_id, is_draining);
        let answer = tokio::time::timeout(self.lease / 6, call).await;
        match answer {
            Ok(Ok(Some(versions))) => {
                self.last_beat = started;
                if tokio::time::timeout(self.lease / 6, self.sweep()).await.is_err() {
                    tracing::warn!("the sweep takes too long; the next one goes on with it");
                }
                Beat::Alive(versions)
            }
            Ok(Ok(None)) => Beat::Lost,
            Ok(Err(error)) => self.late(&error.to_string()),
            Err(_) => self.late("no answer"),
        }
    }

    fn late(&self, why: &str) -> Beat {
        let since = self.last_beat.elapsed();
        tracing::warn!(why, since_ms = since.as_millis() as u64, "no sign of life could be given");
        if since >= self.lease / 2 { Beat::Lost } else { Beat::Late }
    }

    /// Frees the executions of the dead. Every worker does it all the time, so that it needs no
    /// leader; to lose a race for it is harmless.
    async fn sweep(&mut self) {
        self.beats += 1;
        if let Err(error) = self.bury_the_dead().await {
            tracing::warn!(%error, "the sweep is put off");
        }
        let orphans_every = (5_000 / self.heartbeat.as_millis().max(1)).max(1) as u64;
        if (self.beats - 1).is_multiple_of(orphans_every) {
            if let Err(error) = self.store.sweep_permits(self.clock.now()).await {
                tracing::warn!(%error, "the sweep of permits is put off");
            }
            match self.store.free_orphans().await {
                Ok(0) => {}
                Ok(freed) => tracing::warn!(freed, "executions of unknown workers were freed"),
                Err(error) => tracing::warn!(%error, "the sweep is put off"),
            }
        }
    }

    async fn bury_the_dead(&self) -> Result<(), StoreError> {
        for suspect in self.store.suspects(self.me.worker_id).await? {
            let is_near = suspect.host == self.me.host;
            let proven = is_near && is_proven_dead(Path::new(&suspect.lock_file));
            if proven || suspect.lapsed {
                let id = suspect.worker_id;
                let freed = self.store.bury_worker(id, proven).await?;
                tracing::warn!(worker.id = %id, proven, freed, "a worker was found dead");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_proves_nothing_and_a_free_one_proves_death() {
        let directory = tempfile::tempdir().expect("a directory");
        let held = LockFile::hold(directory.path(), Uuid::from_u128(1)).expect("a lock");
        assert!(!is_proven_dead(held.path()));
        let path = held.path().to_owned();
        drop(held);
        assert!(!is_proven_dead(&path), "a missing file proves nothing");
        std::fs::write(&path, "").expect("a file left behind");
        assert!(is_proven_dead(&path));
        assert!(!path.exists(), "whoever proves it cleans up");
    }
}

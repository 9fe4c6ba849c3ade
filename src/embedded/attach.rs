//! The side of those who use the database: be counted as a user, have a guardian started if there
//! is none, wait until Postgres answers, and do that again when the connection is lost.
//!
//! Does not know pools or SQL beyond one question. Never: a Postgres process started from here;
//! that is the guardian's.

use std::path::{Path, PathBuf};
use std::sync::{Mutex as PlainMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use super::cluster::NAME;
use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::locks::{OwnerLock, UsersLock};
use super::record::{Phase, Record};
use super::server::ANSWER;
use super::spawn::GuardianMode;
use super::wait::Wait;
use super::wire;

const POLL: Duration = Duration::from_millis(20);

/// The database's superuser, as whom clients connect.
pub const DATABASE_USER: &str = NAME;
/// The database that is made for the program.
pub const DATABASE: &str = NAME;

/// This process uses the embedded Postgres. As long as the value lives, Postgres is not stopped for
/// idleness, whoever else comes and goes.
#[derive(Debug)]
pub struct Attachment {
    config: Config,
    mode: GuardianMode,
    layout: Layout,
    place: PlainMutex<Place>,
    /// One start at a time in this process.
    starting: Mutex<()>,
    _users: UsersLock,
}

/// Where Postgres is to be found; another guardian may choose another place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    socket_dir: PathBuf,
    port: u16,
}

/// Makes this process a user of the embedded Postgres, which is found, created and started as need
/// be. `progress` hears in plain words what takes time, for a terminal.
///
/// # Errors
/// It cannot be had, or not within [`Config::start_deadline`]; the text says what to do.
pub async fn attach(
    config: &Config,
    mode: GuardianMode,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Attachment> {
    config.check()?;
    let layout = Layout::prepare(config)?;
    let waiting = || progress("waiting for the embedded Postgres to finish stopping");
    let users = UsersLock::attach(&layout, config.start_deadline, waiting).await?;
    let attachment = Attachment {
        config: config.clone(),
        mode,
        place: PlainMutex::new(Place {
            socket_dir: layout.socket_dir(),
            port: super::layout::PORT,
        }),
        layout,
        starting: Mutex::new(()),
        _users: users,
    };
    attachment.ensure_running_with(progress).await?;
    Ok(attachment)
}

impl Attachment {
    /// The directory of the socket, which clients give as `host`.
    pub fn socket_dir(&self) -> PathBuf {
        self.place().socket_dir
    }

    /// The number in the socket's name. Nothing listens on a network.
    pub fn port(&self) -> u16 {
        self.place().port
    }

    /// The role to connect as; there is no password.
    pub fn database_user(&self) -> &str {
        DATABASE_USER
    }

    /// The configuration it was attached with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// An address that sqlx and libpq understand, for example
    /// `postgres:///longhaul?host=%2Fvar%2Flib%2Flonghaul%2Fpg%2Fsocket&port=5432&user=longhaul`.
    pub fn url(&self, database: &str) -> String {
        let Place { socket_dir, port } = self.place();
        url(&socket_dir, port, database)
    }

    /// Call this before connecting again after a lost connection. Costs a few milliseconds if all
    /// is well; else waits for Postgres to come back, with a new guardian if need be. The address
    /// may change. If connecting fails all the same, call it again: a process that was killed takes
    /// a moment to die, and Postgres may still have answered during that moment.
    ///
    /// # Errors
    /// As [`attach`].
    pub async fn ensure_running(&self) -> Result<()> {
        let log = |message: &str| tracing::info!("{message}");
        self.ensure_running_with(&log).await
    }

    /// The same, with somebody to tell.
    ///
    /// # Errors
    /// As [`attach`].
    pub async fn ensure_running_with(&self, progress: &(dyn Fn(&str) + Sync)) -> Result<()> {
        let _alone = self.starting.lock().await;
        let mut wait = Wait::new(&self.config, &self.mode, &self.layout, progress);
        loop {
            match self.look().await? {
                Seen::Ready(record) => {
                    wait.notice(&record);
                    self.found(record);
                    return Ok(());
                }
                Seen::Guarded(record) => wait.for_guardian(record.as_ref())?,
                Seen::Unguarded => wait.without_guardian()?,
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn look(&self) -> Result<Seen> {
        let layout = self.layout.clone();
        let looked = tokio::task::spawn_blocking(move || Seen::now(&layout)).await;
        looked.unwrap_or_else(|error| {
            Err(EmbeddedError::io("look at", self.layout.root())(error.into()))
        })
    }

    fn found(&self, record: Record) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.socket_dir = record.socket_dir;
        place.port = record.port;
    }

    fn place(&self) -> Place {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }
}

/// How things stand at one moment.
pub(super) enum Seen {
    /// Guarded, and Postgres has answered.
    Ready(Record),
    /// There is a guardian, but Postgres does not answer (yet).
    Guarded(Option<Record>),
    Unguarded,
}

impl Seen {
    pub(super) fn now(layout: &Layout) -> Result<Self> {
        if !OwnerLock::is_held(layout)? {
            return Ok(Seen::Unguarded);
        }
        Ok(match Record::read(layout) {
            Some(record) if answers(&record) => Seen::Ready(record),
            record => Seen::Guarded(record),
        })
    }
}

fn answers(record: &Record) -> bool {
    let Record { socket_dir, port, .. } = record;
    let ask = || wire::ask(socket_dir, *port, NAME, DATABASE, "select 1", ANSWER);
    record.phase == Phase::Ready && ask().is_ok()
}

/// Everything but letters, digits and `-._~` is escaped, so that any path survives any parser.
fn escape(text: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.iter()
        .map(|byte| match plain(*byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

pub(super) fn url(socket_dir: &Path, port: u16, database: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let host = escape(socket_dir.as_os_str().as_bytes());
    let database = escape(database.as_bytes());
    format!("postgres:///{database}?host={host}&port={port}&user={DATABASE_USER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that a worker can attach and wait inside a spawned task.
    #[test]
    fn it_can_move_between_threads() {
        fn check<T: Send>(_: T) {}
        let future = async {
            let config = Config::new("/srv/pg", "/srv/bin");
            let attachment = attach(&config, GuardianMode::InProcess, &|_| ()).await?;
            attachment.ensure_running().await?;
            Ok::<_, EmbeddedError>(attachment)
        };
        check(future);
    }

    #[test]
    fn an_address_survives_odd_paths() {
        let address = url(Path::new("/srv/a b/ü"), 5432, "long/haul");
        assert_eq!(
            address,
            "postgres:///long%2Fhaul?host=%2Fsrv%2Fa%20b%2F%C3%BC&port=5432&user=longhaul"
        );
    }
}

//! What can go wrong between us and Postgres, and which of it may pass by itself.

use uuid::Uuid;

/// A statement did not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached; what was asked may be asked again.
    #[error(
        "the database is out of reach: {0}; check that it runs, or give another by --database-url"
    )]
    Unreachable(String),
    /// A URL that is none.
    #[error(
        "the database URL cannot be read: {0}; write postgres://USER@HOST/DATABASE in DATABASE_URL or --database-url"
    )]
    Url(String),
    /// The database answered, and the answer was no.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// What is stored cannot be read by this program.
    #[error("stored {what} cannot be read by this version of longhaul: {reason}")]
    Unreadable {
        /// Which row.
        what: String,
        /// Why.
        reason: String,
    },
    /// There is no such thing.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// execution, task, workflow.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// An id that fits several.
    #[error("`{id}` fits {count} {what}s; give more characters")]
    Ambiguous {
        /// execution, task.
        what: &'static str,
        /// What was asked for.
        id: String,
        /// How many.
        count: usize,
    },
    /// It is there, but its events are in an archive only.
    #[error(
        "the events of execution {id} are archived: month {month}, in {place}; `longhaul archive \
         restore` brings them back"
    )]
    Archived {
        /// The execution.
        id: Uuid,
        /// Its month, as in `2026-10`.
        month: String,
        /// The directory of the archive.
        place: String,
    },
    /// The schema is older or newer than the program.
    #[error("the database's schema does not fit this version of longhaul: {0}")]
    Schema(String),
    /// A setting of the database would lose what we acknowledge.
    #[error(
        "the database runs with {0}, which loses acknowledged events in a crash; switch it on, or accept the loss with LONGHAUL_ACCEPT_DATA_LOSS=1"
    )]
    NotDurable(String),
}

/// Why an append changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended first; load again and decide again.
    #[error("execution {id} is at version {actual}, not {expected}")]
    Conflict {
        /// The execution.
        id: Uuid,
        /// What we thought.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// Another worker holds the execution now; stop working on it.
    #[error("execution {0} belongs to another worker now")]
    Fenced(Uuid),
    /// No such execution.
    #[error("there is no execution `{0}`")]
    NotFound(Uuid),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if may_pass(&error) {
            StoreError::Unreachable(error.to_string())
        } else {
            StoreError::Refused(error.to_string())
        }
    }
}

impl StoreError {
    /// The same for another caller of the same batch.
    pub(super) fn again(&self) -> StoreError {
        match self {
            StoreError::Unreachable(why) => StoreError::Unreachable(why.clone()),
            StoreError::Refused(why) => StoreError::Refused(why.clone()),
            other => StoreError::Refused(other.to_string()),
        }
    }

    /// Whether asking again may help.
    pub fn may_pass(&self) -> bool {
        matches!(self, StoreError::Unreachable(_))
    }
}

/// Lost connections, restarts and serialisation conflicts pass; errors in the data do not.
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            // 08 connection, 57P0x shutdown and crash, 53 resources, 40 serialisation and deadlock,
            // 55P03 lock timeout, 25006 read-only (a standby that is being promoted).
            let classes = ["08", "57P", "53", "40"];
            classes.iter().any(|c| code.starts_with(c)) || matches!(&*code, "55P03" | "25006")
        }),
        _ => false,
    }
}

/// Whether the error lies in what we sent, so that the rest of a batch may still go through.
pub(super) fn is_in_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.is_some_and(|c| c.starts_with("22") || c.starts_with("23"))
}

//! Everything that can go wrong around the embedded Postgres, in words for the person at the
//! terminal: what happened, to what, and what to do about it.
//!
//! Does not know how an error came about; the files beside it build these values. Never: a text
//! that only names a function or an error code.

use std::io;
use std::path::{Path, PathBuf};

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, EmbeddedError>;

/// A failure of the embedded Postgres. None of them loses committed data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The operating system refused something; the path says where.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// A verb that reads well after "cannot".
        action: &'static str,
        /// What it was to be done to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// A variable of the environment holds what it may not.
    #[error("`{variable}` is `{value}`; allowed: {allowed}")]
    Variable {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// What would be accepted.
        allowed: String,
    },

    /// A setting that would make commits less than durable.
    #[error(
        "setting `{name}` of the embedded Postgres is not changed by Longhaul: a commit must survive \
         a power cut\nhint: use a Postgres of your own with --database-url if you want it otherwise"
    )]
    SettingRefused {
        /// The setting.
        name: String,
    },

    /// No usable Postgres was found, and none could be fetched.
    #[error(
        "no PostgreSQL{wanted} was found, and Longhaul needs one to keep its events\n\
         {tried}\n\
         three ways out:\n  \
         1. install it: `apt-get install {debian_package}` (Debian, Ubuntu), `dnf install \
         postgresql-server`, `brew install postgresql`\n  \
         2. use a server you have: --database-url postgres://user@host/database\n  \
         3. name the directory of `postgres` and `initdb`: LONGHAUL_PG_BIN=/path/to/bin"
    )]
    NoBinaries {
        /// Empty, or the version that the existing data needs.
        wanted: String,
        /// What Debian calls the wanted version.
        debian_package: String,
        /// One line for each place that had something unusable.
        tried: String,
    },

    /// The directory in `LONGHAUL_PG_BIN` does not serve.
    #[error(
        "the PostgreSQL in `{}` (LONGHAUL_PG_BIN) cannot be used: {reason}\n\
         hint: it must hold `postgres` and `initdb`, version 15 or newer, readable for user `{user}`",
        directory.display()
    )]
    BinariesUnusable {
        /// As it was given.
        directory: PathBuf,
        /// Why not.
        reason: String,
        /// Who has to run them.
        user: String,
    },

    /// The user that Postgres should run as does not exist or is root.
    #[error(
        "Postgres cannot run as user `{user}`: {reason}\n\
         hint: name an unprivileged user with LONGHAUL_PG_USER, for example `postgres`"
    )]
    User {
        /// The name or number.
        user: String,
        /// Why not.
        reason: String,
    },

    /// Our uid has no line in the passwd database and no user namespace can be made.
    #[error(
        "uid {uid} has no name on this system, which Postgres insists on, and a user namespace that \
         would give it one could not be made ({reason})\n\
         hint: add a line such as `longhaul:x:{uid}:0::/tmp:/usr/sbin/nologin` to /etc/passwd, allow \
         unprivileged user namespaces, or use a server elsewhere with --database-url"
    )]
    Nameless {
        /// The uid of this process.
        uid: u32,
        /// What the system said.
        reason: String,
    },

    /// The user that Postgres runs as cannot get to its directory.
    #[error(
        "user `{user}`, which runs Postgres, cannot reach `{}`: `{}` is closed to it\n\
         hint: choose a --home that it can reach (the default for root is /var/lib/longhaul), or allow \
         passage with `chmod o+x {}`",
        target.display(), directory.display(), directory.display()
    )]
    Unreachable {
        /// Who.
        user: String,
        /// Where to.
        target: PathBuf,
        /// The first directory on the way that is closed.
        directory: PathBuf,
    },

    /// A directory belongs to somebody else.
    #[error("`{}` belongs to uid {owner}, not to uid {expected}\nhint: {hint}", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
        /// What to do.
        hint: String,
    },

    /// There is a data directory, but it holds no cluster.
    #[error(
        "`{}` exists but is not a PostgreSQL data directory (no PG_VERSION in it)\n\
         hint: move it away, and Longhaul makes a new one",
        path.display()
    )]
    NotACluster {
        /// The directory.
        path: PathBuf,
    },

    /// `initdb` failed.
    #[error("initdb could not create the database cluster for `{}`:\n{output}", path.display())]
    Initdb {
        /// Where the cluster was to be.
        path: PathBuf,
        /// The last lines it wrote.
        output: String,
    },

    /// Postgres does not start, or dies again and again.
    #[error("PostgreSQL in `{}` {what}; its last lines (from `{}`):\n{output}", data.display(), log.display())]
    Postgres {
        /// The data directory.
        data: PathBuf,
        /// What it does, after the word "PostgreSQL".
        what: String,
        /// Where its messages are.
        log: PathBuf,
        /// The last of them.
        output: String,
    },

    /// Postgres answered a question with an error.
    #[error("PostgreSQL at `{}` answered: {message}", socket.display())]
    Answer {
        /// The directory of its socket.
        socket: PathBuf,
        /// What it said.
        message: String,
    },

    /// Something took longer than it may.
    #[error("{what} within {seconds} s\nhint: {hint}")]
    Deadline {
        /// What has not happened, as a sentence that goes on with "within".
        what: String,
        /// The limit.
        seconds: u64,
        /// What to do.
        hint: String,
    },

    /// The guardian process ended without Postgres being ready.
    #[error("the guardian of the embedded Postgres gave up: {message}")]
    Guardian {
        /// Its own words.
        message: String,
    },

    /// Fetching the binaries failed at every source.
    #[error("{source_name}: {reason}")]
    Fetch {
        /// Where from.
        source_name: String,
        /// Why not.
        reason: String,
    },

    /// A command line for the guardian that does not parse.
    #[error("the guardian does not understand `{argument}`: {reason}")]
    Argument {
        /// The argument.
        argument: String,
        /// Why not.
        reason: String,
    },
}

impl EmbeddedError {
    /// For `map_err`: an [`EmbeddedError::Io`] about this path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| EmbeddedError::Io { action, path, source }
    }
}

//! Getting to a database: the pool, the schema, the settings that durability rests on.
//!
//! Knows nothing of where the database comes from: `embedded` starts one, or somebody gives a URL.

use super::append::Append;
use super::appender::Appender;
use super::error::{AppendError, StoreError};
use super::intake::Intake;
use crate::clock::{Clock, SystemClock};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// How to connect. Its URL may hold a password, so that it is not shown.
#[derive(Clone)]
pub struct Connect {
    /// A Postgres URL; `host` may be a directory with a socket.
    pub url: String,
    /// Connections at the most. Default 8.
    pub connections: u32,
    /// Append lanes. Default 2.
    pub lanes: usize,
    /// How long an append tries while the database is away. Default 10 s; a worker takes longer.
    pub patience: Duration,
    /// Accept settings that lose acknowledged events in a crash. Only for tests.
    pub accept_data_loss: bool,
}

impl Connect {
    /// Defaults for a URL.
    pub fn to(url: impl Into<String>) -> Self {
        Connect {
            url: url.into(),
            connections: 8,
            lanes: 2,
            patience: Duration::from_secs(10),
            accept_data_loss: false,
        }
    }
}

/// A database with our schema.
#[derive(Clone)]
pub struct Store {
    pub(super) pool: PgPool,
    appender: Appender,
    pub(super) intake: Intake,
}

impl Store {
    /// Connects and refuses a database that would lose what it acknowledges. Does not migrate.
    pub async fn connect(connect: &Connect) -> Result<Store, StoreError> {
        let options = PgConnectOptions::from_str(&connect.url)
            .map_err(|e| StoreError::Url(e.to_string()))?
            .application_name("longhaul");
        let pool = PgPoolOptions::new()
            .max_connections(connect.connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await?;
        if !connect.accept_data_loss {
            refuse_data_loss(&pool).await?;
        }
        let first = rand::random_range(0..16);
        let appender = Appender::start(&pool, first, connect.lanes, connect.patience);
        let intake = Intake::start(&pool, (first + connect.lanes as i16) % 16);
        Ok(Store { pool, appender, intake })
    }

    /// Brings the schema up to date and makes the months to come. Safe to call from many processes at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if !self.is_migrated().await? {
            self.run_migrations().await?;
        }
        self.create_months(SystemClock.now()).await.map(drop)
    }

    /// Whether there is nothing to do; a role that may not change tables can ask this.
    async fn is_migrated(&self) -> Result<bool, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = match sqlx::query_as(MIGRATED).fetch_all(&self.pool).await {
            Ok(rows) => rows,
            Err(error) if code_of(&error) == Some("42P01") => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let known = MIGRATOR.iter().filter(|m| !m.migration_type.is_down_migration());
        let known: Vec<(i64, Vec<u8>)> = known.map(|m| (m.version, m.checksum.to_vec())).collect();
        Ok(rows == known)
    }

    async fn run_migrations(&self) -> Result<(), StoreError> {
        // Asked first: a migration that fails keeps its lock until its connection ends.
        if !sqlx::query_scalar::<_, bool>(MAY_MIGRATE).fetch_one(&self.pool).await? {
            return Err(StoreError::Schema(
                "it is older, and this role may not change it; run `longhaul db migrate` as the owner \
                 of the tables, then `longhaul db roles`"
                    .to_owned(),
            ));
        }
        MIGRATOR.run(&self.pool).await.map_err(|e| match e {
            sqlx::migrate::MigrateError::Execute(e) => e.into(),
            sqlx::migrate::MigrateError::VersionMissing(n) => StoreError::Schema(format!(
                "migration {n} is unknown here: a newer version made it; use that"
            )),
            other => StoreError::Schema(other.to_string()),
        })
    }

    /// Appends; durable when this returns `Ok`.
    pub async fn append(&self, append: Append) -> Result<(), AppendError> {
        self.appender.append(append).await
    }

    /// The server's own words on its version.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar("/* version */ select version()").fetch_one(&self.pool).await?)
    }

    /// The pool, for tests and for programs that bring SQL of their own.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

const MIGRATED: &str = r"/* migrations that ran */
select version, checksum from _sqlx_migrations where success order by version";

const MAY_MIGRATE: &str =
    "/* may migrate */ select has_schema_privilege(current_schema(), 'create')";

fn code_of(error: &sqlx::Error) -> Option<&str> {
    match error.as_database_error()?.code()? {
        std::borrow::Cow::Borrowed(code) => Some(code),
        std::borrow::Cow::Owned(_) => None,
    }
}

/// What must be on for an acknowledged event to survive a crash.
const DURABILITY: &str = r"/* durability */
select name from pg_settings
 where (name in ('fsync', 'full_page_writes') and setting = 'off')
    or (name = 'synchronous_commit' and setting = 'off')";

pub(super) async fn refuse_data_loss(pool: &PgPool) -> Result<(), StoreError> {
    let off: Vec<String> = sqlx::query_scalar(DURABILITY).fetch_all(pool).await?;
    if off.is_empty() {
        return Ok(());
    }
    Err(StoreError::NotDurable(
        off.iter().map(|n| format!("{n} = off")).collect::<Vec<_>>().join(", "),
    ))
}

//! Getting to a database: the pool, the schema, the settings that durability rests on.
//!
//! Knows nothing of where the database comes from: `embedded` starts one, or somebody gives a URL.

use super::append::Append;
use super::appender::Appender;
use super::connections::{Connections, Session};
use super::error::{AppendError, StoreError};
use super::intake::Intake;
use super::migrate::migrate;
use crate::clock::{Clock, SystemClock};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

/// How to connect. Its URL may hold a password, so that it is not shown.
#[derive(Clone)]
pub struct Connect {
    /// A Postgres URL; `host` may be a directory with a socket. `pgbouncer=true` in its query: it leads
    /// to a pooler in transaction mode.
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
    pub(super) pool: Connections,
    appender: Appender,
    pub(super) intake: Intake,
}

impl Store {
    /// Connects and refuses a database that would lose what it acknowledges. Does not migrate.
    pub async fn connect(connect: &Connect) -> Result<Store, StoreError> {
        let (url, behind_pooler) = without_pooler_option(&connect.url);
        let mut options = PgConnectOptions::from_str(&url)
            .map_err(|e| StoreError::Url(e.to_string()))?
            .application_name("longhaul");
        if behind_pooler {
            // Nothing is kept on a server, and nothing is asked for that a pooler refuses.
            options = options.statement_cache_capacity(0).extra_float_digits(None);
        }
        // Those who append keep their connections, so that they have a pool of their own.
        let writers = PgPoolOptions::new()
            .max_connections(connect.lanes.max(1) as u32 + 1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.clone());
        let writers = Connections::new(writers, behind_pooler);
        let pool = PgPoolOptions::new()
            .max_connections(connect.connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await?;
        let pool = Connections::new(pool, behind_pooler);
        if !connect.accept_data_loss {
            refuse_data_loss(&pool).await?;
        }
        let first = rand::random_range(0..16);
        let appender = Appender::start(&writers, first, connect.lanes, connect.patience);
        let intake = Intake::start(&writers, (first + connect.lanes as i16) % 16);
        Ok(Store { pool, appender, intake })
    }

    /// Brings the schema up to date and makes the months to come. Safe to call from many processes at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate(&self.pool.patient()).await?;
        self.create_months(SystemClock.now()).await.map(drop)
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
        self.pool.pool()
    }

    /// A connection for statements that may take long.
    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        Ok(self.pool.patient().acquire().await?)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The option is ours: the driver does not know it.
fn without_pooler_option(url: &str) -> (String, bool) {
    let Some((start, query)) = url.split_once('?') else { return (url.to_owned(), false) };
    let is_ours = |p: &&str| p.split('=').next() == Some("pgbouncer");
    let given = query.split('&').rfind(is_ours);
    let rest: Vec<&str> = query.split('&').filter(|p| !is_ours(p)).collect();
    let url =
        if rest.is_empty() { start.to_owned() } else { format!("{start}?{}", rest.join("&")) };
    (url, given.is_some_and(|p| matches!(p, "pgbouncer" | "pgbouncer=true" | "pgbouncer=1")))
}

/// What must be on for an acknowledged event to survive a crash.
const DURABILITY: &str = r"/* durability */
select name from pg_settings
 where (name in ('fsync', 'full_page_writes') and setting = 'off')
    or (name = 'synchronous_commit' and setting = 'off')";

pub(super) async fn refuse_data_loss(pool: &Connections) -> Result<(), StoreError> {
    let off: Vec<String> = sqlx::query_scalar(DURABILITY).fetch_all(pool).await?;
    if off.is_empty() {
        return Ok(());
    }
    Err(StoreError::NotDurable(
        off.iter().map(|n| format!("{n} = off")).collect::<Vec<_>>().join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_for_a_pooler_is_taken_out_of_the_url() {
        let cases = [
            ("postgres://h/d", "postgres://h/d", false),
            ("postgres://h/d?pgbouncer=true", "postgres://h/d", true),
            ("postgres://h/d?a=1&pgbouncer=true&b=2", "postgres://h/d?a=1&b=2", true),
            ("postgres://h/d?pgbouncer=false&a=1", "postgres://h/d?a=1", false),
        ];
        for (given, url, behind) in cases {
            assert_eq!(without_pooler_option(given), (url.to_owned(), behind));
        }
    }
}

//! The way of every statement to the server: with a deadline, and through a pooler if there is one.
//!
//! `&Connections`, `&mut Session` and `&mut *transaction` take statements as sqlx's own pool, connection
//! and transaction do. Behind PgBouncer in transaction mode the server may be another one after each
//! transaction, so that nothing may be kept there: each statement runs unnamed in a transaction.
//!
//! A transaction that is dropped within a session is rolled back before the session's next statement.
//! A call that is cut off, by its deadline or by a caller that waits no longer, closes its connection:
//! nobody else gets what it left behind, and nobody waits for a network that swallows packets.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, PgPool, Postgres};
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// No statement of daily work takes that long.
const DEADLINE: Duration = Duration::from_secs(60);
/// Those that go over whole months, or change tables.
const LONG_DEADLINE: Duration = Duration::from_secs(6 * 3_600);

type Step = Either<PgQueryResult, PgRow>;

/// The connections of a store.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: PgPool,
    behind_pooler: bool,
    deadline: Duration,
}

impl Connections {
    pub(super) fn new(pool: PgPool, behind_pooler: bool) -> Self {
        Connections { pool, behind_pooler, deadline: DEADLINE }
    }

    /// The same for statements that may take hours.
    pub(super) fn patient(&self) -> Self {
        Connections { deadline: LONG_DEADLINE, ..self.clone() }
    }

    /// sqlx's own, for what needs its types.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection for several statements.
    pub(super) async fn acquire(&self) -> Result<Session, Error> {
        let acquired = timeout_at(Instant::now() + self.deadline, self.pool.acquire()).await;
        let connection = Some(acquired.map_err(|_| Error::PoolTimedOut)??);
        let (behind_pooler, deadline) = (self.behind_pooler, self.deadline);
        Ok(Session {
            connection,
            behind_pooler,
            deadline,
            is_open: false,
            is_left: false,
            is_busy: false,
        })
    }

    /// A transaction on a connection of its own.
    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        let mut session = Box::new(self.acquire().await?);
        session.open().await?;
        Ok(Transaction(session))
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection that gives each statement a deadline.
#[derive(Debug)]
pub(crate) struct Session {
    /// None only while it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    behind_pooler: bool,
    deadline: Duration,
    /// Whether a transaction is open.
    is_open: bool,
    /// Whether its owner has dropped it.
    is_left: bool,
    /// Whether a call is under way, or was cut off.
    is_busy: bool,
}

/// A transaction with a session of its own; dropped before `commit`, nothing has happened.
#[derive(Debug)]
pub(super) struct Transaction(Box<Session>);

/// A transaction within a session; dropped before `commit`, nothing has happened.
#[derive(Debug)]
pub(crate) struct Begun<'c>(&'c mut Session);

impl Transaction {
    /// Durable when this returns `Ok`.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.0.close().await
    }
}

impl Begun<'_> {
    /// Durable when this returns `Ok`.
    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.0.close().await
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.is_left = self.0.is_open;
    }
}

impl Deref for Transaction {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

impl Deref for Begun<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.0
    }
}

impl DerefMut for Begun<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.0
    }
}

impl Session {
    /// Begins a transaction. There is one at a time.
    pub(crate) async fn begin(&mut self) -> Result<Begun<'_>, Error> {
        self.open().await?;
        Ok(Begun(self))
    }

    async fn open(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.is_left) {
            self.call("rollback").await?;
        }
        // Open from here on: the answer may be lost.
        self.is_open = true;
        self.call("begin").await.map(drop)
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.call("commit").await?;
        self.is_open = false;
        Ok(())
    }

    /// Runs statements that take nothing and give nothing back.
    pub(super) async fn run(&mut self, statements: &str) -> Result<(), Error> {
        self.call(statements).await.map(drop)
    }

    async fn call<'q, E: Execute<'q, Postgres> + 'q>(
        &mut self,
        query: E,
    ) -> Result<Vec<Step>, Error> {
        let deadline = Instant::now() + self.deadline;
        if self.is_busy {
            return Err(cut_off());
        }
        let is_left = std::mem::take(&mut self.is_left);
        self.is_open &= !is_left;
        let Some(connection) = &mut self.connection else { return Err(Error::PoolClosed) };
        self.is_busy = true;
        let is_alone = !self.is_open;
        let behind_pooler = self.behind_pooler;
        let work = async {
            if is_left {
                connection.execute("rollback").await?;
            }
            if !behind_pooler {
                return (&mut **connection).fetch_many(query).try_collect().await;
            }
            if is_alone {
                connection.execute("begin").await?;
            }
            let steps = (&mut **connection).fetch_many(Unnamed(query)).try_collect().await;
            if is_alone {
                connection.execute(if steps.is_ok() { "commit" } else { "rollback" }).await?;
            }
            steps
        };
        let result = match timeout_at(deadline, work).await {
            Ok(result) => result,
            Err(_) => return Err(late(self.deadline)),
        };
        // After an answer of the server the connection is fit for more; after anything else it is not.
        self.is_busy = !matches!(&result, Ok(_) | Err(Error::Database(_)));
        result
    }
}

fn late(deadline: Duration) -> Error {
    let said = format!("no answer within {} s", deadline.as_secs());
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, said))
}

fn cut_off() -> Error {
    let said = "an earlier statement on this connection was cut off";
    Error::Io(std::io::Error::new(std::io::ErrorKind::BrokenPipe, said))
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.is_busy || self.is_open {
            // The server rolls back what was open.
            drop(connection.detach());
        }
    }
}

/// A statement that the server is not to remember.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(&self) -> &'q str {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement<'q>> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

/// The first row of a result.
fn first(steps: Vec<Step>) -> Option<PgRow> {
    steps.into_iter().find_map(Either::right)
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move {
            let steps = self.call(query).await?;
            Ok::<_, Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { Ok(first(self.call(query).await?)) })
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        _: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { Err(unprepared(sql)) })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { Err(unprepared(sql)) })
    }
}

impl<'c> Executor<'c> for &'c Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move {
            let steps = self.acquire().await?.call(query).await?;
            Ok::<_, Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(steps).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { Ok(first(self.acquire().await?.call(query).await?)) })
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        _: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { Err(unprepared(sql)) })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { Err(unprepared(sql)) })
    }
}

fn unprepared(sql: &str) -> Error {
    Error::Configuration(format!("statements are not prepared ahead here: {sql}").into())
}

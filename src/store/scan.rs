//! Reading the whole log in order, page by page, with bounded memory.
//!
//! Heads are read before the events they name, so that a stream that grows meanwhile is seen at least
//! as far as its head says. The next page is on its way while the last one is used. A lost connection
//! is an error that says where to begin again, never an early end.
//!
//! `Store::fold_all` folds everything there is: what a rebuild of all states costs.

use super::connect::Store;
use super::connections::Connections;
use super::error::StoreError;
use crate::workflow::event::Happened;
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use tokio::sync::mpsc;
use uuid::Uuid;

/// What a scan covers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Begin with this execution; none: with the first.
    pub from: Option<Uuid>,
    /// Only this one.
    pub only: Option<Uuid>,
    /// Only executions that have not ended.
    pub running: bool,
}

/// The row of an execution as it stood before its events were read.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Head {
    /// The execution.
    pub execution_id: Uuid,
    /// Sequence of its last event.
    pub version: i64,
    /// Hash of its last event.
    pub head_hash: Vec<u8>,
    /// A `Status` in words.
    pub status: String,
    /// Its branch.
    pub branch: i32,
    /// 0 to 1.
    pub progress: f32,
    /// When its first stage started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// An event on the way.
pub struct Scanned {
    row: PgRow,
}

/// What comes out of a scan, in the order of execution and sequence.
pub enum Page {
    /// Rows of executions; their events follow in later pages.
    Heads(Vec<Head>),
    /// Events of the executions of the last `Heads`.
    Events(Vec<Scanned>),
    /// Every event of the last `Heads` has been given.
    Done,
}

/// A scan that ended early.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {executions} executions and {events} events were read; {}", resume(.from))]
pub struct ScanError {
    /// What went wrong.
    #[source]
    pub error: StoreError,
    /// The execution to begin with again; none: nothing was read.
    pub from: Option<Uuid>,
    /// Executions that were read to their end.
    pub executions: u64,
    /// Events that were read.
    pub events: u64,
}

fn resume(from: &Option<Uuid>) -> String {
    from.map_or_else(|| "begin again".to_owned(), |id| format!("go on with --from {id}"))
}

/// What a scan went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanTotal {
    /// Executions.
    pub executions: u64,
    /// Events.
    pub events: u64,
}

const HEADS: &str = r"/* heads in order */
select execution_id, version, head_hash, status, branch, progress, started_at, finished_at
  from executions
 where execution_id > $1 and ($2::uuid is null or execution_id = $2)
   and (not $3 or status not in ('completed', 'failed', 'cancelled'))
   and not exists (select from archives a where a.dropped_at is not null
                      and executions.execution_id >= a.first_id and executions.execution_id < a.end_id)
 order by execution_id limit $4";

const EVENTS: &str = r"/* events in order */
select execution_id, sequence, branch, at, payload::text as payload, hash
  from events
 where (execution_id, sequence) > ($1, $2) and execution_id = any($3)
 order by execution_id, sequence limit $4";

/// The same for a run of executions without a gap, which needs no list.
const EVENTS_BETWEEN: &str = r"/* events in order, all */
select execution_id, sequence, branch, at, payload::text as payload, hash
  from events
 where (execution_id, sequence) > ($1, $2) and execution_id <= $3
 order by execution_id, sequence limit $4";

/// Executions whose heads are read at once.
const HEADS_PAGE: i64 = 1_000;
/// The same when they are picked by name: their events are sorted page by page.
const LISTED_PAGE: i64 = 50;
/// Events that are read at once, at the most and for a beginning.
const EVENTS_PAGE: (i64, i64) = (4_000, 500);
/// Bytes of payload that a page aims at, so that large events make small pages.
const PAGE_BYTES: i64 = 4 << 20;

/// A scan under way.
pub struct Scanner {
    pages: mpsc::Receiver<Result<Page, StoreError>>,
}

impl Scanner {
    /// The next page; none at the end.
    pub async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        self.pages.recv().await.transpose()
    }
}

impl Scanned {
    /// The stream.
    pub fn execution_id(&self) -> Result<Uuid, StoreError> {
        Ok(self.row.try_get(0)?)
    }

    /// The number in the stream.
    pub fn sequence(&self) -> Result<u64, StoreError> {
        Ok(self.row.try_get::<i64, _>(1)? as u64)
    }

    /// The branch it is stored under.
    pub fn branch(&self) -> Result<u32, StoreError> {
        Ok(self.row.try_get::<i32, _>(2)? as u32)
    }

    /// The JSON as it was hashed.
    pub fn payload(&self) -> Result<&str, StoreError> {
        Ok(self.row.try_get(4)?)
    }

    /// Its link in the chain.
    pub fn hash(&self) -> Result<&[u8], StoreError> {
        Ok(self.row.try_get(5)?)
    }

    /// The event and when it happened.
    pub fn happened(&self) -> Result<Happened, StoreError> {
        let event = serde_json::from_str(self.payload()?).map_err(|e| self.unreadable(&e))?;
        Ok(Happened { at: self.row.try_get(3)?, event })
    }

    fn unreadable(&self, error: &serde_json::Error) -> StoreError {
        let sequence = self.sequence().unwrap_or_default();
        let id = self.execution_id().unwrap_or_default();
        let what = format!("event {sequence} of execution {id}");
        StoreError::Unreadable { what, reason: error.to_string() }
    }
}

impl Store {
    /// Begins to read the log in the order of execution and sequence.
    pub fn scan(&self, scan: Scan) -> Scanner {
        let (sender, pages) = mpsc::channel(2);
        let pool = self.pool.clone();
        tokio::spawn(async move {
            if let Err(error) = read(&pool, scan, &sender).await {
                // Whoever asked may have gone; then nobody needs to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        Scanner { pages }
    }

    /// Folds every stream and keeps nothing; `progress` is told the total after each page.
    pub async fn fold_all(
        &self,
        scan: Scan,
        mut progress: impl FnMut(ScanTotal),
    ) -> Result<ScanTotal, ScanError> {
        let mut scanner = self.scan(scan);
        let mut total = ScanTotal::default();
        let mut current: Option<Uuid> = None;
        let mut state = Execution::default();
        let failed = |error, from, total: ScanTotal| ScanError {
            error,
            from,
            executions: total.executions.saturating_sub(1),
            events: total.events,
        };
        loop {
            match scanner.next().await.map_err(|e| failed(e, current.or(scan.from), total))? {
                None => return Ok(total),
                Some(Page::Heads(_) | Page::Done) => {}
                Some(Page::Events(events)) => {
                    for event in &events {
                        let id = event.execution_id().map_err(|e| failed(e, current, total))?;
                        if current != Some(id) {
                            (current, state) = (Some(id), Execution::default());
                            total.executions += 1;
                        }
                        let happened = event.happened().map_err(|e| failed(e, current, total))?;
                        evolve(&mut state, &happened);
                        total.events += 1;
                    }
                    progress(total);
                }
            }
        }
    }
}

type Pages = mpsc::Sender<Result<Page, StoreError>>;

/// Reads until the end, or until nobody listens.
async fn read(pool: &Connections, scan: Scan, pages: &Pages) -> Result<(), StoreError> {
    // Nothing comes before the first possible id.
    let before = |id: Uuid| Uuid::from_u128(id.as_u128().saturating_sub(1));
    let mut after = scan.from.map_or(Uuid::nil(), before);
    let is_listed = scan.running || scan.only.is_some();
    loop {
        let heads: Vec<Head> = sqlx::query_as(HEADS)
            .bind(after)
            .bind(scan.only)
            .bind(scan.running)
            .bind(if is_listed { LISTED_PAGE } else { HEADS_PAGE })
            .fetch_all(pool)
            .await?;
        let Some(last) = heads.last().map(|h| h.execution_id) else { return Ok(()) };
        let ids: Vec<Uuid> = heads.iter().map(|h| h.execution_id).collect();
        let listed = is_listed.then_some(ids);
        if pages.send(Ok(Page::Heads(heads))).await.is_err()
            || !read_events(pool, after, last, listed.as_deref(), pages).await?
            || pages.send(Ok(Page::Done)).await.is_err()
        {
            return Ok(());
        }
        after = last;
    }
}

/// Gives back whether somebody still listens.
async fn read_events(
    pool: &Connections,
    after: Uuid,
    last: Uuid,
    listed: Option<&[Uuid]>,
    pages: &Pages,
) -> Result<bool, StoreError> {
    let mut at = (after, i64::MAX);
    let (most, mut limit) = EVENTS_PAGE;
    loop {
        let query = sqlx::query(if listed.is_some() { EVENTS } else { EVENTS_BETWEEN });
        let query = query.bind(at.0).bind(at.1);
        let query = match listed {
            Some(ids) => query.bind(ids),
            None => query.bind(last),
        };
        let rows: Vec<PgRow> = query.bind(limit).fetch_all(pool).await?;
        let is_last = (rows.len() as i64) < limit;
        if let Some(row) = rows.last() {
            at = (row.try_get(0)?, row.try_get(1)?);
            let events: Vec<Scanned> = rows.into_iter().map(|row| Scanned { row }).collect();
            let bytes =
                events.iter().map(|e| e.payload().map(str::len)).sum::<Result<usize, _>>()?;
            let each = (bytes / events.len()).max(1) as i64;
            limit = (PAGE_BYTES / each).clamp(1, most);
            if pages.send(Ok(Page::Events(events))).await.is_err() {
                return Ok(false);
            }
        }
        if is_last {
            return Ok(true);
        }
    }
}

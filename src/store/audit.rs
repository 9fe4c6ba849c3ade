//! Reading whole streams as an auditor does: every hashed field and what stands beside it, page by page.
//!
//! A page carries the heads as they were in the same statement, so that what is appended meanwhile
//! never looks like a fault. Memory is bounded by a page. Never: a verdict, see `audit`.

use super::audit_log::AUDIT_LOG;
use super::connect::Store;
use super::connections::Transaction;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// The kinds of streams that have a hash chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// Events of an execution.
    Execution,
    /// Events of a task.
    Task,
    /// What operators did that belongs to no execution; a single stream, `AUDIT_LOG`.
    Log,
}

impl StreamKind {
    /// All, in the order in which they are checked and listed.
    pub const ALL: [StreamKind; 3] = [StreamKind::Execution, StreamKind::Task, StreamKind::Log];

    /// The word that reports, checkpoints and exports use.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamKind::Execution => "execution",
            StreamKind::Task => "task",
            StreamKind::Log => "log",
        }
    }
}

/// The last possible id: nothing lies behind it.
pub const LAST_ID: Uuid = Uuid::max();

/// Events that are read at once.
const AUDIT_PAGE: i64 = 2_000;

/// An event of an execution or a task, as it is hashed, and what is not hashed beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// The stream.
    pub stream: Uuid,
    /// The number within it.
    pub sequence: u64,
    /// The event.
    pub event_id: Uuid,
    /// The column `type`; not hashed.
    pub name: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The branch; 1 for tasks.
    pub branch: u32,
    /// Who caused it.
    pub actor: String,
    /// Its JSON.
    pub payload: String,
    /// Its link in the chain, as it is stored.
    pub hash: [u8; 32],
    /// Lane and number in it; not hashed, none for tasks.
    pub place: Option<(i16, i64)>,
    /// The stream's head in the same statement: version, and hash where one is kept.
    pub head: Option<(u64, Option<[u8; 32]>)>,
}

/// A page of events, and whether there may be more.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// In the order of stream and sequence.
    pub events: Vec<AuditEvent>,
    /// Whether nothing follows.
    pub is_last: bool,
}

/// A hole in a lane: the number that should stand there.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LaneGap {
    /// The lane.
    pub lane: i16,
    /// The first number that is missing or stands there twice.
    pub sequence: i64,
    /// The event behind it; none when the lane's row knows of more than there is.
    pub execution_id: Option<Uuid>,
}

const EXECUTIONS: &str = r"/* audit events */
with page as materialized (
    select execution_id, sequence, event_id, type, branch, at, actor, payload::text as payload, hash,
           lane, lane_sequence
      from events
     where (execution_id, sequence) > ($1, $2) and execution_id <= $3
     order by execution_id, sequence limit $4
)
select p.execution_id as stream, p.sequence, p.event_id, p.type as name, p.branch, p.at, p.actor,
       p.payload, p.hash, p.lane, p.lane_sequence, h.version, h.head_hash
  from page p left join executions h using (execution_id)
 order by p.execution_id, p.sequence";

const TASKS: &str = r"/* audit task events */
with page as materialized (
    select task_id, sequence, event_id, type, at, actor, payload::text as payload, hash
      from task_events
     where (task_id, sequence) > ($1, $2) and task_id <= $3
     order by task_id, sequence limit $4
)
select p.task_id as stream, p.sequence, p.event_id, p.type as name, 1 as branch, p.at, p.actor,
       p.payload, p.hash, null::smallint as lane, null::bigint as lane_sequence,
       h.version, null::bytea as head_hash
  from page p left join tasks h using (task_id)
 order by p.task_id, p.sequence";

const LOG: &str = r"/* audit log */
select $5 as stream, sequence, event_id, type as name, 1 as branch, at, actor, payload::text as payload,
       hash, null::smallint as lane, null::bigint as lane_sequence,
       max(sequence) over () as version, null::bytea as head_hash
  from audit_log
 where ($5, sequence) > ($1, $2) and $5 <= $3
 order by sequence limit $4";

const EMPTY_EXECUTIONS: &str = r"/* executions without events */
select e.execution_id from executions e
 where e.execution_id > $1 and e.execution_id <= $2
   and not exists (select from events v where v.execution_id = e.execution_id)
   and not exists (select from archives a where a.dropped_at is not null
                      and e.execution_id >= a.first_id and e.execution_id < a.end_id)
 order by e.execution_id limit $3";

const EMPTY_TASKS: &str = r"/* tasks without events */
select t.task_id from tasks t
 where t.task_id > $1 and t.task_id <= $2
   and not exists (select from task_events v where v.task_id = t.task_id)
 order by t.task_id limit $3";

const EXECUTION_HEADS: &str = r"/* heads of executions */
select execution_id, version, head_hash from executions
 where execution_id > $1 order by execution_id limit $2";

const TASK_HEADS: &str = r"/* heads of tasks */
select t.task_id, v.sequence, v.hash
  from tasks t
  join lateral (select sequence, hash from task_events e where e.task_id = t.task_id
                 order by sequence desc limit 1) v on true
 where t.task_id > $1 order by t.task_id limit $2";

const LOG_HEAD: &str = r"/* head of the audit log */
select $3, sequence, hash from audit_log where $3 > $1 order by sequence desc limit least($2, 1)";

/// For the transaction only, so that it leaves nothing behind in a pooled connection.
const ONE_SNAPSHOT: &str =
    "/* one snapshot */ set transaction isolation level repeatable read, read only";

/// The first hole of each lane; one snapshot, because an append changes both tables at once. Events of
/// months that were given up leave holes: as many as they were, else something else is gone too.
const LANE_GAPS: &str = r"/* lane gaps */
with placed as (
    select lane, lane_sequence, execution_id,
           coalesce(lag(lane_sequence) over (partition by lane order by lane_sequence), 0) + 1
               as expected
      from events
), ends as (
    select l.lane, l.sequence, coalesce(max(p.lane_sequence), 0) as last
      from lanes l left join placed p using (lane) group by l.lane, l.sequence
), holes as (
    select lane, expected as sequence, execution_id from placed where lane_sequence <> expected
    union all
    select lane, least(last, sequence) + 1, null from ends where last <> sequence
)
select distinct on (lane) lane, sequence, execution_id from holes
 where not exists (select from archives where dropped_at is not null)
    or (select sum(sequence) from lanes)
       <> (select count(*) from events)
          + (select coalesce(sum(events), 0) from archives where dropped_at is not null)
 order by lane, sequence";

const GIVEN_UP: &str = r"/* months that were given up */
select first_id, end_id from archives where dropped_at is not null order by first_id";

#[derive(FromRow)]
struct Row {
    stream: Uuid,
    sequence: i64,
    event_id: Uuid,
    name: String,
    branch: i32,
    at: DateTime<Utc>,
    actor: String,
    payload: String,
    hash: Vec<u8>,
    lane: Option<i16>,
    lane_sequence: Option<i64>,
    version: Option<i64>,
    head_hash: Option<Vec<u8>>,
}

impl From<Row> for AuditEvent {
    fn from(row: Row) -> Self {
        AuditEvent {
            stream: row.stream,
            sequence: row.sequence as u64,
            event_id: row.event_id,
            name: row.name,
            at: row.at,
            branch: row.branch as u32,
            actor: row.actor,
            payload: row.payload,
            hash: bytes(&row.hash),
            place: row.lane.zip(row.lane_sequence),
            head: row.version.map(|v| (v as u64, row.head_hash.as_deref().map(bytes))),
        }
    }
}

/// What is no hash becomes one that fits nothing, so that it is a fault and not an error.
fn bytes(hash: &[u8]) -> [u8; 32] {
    hash.try_into().unwrap_or([0xff; 32])
}

impl Store {
    /// Events of streams of a kind behind (`after`), up to the stream `last`.
    pub async fn audit_events(
        &self,
        kind: StreamKind,
        after: (Uuid, u64),
        last: Uuid,
    ) -> Result<AuditPage, StoreError> {
        let query = sqlx::query_as(match kind {
            StreamKind::Execution => EXECUTIONS,
            StreamKind::Task => TASKS,
            StreamKind::Log => LOG,
        });
        let query = query
            .bind(after.0)
            .bind(i64::try_from(after.1).unwrap_or(i64::MAX))
            .bind(last)
            .bind(AUDIT_PAGE);
        let query = if kind == StreamKind::Log { query.bind(AUDIT_LOG) } else { query };
        let rows: Vec<Row> = query.fetch_all(&self.pool).await?;
        let is_last = (rows.len() as i64) < AUDIT_PAGE;
        Ok(AuditPage { events: rows.into_iter().map(AuditEvent::from).collect(), is_last })
    }

    /// Streams that have a head and no event at all; at most a page.
    pub async fn empty_streams(
        &self,
        kind: StreamKind,
        after: Uuid,
        last: Uuid,
    ) -> Result<Vec<Uuid>, StoreError> {
        let statement = match kind {
            StreamKind::Execution => EMPTY_EXECUTIONS,
            StreamKind::Task => EMPTY_TASKS,
            StreamKind::Log => return Ok(Vec::new()),
        };
        let query = sqlx::query_scalar(statement).bind(after).bind(last).bind(AUDIT_PAGE);
        Ok(query.fetch_all(&self.pool.patient()).await?)
    }

    /// Begins to read the heads of all streams as they are now.
    pub async fn read_heads(&self) -> Result<HeadReader, StoreError> {
        let mut transaction = self.pool.patient().begin().await?;
        sqlx::query(ONE_SNAPSHOT).execute(&mut *transaction).await?;
        Ok(HeadReader { transaction })
    }

    /// Ranges of executions (the end is not in it) whose events lie in archives only.
    pub async fn given_up(&self) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        Ok(sqlx::query_as(GIVEN_UP).fetch_all(&self.pool).await?)
    }

    /// The first hole of each lane that has one.
    pub async fn lane_gaps(&self) -> Result<Vec<LaneGap>, StoreError> {
        Ok(sqlx::query_as(LANE_GAPS).fetch_all(&self.pool.patient()).await?)
    }
}

/// Heads of all streams in one snapshot, page by page.
pub struct HeadReader {
    transaction: Transaction,
}

impl HeadReader {
    /// Heads behind a stream, sorted by id: stream, version, hash. Empty at the end.
    pub async fn page(
        &mut self,
        kind: StreamKind,
        after: Uuid,
    ) -> Result<Vec<(Uuid, u64, [u8; 32])>, StoreError> {
        let query = sqlx::query_as(match kind {
            StreamKind::Execution => EXECUTION_HEADS,
            StreamKind::Task => TASK_HEADS,
            StreamKind::Log => LOG_HEAD,
        });
        let query = query.bind(after).bind(AUDIT_PAGE);
        let query = if kind == StreamKind::Log { query.bind(AUDIT_LOG) } else { query };
        let rows: Vec<(Uuid, i64, Vec<u8>)> = query.fetch_all(&mut *self.transaction).await?;
        Ok(rows.into_iter().map(|(id, version, hash)| (id, version as u64, bytes(&hash))).collect())
    }
}

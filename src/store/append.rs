//! Appending: one statement, one round trip, for many executions.
//!
//! The statement compares and sets the heads (version, and the fence where one is given), inserts
//! only the events whose head moved, gives them their place in the lane, and puts the execution into
//! the queue or out of it. A loser changes nothing and does not disturb the others. READ COMMITTED is
//! enough: a concurrent change of a head makes Postgres check the comparison again on the new row.

use super::chain::{EventHeader, link};
use super::connections::Session;
use super::error::{AppendError, StoreError};
use super::queue::SET_NEEDS;
use crate::workflow::event::{Event, Happened};
use crate::workflow::next::{Wake, wake};
use crate::workflow::resources::need;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// An event as it is stored, without its place in a lane.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number in the stream, from 1.
    pub sequence: u64,
    /// Made by the caller, so that an unknown outcome can be looked up.
    pub event_id: Uuid,
    /// Its name.
    pub name: &'static str,
    /// The branch it is on.
    pub branch: u32,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who caused it.
    pub actor: String,
    /// Its JSON, as it is hashed.
    pub payload: String,
    /// Its link in the chain.
    pub hash: [u8; 32],
}

/// The summary columns of an execution after an append.
#[derive(Clone, Debug)]
pub struct Summary {
    pub(super) status: &'static str,
    pub(super) branch: i32,
    pub(super) progress: f32,
    updated_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl Summary {
    /// The summary of a state.
    pub fn of(state: &Execution, at: DateTime<Utc>) -> Self {
        Summary {
            status: state.status().as_str(),
            branch: state.branch as i32,
            progress: state.progress() as f32,
            updated_at: at,
            started_at: state.started_at,
            finished_at: state.finished_at,
        }
    }
}

/// What becomes of the lease and the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The worker keeps the execution. For somebody who is not the worker: whoever has it keeps it,
    /// and if nobody has it, it is queued as its state asks.
    Keep,
    /// The worker lets go of it, and it is queued as its state asks.
    Release,
}

/// One append to one execution.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream.
    pub execution_id: Uuid,
    /// The version that the decision was made on.
    pub expected: u64,
    /// The proof of being its worker; none for operators and signals.
    pub fence: Option<Uuid>,
    /// The events, at least one unless it only releases.
    pub records: Vec<Record>,
    /// Hash of the last event.
    pub head_hash: [u8; 32],
    pub(super) summary: Summary,
    release: bool,
    /// None: leave the queue; some: be ready, or sleep until then.
    wake: Wake,
    /// What its next worker must offer; none when its workflow never asks for anything.
    pub(super) need: Option<String>,
}

impl Append {
    /// An append of `happened`, which led to `state`. `before` is the hash of the last event before
    /// them; `now` is the time for which the queue entry is computed.
    pub fn new(
        execution_id: Uuid,
        state: &Execution,
        happened: &[Happened],
        before: [u8; 32],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        let expected = state.version - happened.len() as u64;
        let mut append = Append {
            execution_id,
            expected,
            fence: None,
            records: Vec::with_capacity(happened.len()),
            head_hash: before,
            summary: Summary::of(state, now),
            release: false,
            wake: wake(state, now),
            need: need(state, now, &|_| false),
        };
        // A rewind opens its branch with itself; what comes before is on the one before.
        let rewound =
            happened.iter().position(|h| matches!(h.event, Event::ExecutionRewound { .. }));
        for (index, h) in happened.iter().enumerate() {
            let is_before = rewound.is_some_and(|r| index < r);
            let branch = if is_before { state.branch - 1 } else { state.branch };
            append.push(h, branch, actor)?;
        }
        Ok(append)
    }

    /// The same append as the worker that holds `fence`.
    #[must_use]
    pub fn as_worker(mut self, fence: Uuid, disposition: Disposition) -> Self {
        self.fence = Some(fence);
        self.release = disposition == Disposition::Release;
        self
    }

    fn wake_at(&self) -> Option<DateTime<Utc>> {
        match self.wake {
            Wake::At(due) => Some(due),
            Wake::Now | Wake::Never => None,
        }
    }

    /// The same append, queued in another way than its state alone asks for.
    #[must_use]
    pub fn queued(mut self, wake: Wake, need: Option<String>) -> Self {
        (self.wake, self.need) = (wake, need);
        self
    }

    fn push(&mut self, happened: &Happened, branch: u32, actor: &str) -> Result<(), StoreError> {
        let sequence = self.expected + self.records.len() as u64 + 1;
        let payload = serde_json::to_string(&happened.event).map_err(|e| {
            StoreError::Refused(format!("{} cannot be written as JSON: {e}", happened.event.name()))
        })?;
        let event_id = Uuid::now_v7();
        let header = EventHeader {
            stream: self.execution_id,
            sequence,
            event_id,
            at: happened.at,
            branch,
            actor,
        };
        self.head_hash = link(&self.head_hash, &header, &payload);
        self.records.push(Record {
            sequence,
            event_id,
            name: happened.event.name(),
            branch,
            at: happened.at,
            actor: actor.to_owned(),
            payload,
            hash: self.head_hash,
        });
        Ok(())
    }
}

/// The statement. Locks are taken in one order by everybody: heads (sorted by id), then the lane.
const APPEND: &str = r"/* append */
with input as (
    select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bytea[], $6::text[],
        $7::int[], $8::real[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
        $12::boolean[], $13::boolean[], $14::timestamptz[])
    as t (execution_id, expected, version, fence, head_hash, status,
          branch, progress, updated_at, started_at, finished_at, release, queued, wake_at)
), heads as (
    update executions e
       set version = i.version, head_hash = i.head_hash, status = i.status, branch = i.branch,
           progress = i.progress, updated_at = i.updated_at, started_at = i.started_at,
           finished_at = i.finished_at,
           worker_id = case when i.release then null else e.worker_id end,
           fence = case when i.release then null else e.fence end
      from input i
     where e.execution_id = i.execution_id
       and e.version = i.expected
       and (i.fence is null or e.fence = i.fence)
    returning e.execution_id, e.worker_id, e.priority, i.queued, i.wake_at, i.updated_at
), incoming as (
    select t.*
      from unnest($15::uuid[], $16::bigint[], $17::uuid[], $18::text[], $19::int[], $20::timestamptz[],
                  $21::text[], $22::text[], $23::bytea[]) with ordinality
        as t (execution_id, sequence, event_id, type, branch, at, actor, payload, hash, place)
      join heads using (execution_id)
), lane as (
    -- Depends on heads, so that the lane is locked after them.
    update lanes set sequence = sequence + (select count(*) from incoming)
     where lane = $24 and exists (select from heads)
    returning lane, sequence - (select count(*) from incoming) as before
), stored as (
    insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload, hash,
                        lane, lane_sequence)
    select execution_id, i.sequence, event_id, type, branch, at, actor, payload::json, hash,
           lane.lane, lane.before + row_number() over (order by place)
      from incoming i cross join lane
), queued as (
    insert into queue (execution_id, ready, priority, wake_at)
    select execution_id, wake_at is null, priority, coalesce(wake_at, updated_at)
      from heads where worker_id is null and queued
    on conflict (execution_id) do update
       set ready = excluded.ready, priority = excluded.priority, wake_at = excluded.wake_at
), unqueued as (
    delete from queue q using heads h
     where q.execution_id = h.execution_id and h.worker_id is null and not h.queued
)
select execution_id from heads";

/// For one alone, see `migrations/0003_append_one.sql`.
const APPEND_ONE: &str = r"/* append */
select append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                  $20, $21, $22)";

async fn append_one(
    connection: &mut Session,
    lane: i16,
    append: &Append,
) -> Result<bool, sqlx::Error> {
    let Append { summary, records, .. } = append;
    sqlx::query_scalar(APPEND_ONE)
        .bind(append.execution_id)
        .bind(append.expected as i64)
        .bind((append.expected + records.len() as u64) as i64)
        .bind(append.fence)
        .bind(append.head_hash.as_slice())
        .bind(summary.status)
        .bind(summary.branch)
        .bind(summary.progress)
        .bind(summary.updated_at)
        .bind(summary.started_at)
        .bind(summary.finished_at)
        .bind(append.release)
        .bind(append.wake != Wake::Never)
        .bind(append.wake_at())
        .bind(records.iter().map(|r| r.event_id).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.name).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.branch as i32).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.at).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.actor.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.payload.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.hash.as_slice()).collect::<Vec<_>>())
        .bind(lane)
        .fetch_one(connection)
        .await
}

/// Appends a batch in which no execution stands twice. Says whose head moved.
pub(super) async fn append_batch(
    connection: &mut Session,
    lane: i16,
    batch: &[&Append],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    if batch.iter().all(|a| a.need.is_none()) {
        return append_rows(connection, lane, batch).await;
    }
    // Nobody may see the queue's new rows without what they need.
    let mut transaction = connection.begin().await?;
    let won = append_rows(&mut transaction, lane, batch).await?;
    let asking = batch.iter().filter(|a| won.contains(&a.execution_id));
    let mut needs: Vec<(Uuid, &str)> =
        asking.filter_map(|a| Some((a.execution_id, a.need.as_deref()?))).collect();
    needs.sort_unstable();
    sqlx::query(SET_NEEDS)
        .bind(needs.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(needs.iter().map(|(_, need)| *need).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(won)
}

async fn append_rows(
    connection: &mut Session,
    lane: i16,
    batch: &[&Append],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    if let [one] = batch {
        let is_in = append_one(connection, lane, one).await?;
        return Ok(is_in.then_some(one.execution_id).into_iter().collect());
    }
    let mut sorted: Vec<&Append> = batch.to_vec();
    sorted.sort_by_key(|a| a.execution_id);
    let heads =
        |f: fn(&Append) -> Option<DateTime<Utc>>| sorted.iter().map(|a| f(a)).collect::<Vec<_>>();
    let records: Vec<(Uuid, &Record)> =
        sorted.iter().flat_map(|a| a.records.iter().map(|r| (a.execution_id, r))).collect();
    let won: Vec<Uuid> = sqlx::query_scalar(APPEND)
        .bind(sorted.iter().map(|a| a.execution_id).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.expected as i64).collect::<Vec<_>>())
        .bind(
            sorted.iter().map(|a| (a.expected + a.records.len() as u64) as i64).collect::<Vec<_>>(),
        )
        .bind(sorted.iter().map(|a| a.fence).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.head_hash.as_slice()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.summary.status).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.summary.branch).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.summary.progress).collect::<Vec<_>>())
        .bind(heads(|a| Some(a.summary.updated_at)))
        .bind(heads(|a| a.summary.started_at))
        .bind(heads(|a| a.summary.finished_at))
        .bind(sorted.iter().map(|a| a.release).collect::<Vec<_>>())
        .bind(sorted.iter().map(|a| a.wake != Wake::Never).collect::<Vec<_>>())
        .bind(heads(Append::wake_at))
        .bind(records.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.sequence as i64).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.event_id).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.name).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.branch as i32).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.at).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.actor.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.payload.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, r)| r.hash.as_slice()).collect::<Vec<_>>())
        .bind(lane)
        .fetch_all(connection)
        .await?;
    Ok(won.into_iter().collect())
}

/// Heads of executions: version, fence, and the id of the event at the version we wanted to reach.
const HEADS: &str = r"/* heads */
select e.execution_id, e.version, e.fence, v.event_id
  from unnest($1::uuid[], $2::bigint[]) as i (execution_id, sequence)
  join executions e using (execution_id)
  left join events v on v.execution_id = i.execution_id and v.sequence = i.sequence";

/// What became of appends that did not win, or whose answer was lost: `Ok` if they are in after all.
pub(super) async fn outcomes(
    connection: &mut Session,
    appends: &[&Append],
) -> Result<HashMap<Uuid, Result<(), AppendError>>, sqlx::Error> {
    let reached = |a: &&Append| (a.expected + a.records.len() as u64) as i64;
    let rows: Vec<(Uuid, i64, Option<Uuid>, Option<Uuid>)> = sqlx::query_as(HEADS)
        .bind(appends.iter().map(|a| a.execution_id).collect::<Vec<_>>())
        .bind(appends.iter().map(reached).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let heads: HashMap<Uuid, _> = rows.into_iter().map(|(id, v, f, e)| (id, (v, f, e))).collect();
    Ok(appends.iter().map(|a| (a.execution_id, outcome(a, heads.get(&a.execution_id)))).collect())
}

fn outcome(
    append: &Append,
    head: Option<&(i64, Option<Uuid>, Option<Uuid>)>,
) -> Result<(), AppendError> {
    let id = append.execution_id;
    let Some((version, fence, event_id)) = head else { return Err(AppendError::NotFound(id)) };
    if append.records.last().is_some_and(|last| *event_id == Some(last.event_id)) {
        return Ok(());
    }
    if append.fence.is_some() && append.fence != *fence {
        return Err(AppendError::Fenced(id));
    }
    Err(AppendError::Conflict { id, expected: append.expected, actual: *version as u64 })
}

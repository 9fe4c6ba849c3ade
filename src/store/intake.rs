//! Group commit of submissions: those that arrive while a batch is under way form the next batch.
//!
//! Task, its first facts, execution, its first events and its place in the queue (or with the worker
//! that begins at once) are one statement: a crash leaves all of a submission or nothing. A known
//! idempotency key makes nothing, and says so. What lies in the data of one fails that one alone.

use super::append::{Record, Summary};
use super::connections::{Connections, Session};
use super::error::{StoreError, is_in_data};
use super::queue::SET_NEEDS;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

const QUEUE_LENGTH: usize = 1_024;
const BATCH_MAX: usize = 256;
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// A fact about a task, ready to be stored.
#[derive(Clone)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) event_id: Uuid,
    pub(super) payload: String,
    pub(super) hash: [u8; 32],
}

/// One submission, ready to be stored.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) task_id: Uuid,
    pub(super) idempotency_key: Option<String>,
    pub(super) title: String,
    pub(super) task_type: String,
    pub(super) task_priority: String,
    pub(super) workflow: String,
    pub(super) workflow_version: i32,
    pub(super) repository: Option<String>,
    pub(super) document: String,
    pub(super) at: DateTime<Utc>,
    pub(super) actor: String,
    /// None for a further execution of a task that exists.
    pub(super) facts: Vec<Fact>,
    pub(super) execution_id: Uuid,
    pub(super) rank: i16,
    pub(super) records: Vec<Record>,
    pub(super) head_hash: [u8; 32],
    pub(super) summary: Summary,
    /// What it needs of a worker, if it is queued and needs anything.
    pub(super) need: Option<String>,
    /// The worker that begins at once, and its fence; none: it is queued.
    pub(super) holder: Option<(Uuid, Uuid)>,
}

/// Locks are taken in the order of `append`: heads (new ones disturb nobody), then the lane.
const SUBMIT: &str = r"/* submit */
with input as (
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::int[], $8::text[], $9::text[], $10::timestamptz[], $11::text[], $12::int[], $13::uuid[],
        $14::smallint[], $15::bigint[], $16::bytea[], $17::text[], $18::int[], $19::real[],
        $20::timestamptz[], $21::uuid[], $22::uuid[])
    as t (task_id, idempotency_key, title, type, priority, workflow, workflow_version, repository,
          document, at, actor, facts, execution_id, rank, version, head_hash, status, branch, progress,
          started_at, worker_id, fence)
), task as (
    insert into tasks (task_id, idempotency_key, title, type, priority, workflow, repository, document,
                       version, created_at)
    select task_id, idempotency_key, title, type, priority, workflow, repository, document::json, facts,
           at
      from input where facts > 0
    on conflict (idempotency_key) where idempotency_key is not null do nothing
    returning task_id
), go as (
    select i.* from input i
     where i.facts = 0 or exists (select from task where task.task_id = i.task_id)
), task_log as (
    insert into task_events (task_id, sequence, event_id, type, at, actor, payload, hash)
    select f.task_id, f.sequence, f.event_id, f.type, go.at, go.actor, f.payload::json, f.hash
      from unnest($23::uuid[], $24::bigint[], $25::uuid[], $26::text[], $27::text[], $28::bytea[])
           as f (task_id, sequence, event_id, type, payload, hash)
      join go using (task_id)
), execution as (
    insert into executions (execution_id, task_id, workflow, workflow_version, repository, title,
        priority, requested_at, version, head_hash, status, branch, progress, updated_at, started_at,
        worker_id, fence)
    select execution_id, task_id, workflow, workflow_version, repository, title, rank, at, version,
           head_hash, status, branch, progress, at, started_at, worker_id, fence
      from go
    returning execution_id
), incoming as (
    select e.*
      from unnest($29::uuid[], $30::bigint[], $31::uuid[], $32::text[], $33::int[], $34::timestamptz[],
                  $35::text[], $36::text[], $37::bytea[]) with ordinality
        as e (execution_id, sequence, event_id, type, branch, at, actor, payload, hash, place)
      join execution using (execution_id)
), lane as (
    update lanes set sequence = sequence + (select count(*) from incoming)
     where lane = $38 and exists (select from execution)
    returning lane, sequence - (select count(*) from incoming) as before
), log as (
    insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload, hash,
                        lane, lane_sequence)
    select execution_id, i.sequence, event_id, type, branch, at, actor, payload::json, hash,
           lane.lane, lane.before + row_number() over (order by place)
      from incoming i cross join lane
), queued as (
    insert into queue (execution_id, ready, priority, wake_at)
    select execution_id, true, rank, at from go where worker_id is null
)
select execution_id from execution";

type Answer = oneshot::Sender<Result<bool, StoreError>>;

struct Entry {
    row: Row,
    answer: Answer,
}

/// The way in for submissions.
#[derive(Clone)]
pub(super) struct Intake(mpsc::Sender<Entry>);

impl Intake {
    /// Starts it on lane number `lane`.
    pub(super) fn start(pool: &Connections, lane: i16) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(run(pool.clone(), lane, receiver));
        Intake(sender)
    }

    /// Stores a submission; durable when this returns. False: its idempotency key is known, and
    /// nothing was made. After a lost answer the caller looks whether it is in.
    pub(super) async fn submit(&self, row: Row) -> Result<bool, StoreError> {
        let gone = || StoreError::Unreachable("the store is closed".to_owned());
        let (answer, outcome) = oneshot::channel();
        self.0.send(Entry { row, answer }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

async fn run(pool: Connections, lane: i16, mut receiver: mpsc::Receiver<Entry>) {
    let mut waiting = Vec::new();
    // Kept from batch to batch, as the lanes of `appender` do.
    let mut held = None;
    while receiver.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        let mut work = vec![std::mem::take(&mut waiting)];
        while let Some(batch) = work.pop() {
            match attempt(&pool, &mut held, lane, &batch).await {
                Ok(made) => answer(batch, &made),
                Err(error) if is_in_data(&error) && batch.len() > 1 => {
                    let mut left = batch;
                    let right = left.split_off(left.len() / 2);
                    work.extend([right, left]);
                }
                Err(error) => refuse(batch, error),
            }
        }
    }
}

async fn attempt(
    pool: &Connections,
    held: &mut Option<Session>,
    lane: i16,
    batch: &[Entry],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let call = async {
        let mut connection = match held.take() {
            Some(session) => session,
            None => pool.acquire().await?,
        };
        let rows: Vec<&Row> = batch.iter().map(|entry| &entry.row).collect();
        if rows.iter().all(|row| row.need.is_none()) {
            let made = submit_batch(&mut connection, lane, &rows).await?;
            *held = Some(connection);
            return Ok(made);
        }
        // Nobody may see the queue's new rows without what they need.
        let mut transaction = connection.begin().await?;
        let made = submit_batch(&mut transaction, lane, &rows).await?;
        let mut needs: Vec<(Uuid, &str)> =
            rows.iter().filter_map(|r| Some((r.execution_id, r.need.as_deref()?))).collect();
        needs.retain(|(id, _)| made.contains(id));
        needs.sort_unstable();
        sqlx::query(SET_NEEDS)
            .bind(needs.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(needs.iter().map(|(_, need)| *need).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        *held = Some(connection);
        Ok(made)
    };
    timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Callers that went away do not need their answers.
fn answer(batch: Vec<Entry>, made: &HashSet<Uuid>) {
    for entry in batch {
        let is_made = made.contains(&entry.row.execution_id);
        let _ = entry.answer.send(Ok(is_made));
    }
}

fn refuse(batch: Vec<Entry>, error: sqlx::Error) {
    let said = StoreError::from(error);
    for entry in batch {
        let _ = entry.answer.send(Err(said.again()));
    }
}

/// Runs the statement. Says which executions were made.
async fn submit_batch(
    connection: &mut Session,
    lane: i16,
    rows: &[&Row],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let text = |f: fn(&Row) -> &str| rows.iter().map(|r| f(r)).collect::<Vec<_>>();
    let facts = || rows.iter().flat_map(|r| r.facts.iter().map(|f| (r.task_id, f)));
    let numbers =
        rows.iter().flat_map(|r| (1..=r.facts.len()).map(|n| n as i64)).collect::<Vec<_>>();
    let records = || rows.iter().flat_map(|r| r.records.iter().map(|e| (r.execution_id, e)));
    let made: Vec<Uuid> = sqlx::query_scalar(SUBMIT)
        .bind(rows.iter().map(|r| r.task_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.idempotency_key.as_deref()).collect::<Vec<_>>())
        .bind(text(|r| &r.title))
        .bind(text(|r| &r.task_type))
        .bind(text(|r| &r.task_priority))
        .bind(text(|r| &r.workflow))
        .bind(rows.iter().map(|r| r.workflow_version).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.repository.as_deref()).collect::<Vec<_>>())
        .bind(text(|r| &r.document))
        .bind(rows.iter().map(|r| r.at).collect::<Vec<_>>())
        .bind(text(|r| &r.actor))
        .bind(rows.iter().map(|r| r.facts.len() as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.execution_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.rank).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.records.len() as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.head_hash.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.summary.status).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.summary.branch).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.summary.progress).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.summary.started_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.holder.map(|(worker, _)| worker)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.holder.map(|(_, fence)| fence)).collect::<Vec<_>>())
        .bind(facts().map(|(id, _)| id).collect::<Vec<_>>())
        .bind(numbers)
        .bind(facts().map(|(_, f)| f.event_id).collect::<Vec<_>>())
        .bind(facts().map(|(_, f)| f.name).collect::<Vec<_>>())
        .bind(facts().map(|(_, f)| f.payload.as_str()).collect::<Vec<_>>())
        .bind(facts().map(|(_, f)| f.hash.as_slice()).collect::<Vec<_>>())
        .bind(records().map(|(id, _)| id).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.sequence as i64).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.event_id).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.name).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.branch as i32).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.at).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.actor.as_str()).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.payload.as_str()).collect::<Vec<_>>())
        .bind(records().map(|(_, e)| e.hash.as_slice()).collect::<Vec<_>>())
        .bind(lane)
        .fetch_all(connection)
        .await?;
    Ok(made.into_iter().collect())
}

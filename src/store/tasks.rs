//! Tasks: what somebody asked for, and the request of an execution for it.
//!
//! Task, its first events, execution, its first event and its place in the queue are one statement:
//! a crash leaves all of it or nothing. An idempotency key makes a repeat return the first.

use super::append::Append;
use super::chain::{EventHeader, GENESIS, link};
use super::connect::Store;
use super::error::StoreError;
use super::queue::SET_NEEDS;
use crate::workflow::command::Command;
use crate::workflow::decide::apply;
use crate::workflow::event::Request;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::FromRow;
use std::time::Duration;
use uuid::Uuid;

/// A task to be created.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Made by the caller, version 7.
    pub task_id: Uuid,
    /// Makes a repeat return the first.
    pub idempotency_key: Option<String>,
    /// Its facts, oldest first: name and payload (`TaskCreated`, `TaskParsed`, ...).
    pub events: Vec<(&'static str, Value)>,
}

/// An execution to be requested.
#[derive(Clone, Debug)]
pub struct NewExecution {
    /// Made by the caller, version 7.
    pub execution_id: Uuid,
    /// What it is asked for with.
    pub request: Request,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The task.
    pub task_id: Uuid,
    /// Its execution.
    pub execution_id: Uuid,
    /// Whether the idempotency key was known, so that nothing new was made.
    pub repeated: bool,
}

/// A task as lists show it.
#[derive(Clone, Debug, FromRow)]
pub struct TaskRow {
    /// The task.
    pub task_id: Uuid,
    /// What makes a repeat harmless.
    pub idempotency_key: Option<String>,
    /// Its title.
    pub title: String,
    /// feature, bugfix, ...
    pub r#type: String,
    /// low, medium, high, critical.
    pub priority: String,
    /// The workflow it asks for.
    pub workflow: String,
    /// A local path or `OWNER/NAME`.
    pub repository: Option<String>,
    /// The structured task.
    pub document: sqlx::types::Json<Value>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// How often a submission is tried again when the database is away.
const SUBMIT_TRIES: u32 = 5;

const SUBMIT: &str = r"/* submit */
with task as (
    insert into tasks (task_id, idempotency_key, title, type, priority, workflow, repository, document,
                       version, created_at)
    select $1, $2, $3, $4, $5, $6, $7, $8::json, cardinality($9::text[]), $10
     where cardinality($9::text[]) > 0
    on conflict (idempotency_key) do nothing
    returning task_id
), go as (
    select task_id from task union all select $1 where cardinality($9::text[]) = 0
), task_log as (
    insert into task_events (task_id, sequence, event_id, type, at, actor, payload, hash)
    select go.task_id, place, event_id, type, $10, $11, payload::json, hash
      from go, unnest($9::text[], $12::uuid[], $13::text[], $14::bytea[]) with ordinality
           as t (type, event_id, payload, hash, place)
), execution as (
    insert into executions (execution_id, task_id, workflow, workflow_version, repository, title,
        priority, requested_at, version, head_hash, status, branch, progress, updated_at)
    select $15, task_id, $6, $16, $7, $3, $17, $10, 1, $18, 'queued', 1, 0, $10 from go
    returning execution_id
), lane as (
    update lanes set sequence = sequence + 1 where lane = $19 and exists (select from execution)
    returning lane, sequence
), log as (
    insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload, hash,
                        lane, lane_sequence)
    select execution_id, 1, $20, 'ExecutionRequested', 1, $10, $11, $21::json, $18, lane, sequence
      from execution, lane
), queued as (
    insert into queue (execution_id, ready, priority, wake_at)
    select execution_id, true, $17, $10 from execution
)
select task_id from go";

const REPEATED: &str = r"/* repeated submission */
select t.task_id, e.execution_id
  from tasks t join executions e using (task_id)
 where t.idempotency_key = $1
 order by e.execution_id limit 1";

const TASKS: &str = r"/* tasks */
select task_id, idempotency_key, title, type, priority, workflow, repository, document, created_at
  from tasks where $1::uuid is null or task_id = $1
 order by task_id desc limit $2";

impl Store {
    /// Creates a task and requests its execution.
    pub async fn submit(
        &self,
        task: &NewTask,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Submitted, StoreError> {
        self.submit_row(Some(task), execution, actor, now).await
    }

    /// Requests a further execution of a task that exists.
    pub async fn request_execution(
        &self,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Submitted, StoreError> {
        self.submit_row(None, execution, actor, now).await
    }

    async fn submit_row(
        &self,
        task: Option<&NewTask>,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Submitted, StoreError> {
        let mut tries = 0;
        loop {
            let error = match self.try_submit(task, execution, actor, now).await {
                Err(error) if error.may_pass() && tries < SUBMIT_TRIES => error,
                other => return other,
            };
            tries += 1;
            tracing::warn!(%error, "the submission is looked up, and tried again");
            tokio::time::sleep(Duration::from_millis(300)).await;
            // The answer may have been lost after the commit: what is in is not sent again.
            if let Ok(row) = self.execution_row(execution.execution_id).await {
                let (task_id, execution_id) = (row.task_id, row.execution_id);
                return Ok(Submitted { task_id, execution_id, repeated: false });
            }
        }
    }

    async fn try_submit(
        &self,
        task: Option<&NewTask>,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Submitted, StoreError> {
        let request = &execution.request;
        let append = first_append(execution, actor, now)?;
        let first = &append.records[0];
        let log = task.map(|t| task_log(t, actor, now)).transpose()?.unwrap_or_default();
        let text =
            |field: &str| request.task.get(field).and_then(Value::as_str).unwrap_or_default();
        let submit = sqlx::query_scalar(SUBMIT)
            .bind(request.task_id)
            .bind(task.and_then(|t| t.idempotency_key.as_deref()))
            .bind(text("title"))
            .bind(text("type"))
            .bind(text("priority"))
            .bind(&request.definition.name)
            .bind(&request.repository)
            .bind(request.task.to_string())
            .bind(log.iter().map(|l| l.name).collect::<Vec<_>>())
            .bind(now)
            .bind(actor)
            .bind(log.iter().map(|l| l.event_id).collect::<Vec<_>>())
            .bind(log.iter().map(|l| l.payload.as_str()).collect::<Vec<_>>())
            .bind(log.iter().map(|l| l.hash.to_vec()).collect::<Vec<_>>())
            .bind(execution.execution_id)
            .bind(request.definition.version as i32)
            .bind(i16::from(request.priority))
            .bind(first.hash.to_vec())
            .bind(rand::random_range(0..16_i16))
            .bind(first.event_id)
            .bind(&first.payload);
        let execution_id = execution.execution_id;
        let made: Option<Uuid> = match append.need.as_deref().filter(|n| !n.is_empty()) {
            None => submit.fetch_optional(&self.pool).await?,
            Some(need) => {
                let mut transaction = self.pool.begin().await?;
                let made = submit.fetch_optional(&mut *transaction).await?;
                sqlx::query(SET_NEEDS)
                    .bind(vec![execution_id])
                    .bind(vec![need])
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                made
            }
        };
        if let Some(task_id) = made {
            return Ok(Submitted { task_id, execution_id, repeated: false });
        }
        let key = task.and_then(|t| t.idempotency_key.as_deref()).unwrap_or_default();
        self.submission(key).await?.ok_or_else(|| {
            StoreError::Refused(format!("the task with idempotency key `{key}` has no execution"))
        })
    }

    /// What was submitted under an idempotency key.
    pub async fn submission(&self, key: &str) -> Result<Option<Submitted>, StoreError> {
        let row: Option<(Uuid, Uuid)> =
            sqlx::query_as(REPEATED).bind(key).fetch_optional(&self.pool).await?;
        Ok(row.map(|(task_id, execution_id)| Submitted { task_id, execution_id, repeated: true }))
    }

    /// Tasks, the newest first; or one.
    pub async fn tasks(&self, id: Option<Uuid>, limit: i64) -> Result<Vec<TaskRow>, StoreError> {
        Ok(sqlx::query_as(TASKS).bind(id).bind(limit).fetch_all(&self.pool).await?)
    }
}

fn first_append(
    execution: &NewExecution,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<Append, StoreError> {
    let mut state = Execution::default();
    let command = Command::Request(Box::new(execution.request.clone()));
    let happened =
        apply(&mut state, now, &command).map_err(|e| StoreError::Refused(e.to_string()))?;
    Append::new(execution.execution_id, &state, &happened, GENESIS, actor, now)
}

struct TaskRecord {
    name: &'static str,
    event_id: Uuid,
    payload: String,
    hash: [u8; 32],
}

fn task_log(
    task: &NewTask,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<Vec<TaskRecord>, StoreError> {
    let mut before = GENESIS;
    let mut log = Vec::with_capacity(task.events.len());
    for (index, (name, data)) in task.events.iter().enumerate() {
        let mut payload = json!({"type": name});
        crate::config::run::merge(&mut payload, data);
        let payload = payload.to_string();
        let event_id = Uuid::now_v7();
        let (stream, sequence) = (task.task_id, index as u64 + 1);
        let header = EventHeader { stream, sequence, event_id, at: now, branch: 1, actor };
        before = link(&before, &header, &payload);
        log.push(TaskRecord { name, event_id, payload, hash: before });
    }
    Ok(log)
}

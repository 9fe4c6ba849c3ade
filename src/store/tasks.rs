//! Tasks: what somebody asked for, and the request of an execution for it.
//!
//! Task, its first events, execution, its first event and its place in the queue are one statement:
//! a crash leaves all of it or nothing. An idempotency key makes a repeat return the first.

use super::append::Append;
use super::chain::{EventHeader, GENESIS, link};
use super::connect::Store;
use super::error::StoreError;
use super::executions::Loaded;
use super::intake::{Fact, Row};
use super::queue::Claimed;
use crate::workflow::command::{Command, Refusal};
use crate::workflow::decide::apply;
use crate::workflow::event::{Happened, Request};
use crate::workflow::next::advance;
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
const SUBMIT_TRIES: u32 = 8;

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
        let (_, first) = request(execution, actor, now)?;
        self.submit_row(row(Some(task), execution, actor, now, first)).await
    }

    /// The same, and `worker` has the execution from its first row: what it may do at once is part of
    /// the submission. None beside it: nothing can be done at once, or the key is known; then it is
    /// queued as ever.
    pub async fn submit_begun(
        &self,
        task: &NewTask,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
        worker: Uuid,
    ) -> Result<(Submitted, Option<Begun>), StoreError> {
        let (mut state, first) = request(execution, actor, now)?;
        if first.need.is_some() {
            // Whether the worker may run it is for a claim to judge.
            let row = row(Some(task), execution, actor, now, first);
            return Ok((self.submit_row(row).await?, None));
        }
        let claimed = Claimed { execution_id: execution.execution_id, fence: Uuid::new_v4() };
        let mut row = row(Some(task), execution, actor, now, first);
        let happened = begin(&mut state, claimed, worker, now)?;
        if !state.is_anything_running() {
            return Ok((self.submit_row(row).await?, None));
        }
        row.hold(&state, &happened, claimed, worker)?;
        let head_hash = row.head_hash;
        let submitted = self.submit_row(row).await?;
        let is_ours = submitted.execution_id == execution.execution_id && !submitted.repeated;
        let loaded = Loaded { execution_id: execution.execution_id, state, head_hash };
        Ok((submitted, is_ours.then_some(Begun { claimed, loaded, happened })))
    }

    /// Requests a further execution of a task that exists.
    pub async fn request_execution(
        &self,
        execution: &NewExecution,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Submitted, StoreError> {
        let (_, first) = request(execution, actor, now)?;
        self.submit_row(row(None, execution, actor, now, first)).await
    }

    /// Tries again while the database is away. The answer may have been lost after the commit: what is
    /// in is not sent again, and what a look cannot tell is looked up again.
    async fn submit_row(&self, row: Row) -> Result<Submitted, StoreError> {
        let (task_id, execution_id) = (row.task_id, row.execution_id);
        let done = Submitted { task_id, execution_id, repeated: false };
        let mut error = match self.intake.submit(row.clone()).await {
            Ok(is_made) => return self.made(is_made, &row).await,
            Err(error) => error,
        };
        for _ in 0..SUBMIT_TRIES {
            match self.execution_row(execution_id).await {
                Ok(_) => return Ok(done),
                Err(StoreError::NotFound { .. }) if !error.may_pass() => return Err(error),
                Err(StoreError::NotFound { .. }) => match self.intake.submit(row.clone()).await {
                    Ok(is_made) => return self.made(is_made, &row).await,
                    Err(again) => error = again,
                },
                Err(_) => {}
            }
            tracing::warn!(%error, "the submission is looked up, and tried again");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Err(error)
    }

    /// What a submission led to; a known idempotency key leads to what it made the first time.
    async fn made(&self, is_made: bool, row: &Row) -> Result<Submitted, StoreError> {
        if is_made {
            let (task_id, execution_id) = (row.task_id, row.execution_id);
            return Ok(Submitted { task_id, execution_id, repeated: false });
        }
        let key = row.idempotency_key.as_deref().unwrap_or_default();
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

/// An execution that a submission has begun for a worker.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The proof that it is the worker's.
    pub claimed: Claimed,
    /// How it stands.
    pub loaded: Loaded,
    /// What the worker has done, the first starts among it.
    pub happened: Vec<Happened>,
}

/// The request, decided: the state after it, and what is to be stored.
fn request(
    execution: &NewExecution,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(Execution, Append), StoreError> {
    let mut state = Execution::default();
    let command = Command::Request(Box::new(execution.request.clone()));
    let happened = apply(&mut state, now, &command).map_err(refused)?;
    let first = Append::new(execution.execution_id, &state, &happened, GENESIS, actor, now)?;
    Ok((state, first))
}

fn refused(refusal: Refusal) -> StoreError {
    StoreError::Refused(refusal.to_string())
}

/// What a worker would do first.
fn begin(
    state: &mut Execution,
    claimed: Claimed,
    worker: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<Happened>, StoreError> {
    let claim = Command::Claim { worker, fence: claimed.fence };
    let mut happened = apply(state, now, &claim).map_err(refused)?;
    happened.extend(advance(state, now).map_err(refused)?);
    Ok(happened)
}

fn row(
    task: Option<&NewTask>,
    execution: &NewExecution,
    actor: &str,
    now: DateTime<Utc>,
    first: Append,
) -> Row {
    let asked = &execution.request;
    let text =
        |field: &str| asked.task.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Row {
        task_id: asked.task_id,
        idempotency_key: task.and_then(|t| t.idempotency_key.clone()),
        title: text("title"),
        task_type: text("type"),
        task_priority: text("priority"),
        workflow: asked.definition.name.clone(),
        workflow_version: asked.definition.version as i32,
        repository: asked.repository.clone(),
        document: asked.task.to_string(),
        at: now,
        actor: actor.to_owned(),
        facts: task.map(|t| facts(t, actor, now)).unwrap_or_default(),
        execution_id: execution.execution_id,
        rank: i16::from(asked.priority),
        need: first.need.filter(|need| !need.is_empty()),
        records: first.records,
        head_hash: first.head_hash,
        summary: first.summary,
        holder: None,
    }
}

impl Row {
    /// Adds what the worker that holds it from the beginning has done.
    fn hold(
        &mut self,
        state: &Execution,
        happened: &[Happened],
        claimed: Claimed,
        worker: Uuid,
    ) -> Result<(), StoreError> {
        let actor = format!("worker:{worker}");
        let (id, before) = (self.execution_id, self.head_hash);
        let more = Append::new(id, state, happened, before, &actor, self.at)?;
        self.records.extend(more.records);
        (self.head_hash, self.summary) = (more.head_hash, more.summary);
        self.holder = Some((worker, claimed.fence));
        Ok(())
    }
}

fn facts(task: &NewTask, actor: &str, now: DateTime<Utc>) -> Vec<Fact> {
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
        log.push(Fact { name, event_id, payload, hash: before });
    }
    log
}

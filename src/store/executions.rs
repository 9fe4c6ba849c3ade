//! Loading executions: whole streams folded to a state, rows for lists, ids from fragments.

use super::chain::GENESIS;
use super::connect::Store;
use super::error::StoreError;
use crate::workflow::event::{Event, Happened};
use crate::workflow::evolve::evolve;
use crate::workflow::state::{Execution, Status};
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// The summary of an execution, as lists show it.
#[derive(Clone, Debug, FromRow)]
pub struct ExecutionRow {
    /// The execution.
    pub execution_id: Uuid,
    /// Its task.
    pub task_id: Uuid,
    /// Name of its workflow.
    pub workflow: String,
    /// Version of its workflow.
    pub workflow_version: i32,
    /// A local path or `OWNER/NAME`.
    pub repository: Option<String>,
    /// Title of its task.
    pub title: String,
    /// 0 to 10.
    pub priority: i16,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// Sequence of its last event.
    pub version: i64,
    /// A `Status` in words.
    pub status: String,
    /// Its current branch.
    pub branch: i32,
    /// 0 to 1.
    pub progress: f32,
    /// When its last event was appended.
    pub updated_at: DateTime<Utc>,
    /// When its first stage started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The worker that holds it.
    pub worker_id: Option<Uuid>,
}

/// What a list is narrowed to; `None` everywhere is everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these statuses; empty: all.
    pub status: Vec<Status>,
    /// Only this workflow.
    pub workflow: Option<String>,
    /// Only this repository.
    pub repository: Option<String>,
    /// Only those requested since then.
    pub since: Option<DateTime<Utc>>,
    /// At most this many, the newest first. Default 50.
    pub limit: Option<i64>,
}

/// An event with its envelope.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its number in the stream.
    pub sequence: u64,
    /// Its id.
    pub event_id: Uuid,
    /// The branch it is on.
    pub branch: u32,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who caused it.
    pub actor: String,
    /// Its JSON as it was hashed.
    pub payload: String,
    /// Its link in the chain.
    pub hash: [u8; 32],
    /// The lane it came through.
    pub lane: i16,
    /// Its number in the lane.
    pub lane_sequence: i64,
}

impl Stored {
    /// The event and when it happened.
    pub fn happened(&self) -> Result<Happened, StoreError> {
        let event: Event =
            serde_json::from_str(&self.payload).map_err(|e| StoreError::Unreadable {
                what: format!("event {} ({})", self.sequence, self.event_id),
                reason: e.to_string(),
            })?;
        Ok(Happened { at: self.at, event })
    }
}

/// An execution as it stands.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The execution.
    pub execution_id: Uuid,
    /// Its state after its last event.
    pub state: Execution,
    /// Hash of its last event.
    pub head_hash: [u8; 32],
}

impl Loaded {
    fn empty(execution_id: Uuid) -> Self {
        Loaded { execution_id, state: Execution::default(), head_hash: GENESIS }
    }

    /// Folds a further event of the same stream.
    pub fn fold(&mut self, stored: &Stored) -> Result<Happened, StoreError> {
        let happened = stored.happened()?;
        evolve(&mut self.state, &happened);
        self.head_hash = stored.hash;
        Ok(happened)
    }
}

/// One look per execution: each goes to the part of its month and to no other, as `= any` would not.
const EVENTS: &str = r"/* events of streams */
select e.*
  from unnest($1::uuid[]) as i (id) cross join lateral (
       select execution_id, sequence, event_id, branch, at, actor, payload::text as payload, hash,
              lane, lane_sequence
         from events where execution_id = i.id and sequence > $2 order by sequence limit $3) e";

#[derive(FromRow)]
struct EventRow {
    execution_id: Uuid,
    sequence: i64,
    event_id: Uuid,
    branch: i32,
    at: DateTime<Utc>,
    actor: String,
    payload: String,
    hash: Vec<u8>,
    lane: i16,
    lane_sequence: i64,
}

impl EventRow {
    fn stored(self) -> Result<(Uuid, Stored), StoreError> {
        let hash = self.hash.try_into().map_err(|_| StoreError::Unreadable {
            what: format!("hash of event {} of execution {}", self.sequence, self.execution_id),
            reason: "it is not 32 bytes long".to_owned(),
        })?;
        let stored = Stored {
            sequence: self.sequence as u64,
            event_id: self.event_id,
            branch: self.branch as u32,
            at: self.at,
            actor: self.actor,
            payload: self.payload,
            hash,
            lane: self.lane,
            lane_sequence: self.lane_sequence,
        };
        Ok((self.execution_id, stored))
    }
}

const COLUMNS: &str = "execution_id, task_id, workflow, workflow_version, repository, title, priority, \
                       requested_at, version, status, branch, progress, updated_at, started_at, \
                       finished_at, worker_id";

impl Store {
    /// Events of one execution after `after`, oldest first.
    pub async fn events(
        &self,
        execution_id: Uuid,
        after: u64,
        limit: i64,
    ) -> Result<Vec<Stored>, StoreError> {
        let rows = self.event_rows(&[execution_id], after, limit).await?;
        if rows.is_empty() && after == 0 {
            self.refuse_archived(execution_id).await?;
        }
        Ok(rows.into_iter().map(|(_, stored)| stored).collect())
    }

    /// One execution, folded from its whole stream.
    pub async fn load(&self, execution_id: Uuid) -> Result<Loaded, StoreError> {
        let found = self.load_many(&[execution_id]).await?.pop();
        if found.is_none() {
            self.refuse_archived(execution_id).await?;
        }
        let id = execution_id.to_string();
        found.ok_or(StoreError::NotFound { what: "execution", id })
    }

    /// Several executions in one round trip; those that do not exist are left out.
    pub async fn load_many(&self, ids: &[Uuid]) -> Result<Vec<Loaded>, StoreError> {
        let mut loaded: Vec<Loaded> = Vec::with_capacity(ids.len());
        for (id, stored) in self.event_rows(ids, 0, i64::MAX).await? {
            if loaded.last().is_none_or(|l| l.execution_id != id) {
                loaded.push(Loaded::empty(id));
            }
            if let Some(last) = loaded.last_mut() {
                last.fold(&stored)?;
            }
        }
        Ok(loaded)
    }

    async fn event_rows(
        &self,
        ids: &[Uuid],
        after: u64,
        limit: i64,
    ) -> Result<Vec<(Uuid, Stored)>, StoreError> {
        // In order and each once; an execution's events come out in order by themselves.
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut rows: Vec<EventRow> = sqlx::query_as(EVENTS)
            .bind(ids)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.sort_by_key(|r| (r.execution_id, r.sequence));
        rows.into_iter().map(EventRow::stored).collect()
    }

    /// Summary rows, the newest first.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<ExecutionRow>, StoreError> {
        let statement = format!(
            "/* list executions */ select {COLUMNS} from executions
              where (cardinality($1::text[]) = 0 or status = any($1))
                and ($2::text is null or workflow = $2)
                and ($3::text is null or repository = $3)
                and ($4::timestamptz is null or requested_at >= $4)
              order by execution_id desc limit $5"
        );
        let statuses: Vec<&str> = filter.status.iter().map(|s| s.as_str()).collect();
        let rows = sqlx::query_as(&statement)
            .bind(statuses)
            .bind(&filter.workflow)
            .bind(&filter.repository)
            .bind(filter.since)
            .bind(filter.limit.unwrap_or(50))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// The summary row of one execution.
    pub async fn execution_row(&self, id: Uuid) -> Result<ExecutionRow, StoreError> {
        let statement =
            format!("/* execution */ select {COLUMNS} from executions where execution_id = $1");
        let row = sqlx::query_as(&statement).bind(id).fetch_optional(&self.pool).await?;
        row.ok_or(StoreError::NotFound { what: "execution", id: id.to_string() })
    }

    /// The newest execution of a task that is nobody's child.
    pub async fn newest_execution(&self, task_id: Uuid) -> Result<Uuid, StoreError> {
        let statement = "/* newest execution */ select execution_id from executions
                          where task_id = $1
                            and not exists (select from children where child_id = execution_id)
                          order by execution_id desc limit 1";
        let id = sqlx::query_scalar(statement).bind(task_id).fetch_optional(&self.pool).await?;
        id.ok_or(StoreError::NotFound { what: "execution of task", id: task_id.to_string() })
    }

    /// An execution by whole id, by any unambiguous fragment of 6 or more characters, or `@last`.
    pub async fn find_execution(&self, text: &str) -> Result<Uuid, StoreError> {
        self.find_id("execution", text).await
    }

    /// A task by whole id, fragment, or `@last`.
    pub async fn find_task(&self, text: &str) -> Result<Uuid, StoreError> {
        self.find_id("task", text).await
    }

    async fn find_id(&self, what: &'static str, text: &str) -> Result<Uuid, StoreError> {
        let not_found = || StoreError::NotFound { what, id: text.to_owned() };
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(id);
        }
        let table = format!("{what}s");
        let column = format!("{what}_id");
        if text == "@last" {
            let statement =
                format!("/* last */ select {column} from {table} order by {column} desc limit 1");
            let id = sqlx::query_scalar(&statement).fetch_optional(&self.pool).await?;
            return id.ok_or_else(not_found);
        }
        let is_fragment =
            text.len() >= 6 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !is_fragment {
            return Err(not_found());
        }
        let statement = format!(
            "/* by fragment */ select {column} from {table} where {column}::text like '%' || $1 || '%' limit 10"
        );
        let found: Vec<Uuid> =
            sqlx::query_scalar(&statement).bind(text.to_lowercase()).fetch_all(&self.pool).await?;
        match found.as_slice() {
            [] => Err(not_found()),
            [one] => Ok(*one),
            many => Err(StoreError::Ambiguous { what, id: text.to_owned(), count: many.len() }),
        }
    }
}

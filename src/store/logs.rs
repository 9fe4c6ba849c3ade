//! Logs of attempts, in chunks.

use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// Chunks that are read at once.
pub const LOG_PAGE: usize = 1_000;

/// A piece of the log of an attempt.
#[derive(Clone, Debug, FromRow, PartialEq)]
pub struct LogChunk {
    /// The execution.
    pub execution_id: Uuid,
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: i32,
    /// Its number within the attempt, from 0.
    pub chunk: i32,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The text; never a NUL, which Postgres cannot store.
    pub content: String,
}

/// A repeat after a lost answer is harmless.
const WRITE: &str = r"/* write logs */
insert into stage_logs (execution_id, stage, attempt, chunk, at, content)
select * from unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::timestamptz[], $6::text[])
on conflict do nothing";

/// Keyset over (at, stage, attempt, chunk): a follower asks for what lies behind what it has seen.
const READ: &str = r"/* read logs */
select execution_id, stage, attempt, chunk, at, content
  from stage_logs
 where execution_id = $1
   and ($2::text is null or stage = $2)
   and ($3::timestamptz is null or (at, stage, attempt, chunk) > ($3, $4, $5, $6))
 order by at, stage, attempt, chunk
 limit $7";

const ATTEMPT: &str = r"/* log of an attempt */
select execution_id, stage, attempt, chunk, at, content
  from stage_logs where execution_id = $1 and stage = $2 and attempt = $3 order by chunk";

impl Store {
    /// Every chunk of one attempt.
    pub async fn attempt_log(
        &self,
        execution_id: Uuid,
        stage: &str,
        attempt: u32,
    ) -> Result<Vec<LogChunk>, StoreError> {
        let rows = sqlx::query_as(ATTEMPT)
            .bind(execution_id)
            .bind(stage)
            .bind(attempt as i32)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Stores chunks.
    pub async fn write_logs(&self, chunks: &[LogChunk]) -> Result<(), StoreError> {
        if chunks.is_empty() {
            return Ok(());
        }
        sqlx::query(WRITE)
            .bind(chunks.iter().map(|c| c.execution_id).collect::<Vec<_>>())
            .bind(chunks.iter().map(|c| c.stage.as_str()).collect::<Vec<_>>())
            .bind(chunks.iter().map(|c| c.attempt).collect::<Vec<_>>())
            .bind(chunks.iter().map(|c| c.chunk).collect::<Vec<_>>())
            .bind(chunks.iter().map(|c| c.at).collect::<Vec<_>>())
            .bind(chunks.iter().map(|c| c.content.as_str()).collect::<Vec<_>>())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Chunks of an execution in the order of writing, after `after`; at most `LOG_PAGE`.
    pub async fn logs(
        &self,
        execution_id: Uuid,
        stage: Option<&str>,
        after: Option<&LogChunk>,
    ) -> Result<Vec<LogChunk>, StoreError> {
        let rows: Vec<LogChunk> = sqlx::query_as(READ)
            .bind(execution_id)
            .bind(stage)
            .bind(after.map(|c| c.at))
            .bind(after.map_or("", |c| &c.stage))
            .bind(after.map_or(0, |c| c.attempt))
            .bind(after.map_or(0, |c| c.chunk))
            .bind(LOG_PAGE as i64)
            .fetch_all(&self.pool)
            .await?;
        if rows.is_empty() && after.is_none() {
            self.refuse_archived(execution_id).await?;
        }
        Ok(rows)
    }
}

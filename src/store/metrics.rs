//! Current figures over all executions.

use super::connect::Store;
use super::error::StoreError;
use serde::Serialize;

/// Current figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, sqlx::FromRow)]
pub struct Metrics {
    /// Executions that have ended.
    pub tasks_processed: i64,
    /// Of those, completed.
    pub tasks_succeeded: i64,
    /// Of those, failed.
    pub tasks_failed: i64,
    /// Of those, cancelled.
    pub tasks_cancelled: i64,
    /// Completed over completed and failed; none before the first.
    pub success_rate: Option<f64>,
    /// Failed over completed and failed; none before the first.
    pub failure_rate: Option<f64>,
    /// From first start to end of completed and failed ones, in ms.
    pub avg_execution_ms: Option<f64>,
    /// The same, median.
    pub p50_execution_ms: Option<f64>,
    /// The same, 95th percentile.
    pub p95_execution_ms: Option<f64>,
    /// Executions that a worker holds.
    pub active_executions: i64,
    /// Executions that could be worked on and that nobody holds.
    pub queue_depth: i64,
}

const METRICS: &str = r"/* metrics */
with ended as (
    select status, extract(epoch from finished_at - started_at) * 1000 as ms
      from executions where finished_at is not null
), sums as (
    select count(*) as processed,
           count(*) filter (where status = 'completed') as completed,
           count(*) filter (where status = 'failed') as failed,
           count(*) filter (where status = 'cancelled') as cancelled,
           avg(ms) filter (where status <> 'cancelled') as avg_ms,
           percentile_cont(array[0.5, 0.95]) within group (order by ms)
               filter (where status <> 'cancelled') as percentiles
      from ended
)
select processed as tasks_processed, completed as tasks_succeeded, failed as tasks_failed,
       cancelled as tasks_cancelled,
       completed::float8 / nullif(completed + failed, 0) as success_rate,
       failed::float8 / nullif(completed + failed, 0) as failure_rate,
       avg_ms::float8 as avg_execution_ms,
       percentiles[1]::float8 as p50_execution_ms,
       percentiles[2]::float8 as p95_execution_ms,
       (select count(*) from executions where worker_id is not null) as active_executions,
       (select count(*) from queue where ready) as queue_depth
  from sums";

const COUNT: &str = "/* count events */ select count(*) from events where type = $1";

const ENDED: &str =
    "/* count ended */ select count(*) from executions where finished_at is not null";

impl Store {
    /// Events of one name, over all executions; reads all of them.
    pub async fn count_events(&self, name: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(COUNT).bind(name).fetch_one(&self.pool).await?)
    }

    /// Executions that have ended; reads all of them.
    pub async fn count_ended(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(ENDED).fetch_one(&self.pool).await?)
    }

    /// Current figures.
    pub async fn metrics(&self) -> Result<Metrics, StoreError> {
        Ok(sqlx::query_as(METRICS).fetch_one(&self.pool).await?)
    }
}

//! Current figures over all executions.

use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// Current figures of the executions and of the database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, sqlx::FromRow)]
pub struct Metrics {
    /// Executions that have ended, of those requested in the window (`METRICS_WINDOW`).
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
    /// Executions that a worker holds, whenever requested.
    pub active_executions: i64,
    /// Executions that could be worked on and that nobody holds, whenever requested.
    pub queue_depth: i64,
    /// Workers with a sign of life within their lease.
    pub workers_alive: i64,
    /// Workers without one that nobody has declared dead yet.
    pub workers_silent: i64,
    /// Size of the database, in bytes.
    pub database_bytes: i64,
    /// Connections of clients to the server, of all databases.
    pub connections_used: i64,
    /// Connections that the server allows.
    pub connections_max: i64,
}

/// Ids sort by the time of the request, so that a window is a range of the primary key.
const METRICS: &str = r"/* metrics */
with ended as (
    select status, extract(epoch from finished_at - started_at) * 1000 as ms
      from executions where execution_id >= $1 and finished_at is not null
), sums as (
    select count(*) as processed,
           count(*) filter (where status = 'completed') as completed,
           count(*) filter (where status = 'failed') as failed,
           count(*) filter (where status = 'cancelled') as cancelled,
           avg(ms) filter (where status <> 'cancelled') as avg_ms,
           percentile_cont(array[0.5, 0.95]) within group (order by ms)
               filter (where status <> 'cancelled') as percentiles
      from ended
), lives as (
    select count(*) filter (where is_alive) as alive, count(*) filter (where not is_alive) as silent
      from (select heartbeat_at >= clock_timestamp() - lease_ms * interval '1 millisecond' as is_alive
              from workers) w
)
select processed as tasks_processed, completed as tasks_succeeded, failed as tasks_failed,
       cancelled as tasks_cancelled,
       completed::float8 / nullif(completed + failed, 0) as success_rate,
       failed::float8 / nullif(completed + failed, 0) as failure_rate,
       avg_ms::float8 as avg_execution_ms,
       percentiles[1]::float8 as p50_execution_ms,
       percentiles[2]::float8 as p95_execution_ms,
       (select count(*) from executions where worker_id is not null) as active_executions,
       (select count(*) from queue where ready) as queue_depth,
       alive as workers_alive, silent as workers_silent,
       pg_database_size(current_database()) as database_bytes,
       (select count(*) from pg_stat_activity where backend_type = 'client backend')
           as connections_used,
       current_setting('max_connections')::bigint as connections_max
  from sums, lives";

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
        Ok(sqlx::query_scalar(ENDED).fetch_one(&self.pool.patient()).await?)
    }

    /// Current figures. Ends and times are those of executions requested since `since`; none: of all,
    /// which reads every execution.
    pub async fn metrics(&self, since: Option<DateTime<Utc>>) -> Result<Metrics, StoreError> {
        let first = since.map_or(Uuid::nil(), first_id);
        Ok(sqlx::query_as(METRICS).bind(first).fetch_one(&self.pool.patient()).await?)
    }
}

/// The lowest id that an execution requested at this time can have.
fn first_id(at: DateTime<Utc>) -> Uuid {
    let ms = u128::try_from(at.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(ms << 80)
}

//! Workers: registration, heartbeat, and what becomes of the executions of a dead one.
//!
//! Leases are judged by the database's clock alone, so that no two machines' clocks are compared.

use super::connect::Store;
use super::error::StoreError;
use crate::workflow::resources::Offer;
use chrono::{DateTime, Utc};
use sqlx::FromRow;
use std::time::Duration;
use uuid::Uuid;

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// New for every process and every life after a lost lease.
    pub worker_id: Uuid,
    /// For people.
    pub name: String,
    /// Identity of the machine; two workers with the same one can see each other's lock files.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// A file that the process holds locked while it lives.
    pub lock_file: String,
    /// Executions it takes at once.
    pub slots: u32,
    /// What it offers.
    pub offer: Offer,
    /// Without a sign of life for this long it is dead. Others judge it by this, not by their own.
    pub lease: Duration,
}

/// A worker as the database knows it.
#[derive(Clone, Debug, FromRow)]
pub struct WorkerRow {
    /// The worker.
    pub worker_id: Uuid,
    /// For people.
    pub name: String,
    /// Identity of its machine.
    pub host: String,
    /// Process id.
    pub pid: i32,
    /// A file that the process holds locked while it lives.
    pub lock_file: String,
    /// Executions it takes at once.
    pub slots: i32,
    /// What it offers.
    pub labels: Vec<String>,
    /// Processors that it offers; none: it does not say.
    pub cpu: Option<f64>,
    /// Memory that it offers, in MiB; none: it does not say.
    pub memory_mb: Option<i64>,
    /// Version of its program.
    pub version: String,
    /// When it registered.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub heartbeat_at: DateTime<Utc>,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// Executions it holds.
    pub holds: i64,
}

const REGISTER: &str = r"/* register worker */
insert into workers (worker_id, name, host, pid, lock_file, slots, labels, version, lease_ms,
                     cpu, memory_mb)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Heartbeat, and in the same round trip the versions of what we hold: who else appended to it?
const BEAT: &str = r"/* heartbeat */
with beat as (
    update workers set heartbeat_at = clock_timestamp(), draining = $2
     where worker_id = $1 returning worker_id
)
select e.execution_id, e.version
  from beat left join executions e on e.worker_id = beat.worker_id";

const LIST: &str = r"/* workers */
select w.worker_id, w.name, w.host, w.pid, w.lock_file, w.slots, w.labels, w.cpu, w.memory_mb, w.version, w.started_at,
       w.heartbeat_at, w.draining,
       (select count(*) from executions e where e.worker_id = w.worker_id) as holds
  from workers w order by w.started_at";

const SUSPECTS: &str = r"/* suspects */
select worker_id, host, lock_file,
       heartbeat_at < clock_timestamp() - lease_ms * interval '1 millisecond' as lapsed
  from workers where worker_id <> $1";

/// The worker's row goes and its executions are queued, in one statement: from here on its fences
/// prove nothing. `lapsed` is checked again, because it may have come back to life meanwhile.
const BURY: &str = r"/* bury worker */
with dead as (
    delete from workers
     where worker_id = $1
       and ($2 or heartbeat_at < clock_timestamp() - lease_ms * interval '1 millisecond')
    returning worker_id
), freed as (
    update executions e set worker_id = null, fence = null
      from dead where e.worker_id = dead.worker_id
    returning e.execution_id, e.priority
), queued as (
    insert into queue (execution_id, ready, priority, wake_at)
    select execution_id, true, priority, clock_timestamp() from freed
    on conflict (execution_id) do update set ready = true
)
select count(*) from freed";

/// Executions whose worker has no row at all: registered nowhere, so nobody would ever free them.
const ORPHANS: &str = r"/* orphans */
with freed as (
    update executions e set worker_id = null, fence = null
     where e.worker_id is not null
       and not exists (select from workers w where w.worker_id = e.worker_id)
    returning e.execution_id, e.priority
), queued as (
    insert into queue (execution_id, ready, priority, wake_at)
    select execution_id, true, priority, clock_timestamp() from freed
    on conflict (execution_id) do update set ready = true
)
select count(*) from freed";

/// Executions that a living worker holds by the database's word, and that it knows nothing of: the
/// answer to its claim was lost.
const STRANDED: &str = r"/* stranded */
with freed as (
    update executions set worker_id = null, fence = null
     where worker_id = $1 and execution_id = any($2)
    returning execution_id, priority
)
insert into queue (execution_id, ready, priority, wake_at)
select execution_id, true, priority, clock_timestamp() from freed
on conflict (execution_id) do update set ready = true";

impl WorkerRow {
    /// What it offers.
    pub fn offer(&self) -> Offer {
        let memory_mb = self.memory_mb.and_then(|n| u64::try_from(n).ok());
        Offer { labels: self.labels.clone(), cpu: self.cpu, memory_mb }
    }
}

/// Another worker, and what is known of its life.
#[derive(Clone, Debug, FromRow)]
pub struct Suspect {
    /// The worker.
    pub worker_id: Uuid,
    /// Identity of its machine.
    pub host: String,
    /// The file that it would hold locked.
    pub lock_file: String,
    /// Whether its heartbeat is older than the lease.
    pub lapsed: bool,
}

impl Store {
    /// Makes a worker known.
    pub async fn register_worker(&self, worker: &Registration) -> Result<(), StoreError> {
        sqlx::query(REGISTER)
            .bind(worker.worker_id)
            .bind(&worker.name)
            .bind(&worker.host)
            .bind(worker.pid as i32)
            .bind(&worker.lock_file)
            .bind(worker.slots as i32)
            .bind(&worker.offer.labels)
            .bind(env!("CARGO_PKG_VERSION"))
            .bind(i64::try_from(worker.lease.as_millis()).unwrap_or(i64::MAX))
            .bind(worker.offer.cpu)
            .bind(worker.offer.memory_mb.and_then(|n| i64::try_from(n).ok()))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A sign of life. `None`: we were declared dead; else the versions of the executions we hold.
    pub async fn beat(
        &self,
        worker: Uuid,
        draining: bool,
    ) -> Result<Option<Vec<(Uuid, u64)>>, StoreError> {
        let rows: Vec<(Option<Uuid>, Option<i64>)> =
            sqlx::query_as(BEAT).bind(worker).bind(draining).fetch_all(&self.pool).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let held = rows.into_iter().filter_map(|(id, v)| Some((id?, v? as u64)));
        Ok(Some(held.collect()))
    }

    /// Every other worker, with whether its lease has lapsed.
    pub async fn suspects(&self, me: Uuid) -> Result<Vec<Suspect>, StoreError> {
        Ok(sqlx::query_as(SUSPECTS).bind(me).fetch_all(&self.pool).await?)
    }

    /// Declares a worker dead: `proven`, or if its lease has lapsed. Says how many executions it freed.
    pub async fn bury_worker(&self, worker: Uuid, proven: bool) -> Result<u64, StoreError> {
        let freed: i64 =
            sqlx::query_scalar(BURY).bind(worker).bind(proven).fetch_one(&self.pool).await?;
        Ok(freed as u64)
    }

    /// Frees executions that `worker` holds without knowing.
    pub async fn free_stranded(&self, worker: Uuid, ids: &[Uuid]) -> Result<u64, StoreError> {
        let done = sqlx::query(STRANDED).bind(worker).bind(ids).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    /// Frees executions whose worker is not registered any more.
    pub async fn free_orphans(&self) -> Result<u64, StoreError> {
        let freed: i64 = sqlx::query_scalar(ORPHANS).fetch_one(&self.pool).await?;
        Ok(freed as u64)
    }

    /// Every worker.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        Ok(sqlx::query_as(LIST).fetch_all(&self.pool).await?)
    }
}

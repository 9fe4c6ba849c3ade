//! The queue: executions that nobody holds and that something may be done for.
//!
//! A claim takes rows out of the queue and gives each execution to a worker under a new random
//! fence, in one statement. The event that says so is the worker's own first append.

use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// An execution that is ours now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The execution.
    pub execution_id: Uuid,
    /// The proof that it is ours.
    pub fence: Uuid,
}

/// Sleepers whose time has come become ready. Bounded, so that a million at once cost many short
/// statements and not a long one.
const RING: &str = r"/* ring */
update queue set ready = true
 where execution_id in (select execution_id from queue
                         where not ready and wake_at <= $1
                         order by wake_at limit 1000 for update skip locked)";

/// `skip locked`: claimers wait neither for each other nor for an append. Both rows are locked in one
/// go: an append locks the execution first and the queue after it, and must never wait for us in the
/// other order. An execution that somebody holds although it stands in the queue is left alone. A worker that was declared dead gets nothing, though it may not know yet.
const CLAIM: &str = r"/* claim */
with picked as (
    select execution_id, row_number() over () as place
      from (select q.execution_id
              from queue q join executions e using (execution_id)
             where q.ready and e.worker_id is null and ($4::uuid is null or q.execution_id = $4)
               and exists (select from workers where worker_id = $1)
             order by q.priority desc, q.wake_at limit $2 for update of q, e skip locked) p
), taken as (
    delete from queue using picked where queue.execution_id = picked.execution_id
)
update executions e
   set worker_id = $1, fence = f.fence
  from picked join unnest($3::uuid[]) with ordinality as f (fence, place) using (place)
 where e.execution_id = picked.execution_id and e.worker_id is null
returning e.execution_id, e.fence";

const FREE: &str = r"/* free execution */
with freed as (
    update executions set worker_id = null, fence = null
     where execution_id = $1 and fence = $2
    returning execution_id, priority
)
insert into queue (execution_id, ready, priority, wake_at)
select execution_id, false, priority, $3 from freed
on conflict (execution_id) do nothing";

impl Store {
    /// Takes up to `count` executions for `worker`, the most urgent first; with `only`, that one.
    pub async fn claim(
        &self,
        worker: Uuid,
        count: usize,
        only: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        sqlx::query(RING).bind(now).execute(&self.pool).await?;
        let fences: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(CLAIM)
            .bind(worker)
            .bind(count as i64)
            .bind(fences)
            .bind(only)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(execution_id, fence)| Claimed { execution_id, fence }).collect())
    }

    /// Puts a claimed execution back, as it is, to be taken up at `not_before`; for a driver
    /// that could not go on. Harmless when somebody else has it already.
    pub async fn free_execution(
        &self,
        claimed: Claimed,
        not_before: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(FREE)
            .bind(claimed.execution_id)
            .bind(claimed.fence)
            .bind(not_before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

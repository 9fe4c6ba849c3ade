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
///
/// Each need is a line of its own in the index. Of every line that the worker can serve the first are
/// looked at, so that rows for others are never read, however many stand there.
const CLAIM: &str = r"/* claim */
with picked as (
    select execution_id, row_number() over (order by position) as place
      from unnest($5::text[]) as line (needs)
     cross join lateral (
           select q.execution_id, q.position
             from queue q join executions e using (execution_id)
            where q.ready and q.needs = line.needs and e.worker_id is null
              and ($4::uuid is null or q.execution_id = $4
                   or exists (select from children c
                               where c.child_id = q.execution_id and c.root_id = $4))
              and exists (select from workers where worker_id = $1)
            order by q.position limit $2 for update of q, e skip locked) p
     order by position limit $2
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

/// The needs that stand in the queue, found by leaps through the index: one per value.
const NEEDS: &str = r"/* needs in the queue */
with recursive line as (
    (select needs from queue where ready and needs > '' order by needs limit 1)
    union all
    select (select q.needs from queue q where q.ready and q.needs > line.needs
             order by q.needs limit 1)
      from line where line.needs is not null
)
select needs from line where needs is not null limit $1";

/// More kinds of need than this are not looked at in one go.
const NEEDS_MAX: i64 = 1_000;

/// What executions need that were just queued; together with the append that queued them.
pub(super) const SET_NEEDS: &str = r"/* set needs */
update queue q set needs = i.needs
  from unnest($1::uuid[], $2::text[]) as i (execution_id, needs)
 where q.execution_id = i.execution_id and q.needs <> i.needs";

/// A statement of the queue by the name that it begins with, for whoever asks for its plan.
pub fn statement(name: &str) -> Option<&'static str> {
    let is_it = |s: &&str| s.strip_prefix("/* ").is_some_and(|rest| rest.starts_with(name));
    [RING, CLAIM, NEEDS, FREE].into_iter().find(is_it)
}

impl Store {
    /// Takes up to `count` executions that every worker can serve, the most urgent first; with
    /// `only`, that one.
    pub async fn claim(
        &self,
        worker: Uuid,
        count: usize,
        only: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.claim_for(worker, count, only, &[String::new()], now).await
    }

    /// The same for a worker that meets these needs; the empty one is what everybody meets.
    pub async fn claim_for(
        &self,
        worker: Uuid,
        count: usize,
        only: Option<Uuid>,
        needs: &[String],
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        sqlx::query(RING).bind(now).execute(&self.pool).await?;
        let fences: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(CLAIM)
            .bind(worker)
            .bind(count as i64)
            .bind(fences)
            .bind(only)
            .bind(needs)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(execution_id, fence)| Claimed { execution_id, fence }).collect())
    }

    /// What the executions that are ready need of a worker, beyond what every worker offers.
    pub async fn queued_needs(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(NEEDS).bind(NEEDS_MAX).fetch_all(&self.pool).await?)
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

//! Permits: keys that stages hold while they run, limited across all workers.
//!
//! A permit is taken before the start of its stage is durable, and given back after its end is. Every
//! statement that takes or gives back locks the rows of its keys first, in the order of the keys, and
//! counts in those rows: a count of permits could be older than the lock. A permit is worth as much as
//! its fence, so that a worker that is dead or late can hold nothing for good.

use super::connect::Store;
use super::error::StoreError;
use super::queue::Claimed;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// A stage that wants to hold keys.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Its execution and the proof that it is ours.
    pub claimed: Claimed,
    /// Its worker.
    pub worker: Uuid,
    /// Its name.
    pub stage: &'a str,
    /// What it wants to hold, all or nothing; sorted, each once.
    pub keys: &'a [String],
    /// Priority of its execution.
    pub priority: u8,
}

/// A stage that waits for a key, and who holds it.
#[derive(Clone, Debug, FromRow)]
pub struct Waiting {
    /// The execution.
    pub execution_id: Uuid,
    /// The stage.
    pub stage: String,
    /// The key.
    pub key: String,
    /// How many may hold it at once.
    pub at_most: i32,
    /// `key`, `rate_limit` or `circuit`.
    pub kind: String,
    /// Until when, for the latter two.
    pub until: Option<DateTime<Utc>>,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// Executions and stages that hold the key, for people; at most five.
    pub holders: Option<String>,
}

/// A waiter that was woken goes before others for this long.
const HEAD_START: TimeDelta = TimeDelta::seconds(5);

/// A permit whose fence is void for this long is given back, though nobody took its execution over.
const DEAD_FOR: TimeDelta = TimeDelta::seconds(60);

const KNOW: &str = r"/* know keys */
insert into permit_keys (key) select unnest($1::text[]) on conflict do nothing";

/// All keys or none. A key counts as free for the one who holds it already (its answer was lost), and
/// as taken by those who were woken for it and have not come yet.
const ACQUIRE: &str = r"/* acquire permits */
with locked as (
    select key, taken from permit_keys where key = any($1) order by key for update
), judged as (
    select w.key, l.key is not null as is_known,
           l.taken + (select count(*) from waits o
                       where o.key = w.key and o.woken_until > $6 and o.execution_id <> $2)
               < at_most(w.key)
           or exists (select from permits p
                       where p.key = w.key and p.execution_id = $2 and p.stage = $3
                         and p.fence = $4) as is_free
      from unnest($1::text[]) as w (key) left join locked l using (key)
), verdict as (
    select bool_and(is_known and is_free)
           and exists (select from executions where execution_id = $2 and fence = $4) as is_granted
      from judged
), taken as (
    insert into permits (key, execution_id, stage, fence, worker_id, since)
    select key, $2, $3, $4, $5, $6 from judged, verdict where is_granted
    on conflict do nothing returning key
), counted as (
    update permit_keys k set taken = k.taken + 1 from taken t where k.key = t.key
), served as (
    delete from waits w using judged j, verdict
     where w.execution_id = $2 and w.stage = $3 and w.key = j.key and (is_granted or is_free)
), waiting as (
    insert into waits (execution_id, stage, key, priority, since)
    select $2, $3, key, $7, $6 from judged, verdict where not is_granted and is_known and not is_free
    on conflict (execution_id, stage, key) do update set woken_until = null
)
select is_granted, (select bool_and(is_known) from judged) from verdict";

/// `$4`: those under our fence, for stages that do not run; or those under all others.
const RELEASE: &str = r"/* release permits */
with gone as (
    delete from permits
     where execution_id = $1 and (fence = $2) = $4 and (not $4 or stage <> all($3))
    returning key
), locked as (
    select key from permit_keys where key in (select key from gone) order by key for update
)
update permit_keys k set taken = k.taken - g.n
  from (select key, count(*) as n from gone group by key) g join locked using (key)
 where k.key = g.key
returning k.key";

/// The first in line for each key that has room, as many as there is room for: they become ready, or
/// their worker, if they have one, will find the key free. `$1`: these keys; null: all.
const WAKE: &str = r"/* wake waiters */
with room as (
    select k.key, at_most(k.key) - k.taken
           - (select count(*) from waits o where o.key = k.key and o.woken_until > $2) as free
      from permit_keys k
     where ($1::text[] is null or k.key = any($1))
       and exists (select from waits o where o.key = k.key)
), first as (
    select w.* from room cross join lateral (
        select w.execution_id, w.stage, w.key, w.since
          from waits w join executions e using (execution_id)
         where w.key = room.key and e.finished_at is null and e.status <> 'paused'
           and (w.woken_until is null or w.woken_until <= $2)
         order by w.position limit greatest(room.free, 0) for update of w skip locked) w
), told as (
    update waits w set woken_until = $3 from first f
     where w.execution_id = f.execution_id and w.stage = f.stage and w.key = f.key
)
update queue q set ready = true, wake_at = least(q.wake_at, f.since)
  from (select execution_id, min(since) as since from first group by execution_id) f
 where q.execution_id = f.execution_id and not q.ready";

const SWEEP: &str = r"/* sweep permits */
with void as (
    select key, execution_id, stage, fence, dead_since from permits p
     where not exists (select from executions e
                        where e.execution_id = p.execution_id and e.fence = p.fence)
), seen as (
    update permits p set dead_since = $1 from void v
     where v.dead_since is null and p.key = v.key and p.execution_id = v.execution_id
       and p.stage = v.stage and p.fence = v.fence
), gone as (
    delete from permits p using void v
     where v.dead_since < $2 and p.key = v.key and p.execution_id = v.execution_id
       and p.stage = v.stage and p.fence = v.fence
    returning p.key
), stale as (
    delete from waits w using executions e
     where e.execution_id = w.execution_id and e.finished_at is not null
), locked as (
    select key from permit_keys where key in (select key from gone) order by key for update
)
update permit_keys k set taken = k.taken - g.n
  from (select key, count(*) as n from gone group by key) g join locked using (key)
 where k.key = g.key";

const WAITING: &str = r"/* who waits for keys */
select w.execution_id, w.stage, w.key, at_most(w.key) as at_most, w.kind, w.until, w.since,
       (select string_agg(h.said, ', ')
          from (select p.execution_id || ' (stage ' || p.stage || ')' as said from permits p
                 where p.key = w.key order by p.since limit 5) h) as holders
  from waits w where w.execution_id = any($1) order by w.since";

const LIMIT: &str = r"/* replace key limits */
with gone as (delete from key_limits where pattern <> all($1::text[]))
insert into key_limits (pattern, at_most)
select * from unnest($1::text[], $2::int[])
on conflict (pattern) do update set at_most = excluded.at_most
 where key_limits.at_most <> excluded.at_most";

impl Store {
    /// Takes every key of the wish, or none: then the stage stands in line for those that it lacks.
    pub async fn acquire(&self, wish: &Wish<'_>, now: DateTime<Utc>) -> Result<bool, StoreError> {
        loop {
            let (is_granted, is_known): (bool, bool) = sqlx::query_as(ACQUIRE)
                .bind(wish.keys)
                .bind(wish.claimed.execution_id)
                .bind(wish.stage)
                .bind(wish.claimed.fence)
                .bind(wish.worker)
                .bind(now)
                .bind(i16::from(wish.priority))
                .fetch_one(&self.pool)
                .await?;
            if is_known {
                return Ok(is_granted);
            }
            sqlx::query(KNOW).bind(wish.keys).execute(&self.pool).await?;
        }
    }

    /// Gives back what stages hold that do not run any more, and wakes who waits for it.
    pub async fn release(
        &self,
        claimed: Claimed,
        running: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.give_back(claimed, running, true, now).await
    }

    /// Gives back what an execution held under its former fences.
    pub async fn release_former(
        &self,
        claimed: Claimed,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.give_back(claimed, &[], false, now).await
    }

    async fn give_back(
        &self,
        claimed: Claimed,
        running: &[String],
        is_ours: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let keys: Vec<String> = sqlx::query_scalar(RELEASE)
            .bind(claimed.execution_id)
            .bind(claimed.fence)
            .bind(running)
            .bind(is_ours)
            .fetch_all(&self.pool)
            .await?;
        if keys.is_empty() { Ok(()) } else { self.wake_waiters(Some(&keys), now).await }
    }

    /// Wakes the first in line for keys that have room. A statement of its own after the one that
    /// made room: it has to see who came in line meanwhile.
    pub async fn wake_waiters(
        &self,
        keys: Option<&[String]>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let call = sqlx::query(WAKE).bind(keys).bind(now).bind(now + HEAD_START);
        call.execute(&self.pool).await?;
        Ok(())
    }

    /// Gives back what nobody holds any more, and wakes whom nobody woke.
    pub async fn sweep_permits(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query(SWEEP).bind(now).bind(now - DEAD_FOR).execute(&self.pool).await?;
        self.wake_waiters(None, now).await
    }

    /// Stages of these executions that wait for keys, the longest first.
    pub async fn waiting(&self, ids: &[Uuid]) -> Result<Vec<Waiting>, StoreError> {
        Ok(sqlx::query_as(WAITING).bind(ids).fetch_all(&self.pool).await?)
    }

    /// Replaces the limits of keys: pattern and how many may hold such a key at once.
    pub async fn replace_key_limits(&self, limits: &[(String, u32)]) -> Result<(), StoreError> {
        sqlx::query(LIMIT)
            .bind(limits.iter().map(|(pattern, _)| pattern.as_str()).collect::<Vec<_>>())
            .bind(
                limits
                    .iter()
                    .map(|(_, n)| i32::try_from(*n).unwrap_or(i32::MAX))
                    .collect::<Vec<_>>(),
            )
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

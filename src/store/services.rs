//! Outside services: a bucket of tokens and a circuit breaker each, shared by all workers.
//!
//! A service without a row is asked as fast as one likes. Its row is locked by whoever takes a token,
//! so that no two take the same one. Times come from the caller: a clock that is ahead fills the bucket
//! early, once, and never twice.

use super::connect::Store;
use super::error::StoreError;
use super::permits::Wish;
use chrono::{DateTime, TimeDelta, Utc};

/// How fast a service may be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The service.
    pub name: String,
    /// Tokens that come per second.
    pub per_second: f64,
    /// Tokens that are kept at the most.
    pub burst: f64,
}

/// Failures in a row that open the circuit.
pub const FAILURES_MAX: i32 = 5;

/// How long an open circuit lets nobody through, and then one at a time.
pub const COOL_DOWN: TimeDelta = TimeDelta::seconds(30);

/// Those who stand in line go before those who come; a probe of an open circuit keeps it closed to
/// others for a further cool-down.
const TAKE: &str = r"/* take token */
with service as (
    select * from services where name = $1 for update
), line as (
    select count(*) filter (where not (execution_id = $2 and stage = $3)) as others,
           coalesce(bool_or(execution_id = $2 and stage = $3), false) as is_in_line
      from waits where key = 'service:' || $1
), filled as (
    select s.*, case when l.is_in_line then 0 else l.others end as ahead,
           least(s.burst, s.tokens + s.per_second *
                 greatest(0, extract(epoch from $4 - s.filled_at)::double precision)) as level
      from service s, line l
), verdict as (
    select *, case when open_until > $4 then 'circuit'
                   when not_before > $4 then 'rate_limit'
                   when per_second is not null and level < 1 + ahead then 'rate_limit'
                   else 'go' end as says,
           case when open_until > $4 then open_until
                when not_before > $4 then not_before
                else $4 + (1 + ahead - level) / per_second * interval '1 second' end as until
      from filled
), taken as (
    update services s
       set tokens = case when s.per_second is null then s.tokens else v.level - 1 end,
           filled_at = greatest(s.filled_at, $4),
           open_until = case when s.open_until is null then null else $4 + $6 end
      from verdict v where v.says = 'go' and s.name = v.name
), served as (
    delete from waits w using verdict v
     where v.says = 'go' and w.execution_id = $2 and w.stage = $3 and w.key = 'service:' || $1
), waiting as (
    insert into waits (execution_id, stage, key, priority, since, kind, until)
    select $2, $3, 'service:' || $1, $5, $4, says, until from verdict where says <> 'go'
    on conflict (execution_id, stage, key) do update
       set kind = excluded.kind, until = excluded.until
)
select case when says = 'go' then null else until end from verdict";

const FAILED: &str = r"/* service failed */
insert into services (name, failures) values ($1, 1)
on conflict (name) do update
   set failures = services.failures + 1,
       open_until = case when services.failures + 1 >= $3 then $2 + $4 else services.open_until end";

const SLOW_DOWN: &str = r"/* service asked for patience */
insert into services (name, not_before) values ($1, $2)
on conflict (name) do update set not_before = greatest(services.not_before, excluded.not_before)";

/// Whoever waited for the circuit to close goes on at once.
const ANSWERED: &str = r"/* service answered */
with closed as (
    update services set failures = 0, open_until = null
     where name = $1 and (failures > 0 or open_until is not null)
    returning name
), told as (
    select w.execution_id, w.since from waits w, closed c
     where w.key = 'service:' || c.name and w.kind = 'circuit'
)
update queue q set ready = true, wake_at = least(q.wake_at, t.since) from told t
 where q.execution_id = t.execution_id and not q.ready";

/// A bucket that is new begins full; one that is known keeps what is in it.
const RATES: &str = r"/* replace rates */
with gone as (
    update services set per_second = null where name <> all($1::text[]) and per_second is not null
)
insert into services (name, per_second, burst, tokens, filled_at)
select name, per_second, burst, burst, $4
  from unnest($1::text[], $2::float8[], $3::float8[]) as r (name, per_second, burst)
on conflict (name) do update
   set per_second = excluded.per_second, burst = excluded.burst,
       tokens = case when services.per_second is null then excluded.tokens else services.tokens end,
       filled_at = coalesce(services.filled_at, excluded.filled_at)
 where (services.per_second, services.burst) is distinct from (excluded.per_second, excluded.burst)";

/// How an attempt that asked a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answered, well or not.
    Answered,
    /// It did not, or not in time.
    Failed,
    /// It asked not to be asked before then.
    SlowDown(DateTime<Utc>),
}

impl Store {
    /// Takes a token of a service. None: go on; else the stage stands in line until then.
    pub async fn take_token(
        &self,
        service: &str,
        wish: &Wish<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let until: Option<Option<DateTime<Utc>>> = sqlx::query_scalar(TAKE)
            .bind(service)
            .bind(wish.claimed.execution_id)
            .bind(wish.stage)
            .bind(now)
            .bind(i16::from(wish.priority))
            .bind(COOL_DOWN)
            .fetch_optional(&self.pool)
            .await?;
        Ok(until.flatten())
    }

    /// Records how a service answered.
    pub async fn service_answered(
        &self,
        service: &str,
        answer: Answer,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let query = match answer {
            Answer::Answered => sqlx::query(ANSWERED).bind(service),
            Answer::Failed => {
                sqlx::query(FAILED).bind(service).bind(now).bind(FAILURES_MAX).bind(COOL_DOWN)
            }
            Answer::SlowDown(until) => sqlx::query(SLOW_DOWN).bind(service).bind(until),
        };
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// Replaces how fast services may be asked; those that are not named are free.
    pub async fn replace_rates(
        &self,
        rates: &[Rate],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(RATES)
            .bind(rates.iter().map(|r| r.name.as_str()).collect::<Vec<_>>())
            .bind(rates.iter().map(|r| r.per_second).collect::<Vec<_>>())
            .bind(rates.iter().map(|r| r.burst).collect::<Vec<_>>())
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

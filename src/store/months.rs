//! The months that the log is cut into: made ahead, looked at.
//!
//! A month in the calendar of UTC is one part of `events` and one of `stage_logs`. Making them
//! changes tables, which a function of the owner does (`create_months`, migration 9).

use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use sqlx::FromRow;

/// How many months there are ahead of the current one.
const AHEAD: u32 = 2;

/// A part of the log.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Part {
    /// The name of its table.
    pub name: String,
    /// Its range, in the words of the server.
    pub bounds: String,
    /// Bytes of its heap and indexes, without the stages' output.
    pub bytes: i64,
}

/// The parts of the log, and what lies in none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// One per month, oldest first.
    pub months: Vec<Part>,
    /// Events in the default part. More than none is an alarm: no month was made ahead for them.
    pub outside: i64,
}

const CREATE: &str = "/* create months */ select create_months($1)";

const PARTS: &str = r"/* parts of the log */
select c.relname::text as name,
       pg_get_expr(c.relpartbound, c.oid) as bounds,
       pg_total_relation_size(c.oid) as bytes
  from pg_inherits i
  join pg_class c on c.oid = i.inhrelid
 where i.inhparent = 'events'::regclass and c.relname <> 'events_default'
 order by c.relname";

const OUTSIDE: &str = "/* events of no month */ select count(*) from events_default";

impl Store {
    /// Makes this month's parts of the log and those of the next two, as far as they are missing.
    /// Says how many that were. Safe to call from many processes at once.
    pub async fn create_months(&self, now: DateTime<Utc>) -> Result<u32, StoreError> {
        let until = first_of_month(now.date_naive()) + Months::new(AHEAD);
        let made: i32 = sqlx::query_scalar(CREATE).bind(until).fetch_one(&self.pool).await?;
        Ok(made.unsigned_abs())
    }

    /// The parts of the log.
    pub async fn parts(&self) -> Result<Parts, StoreError> {
        let months = sqlx::query_as(PARTS).fetch_all(&self.pool).await?;
        let outside = sqlx::query_scalar(OUTSIDE).fetch_one(&self.pool).await?;
        Ok(Parts { months, outside })
    }
}

/// The first day of the month of a day.
pub(super) fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

//! Generations of read models: which there are, how far each has read, making and dropping them.

use super::file::File;
use crate::store::{Session, StoreError};
use chrono::{DateTime, Utc};
use sqlx::{Executor, FromRow};
use uuid::Uuid;

/// A generation and its position.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Generation {
    pub(super) name: String,
    pub(super) generation: i32,
    pub(super) state: String,
    pub(super) digest: String,
    pub(super) source: String,
    pub(super) applied: Vec<i64>,
    pub(super) target: Option<Vec<i64>>,
    pub(super) cursor: Option<Uuid>,
    pub(super) events: i64,
    pub(super) advanced_at: Option<DateTime<Utc>>,
    pub(super) stalled_since: Option<DateTime<Utc>>,
    pub(super) stall_reason: Option<String>,
    pub(super) retry_at: Option<DateTime<Utc>>,
}

impl Generation {
    /// The schema of its tables.
    pub(super) fn schema(&self) -> String {
        schema(&self.name, self.generation)
    }

    pub(super) fn file(&self) -> File {
        File { name: self.name.clone(), text: self.source.clone() }
    }

    /// Where it stands; generations at the same place can be advanced together.
    pub(super) fn position(&self) -> (&[i64], Option<&[i64]>, Option<Uuid>) {
        (&self.applied, self.target.as_deref(), self.cursor)
    }
}

pub(super) fn schema(name: &str, generation: i32) -> String {
    format!("projection_{name}_{generation}")
}

const GENERATIONS: &str = r"/* generations */
select name, generation, state, digest, source, applied, target, cursor, events, advanced_at,
       stalled_since, stall_reason, retry_at
  from projector.generations
 order by name, generation";

pub(super) async fn all(connection: &mut Session) -> Result<Vec<Generation>, sqlx::Error> {
    sqlx::query_as(GENERATIONS).fetch_all(connection).await
}

const LOCK: &str = r"/* lock generations */
select name, generation, state, digest, source, applied, target, cursor, events, advanced_at,
       stalled_since, stall_reason, retry_at
  from projector.generations
 where (name, generation) in (select * from unnest($1::text[], $2::int[]))
 order by name, generation
   for update skip locked";

/// Locks generations until the transaction ends: whoever holds the row is the one who advances it.
/// Those that somebody else holds are left out.
pub(super) async fn lock(
    connection: &mut Session,
    which: &[(String, i32)],
) -> Result<Vec<Generation>, sqlx::Error> {
    sqlx::query_as(LOCK)
        .bind(which.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>())
        .bind(which.iter().map(|(_, g)| *g).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
}

const HEADS: &str = r"/* lane heads */
select coalesce(array_agg(coalesce(l.sequence, 0) order by n), '{}')
  from generate_series(0, (select max(lane) from lanes)) as n left join lanes l on l.lane = n";

/// Where all lanes end, seen in one moment. An event is only ever appended after the one before it in
/// its stream was committed: whatever is seen up to here, its past is seen too.
pub(super) async fn heads(connection: &mut Session) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(HEADS).fetch_one(connection).await
}

/// Events between two positions.
pub(super) fn distance(from: &[i64], to: &[i64]) -> i64 {
    let before = |lane: usize| from.get(lane).copied().unwrap_or(0);
    to.iter().enumerate().map(|(lane, head)| (head - before(lane)).max(0)).sum()
}

const MOVE: &str = r"/* move generation */
update projector.generations
   set applied = $3, target = $4, cursor = $5, events = events + $6, advanced_at = $7,
       stalled_since = null, stall_reason = null, stall_count = 0, retry_at = null
 where name = $1 and generation = $2";

/// Writes where it stands now, in the transaction of its rows.
pub(super) async fn moved(
    connection: &mut Session,
    generation: &Generation,
    events: i64,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(MOVE)
        .bind(&generation.name)
        .bind(generation.generation)
        .bind(&generation.applied)
        .bind(&generation.target)
        .bind(generation.cursor)
        .bind(events)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The pause doubles with each stall in a row, from 1 s to 5 minutes.
const STALL: &str = r"/* stall generation */
update projector.generations
   set stalled_since = coalesce(stalled_since, $3), stall_reason = $4, stall_count = stall_count + 1,
       retry_at = $3 + interval '1 second' * least(300, 2 ^ least(stall_count, 9))
 where name = $1 and generation = $2";

/// Records that it cannot go on, and why.
pub(super) async fn stalled(
    connection: &mut Session,
    name: &str,
    generation: i32,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(STALL)
        .bind(name)
        .bind(generation)
        .bind(now)
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(())
}

const NEW: &str = r"/* new generation */
insert into projector.generations (name, generation, state, digest, source, created_at)
select $1, coalesce(max(generation), 0) + 1, $2, $3, $4, $5
  from projector.generations where name = $1
returning generation";

/// Makes a generation and its empty tables. The first becomes live at once: it is behind, and says so.
pub(super) async fn create(
    connection: &mut Session,
    file: &File,
    state: &str,
    now: DateTime<Utc>,
) -> Result<i32, StoreError> {
    let (tables, _) = file.parts().map_err(StoreError::Refused)?;
    let generation: i32 = sqlx::query_scalar(NEW)
        .bind(&file.name)
        .bind(state)
        .bind(file.digest())
        .bind(&file.text)
        .bind(now)
        .fetch_one(&mut *connection)
        .await?;
    let schema = schema(&file.name, generation);
    connection.execute(format!("create schema {schema}").as_str()).await?;
    set_path(connection, &schema).await?;
    connection.execute(tables).await?;
    if state == "live" {
        show(connection, &file.name, &schema).await?;
    }
    Ok(generation)
}

/// Unqualified names of the statements that follow mean the tables of a generation first. For this
/// transaction only.
pub(super) async fn set_path(connection: &mut Session, schema: &str) -> Result<(), sqlx::Error> {
    const PATH: &str = r"/* search path */
select set_config('search_path', $1 || ', ' || (
       select reset_val from pg_settings where name = 'search_path'), true)";
    sqlx::query(PATH).bind(schema).execute(connection).await?;
    Ok(())
}

/// Makes `projections.NAME` show a generation. Views over it stay: columns may be added at the end.
pub(super) async fn show(
    connection: &mut Session,
    name: &str,
    schema: &str,
) -> Result<(), StoreError> {
    let text =
        format!("create or replace view projections.{name} as select * from {schema}.{name}");
    connection.execute("savepoint shown").await?;
    let Err(error) = connection.execute(text.as_str()).await else { return Ok(()) };
    // 42P16: other columns than before. That needs another view, which nobody may build on.
    if error.as_database_error().and_then(|e| e.code()).as_deref() != Some("42P16") {
        return Err(error.into());
    }
    connection.execute("rollback to savepoint shown").await?;
    let dropped = connection.execute(format!("drop view projections.{name}").as_str()).await;
    dropped.map_err(|e| {
        StoreError::Refused(format!(
            "`{name}` has other columns now and cannot replace those that views are built on: {e}; \
             drop these views, or keep the old columns and add new ones at the end"
        ))
    })?;
    connection.execute(text.as_str()).await?;
    Ok(())
}

const RETIRE: &str = r"/* retire generation */
update projector.generations set state = 'retired', target = null, cursor = null
 where name = $1 and generation = $2";

/// Takes a generation out of use. Its tables go with `drop_tables`.
pub(super) async fn retire(
    connection: &mut Session,
    name: &str,
    generation: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(RETIRE).bind(name).bind(generation).execute(connection).await?;
    Ok(())
}

/// Drops the tables of a generation, unless somebody reads them for long: then the next one does it.
pub(super) async fn drop_tables(
    connection: &mut Session,
    name: &str,
    generation: i32,
) -> Result<(), sqlx::Error> {
    let text = format!("drop schema if exists {} cascade", schema(name, generation));
    connection.execute(text.as_str()).await?;
    Ok(())
}

const LIVE: &str = r"/* make live */
update projector.generations set state = 'live' where name = $1 and generation = $2";

/// Puts a generation in the place of the live one, in the transaction under way.
pub(super) async fn switch(
    connection: &mut Session,
    old: Option<i32>,
    new: &Generation,
) -> Result<(), StoreError> {
    if let Some(old) = old {
        retire(connection, &new.name, old).await?;
    }
    sqlx::query(LIVE).bind(&new.name).bind(new.generation).execute(&mut *connection).await?;
    show(connection, &new.name, &new.schema()).await
}

const FORGET: &str = r"/* forget generation */
delete from projector.generations where name = $1 and generation = $2";

/// Removes a generation that nobody has seen: its row and its tables.
pub(super) async fn remove(
    connection: &mut Session,
    name: &str,
    generation: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(FORGET).bind(name).bind(generation).execute(&mut *connection).await?;
    drop_tables(connection, name, generation).await
}

const GONE: &str = r"/* months that are gone */
select to_char(month, 'YYYY-MM') from archives where dropped_at is not null order by month";

/// What was archived and given up cannot be folded again: the rows that are there are all there is.
pub(super) async fn refuse_gaps(connection: &mut Session) -> Result<(), StoreError> {
    let gone: Vec<String> = sqlx::query_scalar(GONE).fetch_all(connection).await?;
    if gone.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the events of {} are in archives only and cannot be folded from there; `longhaul archive \
         restore` them first",
        gone.join(", ")
    )))
}

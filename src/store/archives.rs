//! Months of the log on their way to files and back.
//!
//! Reads a month in pages, gives it up in one transaction that holds still what it compares, and puts
//! it back in another. Knows no files. Giving up and putting back change tables: they need the owner.

use super::connect::Store;
use super::connections::{Session, Transaction};
use super::error::StoreError;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::FromRow;
use uuid::Uuid;

/// Rows that are read or written at once.
const PAGE: i64 = 2_000;

/// A month of the log that is there, as a range of ids.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct MonthRange {
    /// Its first day.
    pub month: NaiveDate,
    /// Whether it also holds everything before it.
    pub since_ever: bool,
    /// Executions from here on,
    pub first_id: Uuid,
    /// and before here.
    pub end_id: Uuid,
}

/// What is known of an archive.
#[derive(Clone, Debug, FromRow)]
pub struct ArchiveRow {
    /// Its month's first day.
    pub month: NaiveDate,
    /// The directory it was written to.
    pub place: String,
    /// Executions in it.
    pub executions: i64,
    /// Events in it.
    pub events: i64,
    /// Chunks of output in it.
    pub log_chunks: i64,
    /// When it was written.
    pub archived_at: DateTime<Utc>,
    /// By whom.
    pub archived_by: String,
    /// Since when the events are in the files only.
    pub dropped_at: Option<DateTime<Utc>>,
    /// By whom.
    pub dropped_by: Option<String>,
    /// When they last came back.
    pub restored_at: Option<DateTime<Utc>>,
}

/// A new archive.
#[derive(Clone, Debug)]
pub struct NewArchive {
    /// Its month.
    pub range: MonthRange,
    /// The directory it lies in.
    pub place: String,
    /// SHA-256 of its manifest.
    pub manifest: [u8; 32],
    /// Executions in it.
    pub executions: i64,
    /// Events in it.
    pub events: i64,
    /// Chunks of output in it.
    pub log_chunks: i64,
}

/// Where a stream ends.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct MonthHead {
    /// The execution.
    pub execution_id: Uuid,
    /// Sequence of its last event.
    pub version: i64,
    /// Hash of its last event.
    pub head_hash: Vec<u8>,
    /// A `Status` in words.
    pub status: String,
}

/// A whole row of `events`.
#[derive(Clone, Debug, FromRow)]
pub struct MonthEvent {
    /// The execution.
    pub execution_id: Uuid,
    /// Its number in the stream.
    pub sequence: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Its name.
    pub name: String,
    /// The branch it is on.
    pub branch: i32,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who caused it.
    pub actor: String,
    /// Its JSON as it was hashed.
    pub payload: String,
    /// Its link in the chain.
    pub hash: Vec<u8>,
    /// The lane it came through.
    pub lane: i16,
    /// Its number in the lane.
    pub lane_sequence: i64,
}

/// The place of a chunk in the order of a month's output.
pub type LogKey = (Uuid, String, i32, i32);

/// Executions that hold a month open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBy {
    /// How many.
    pub count: i64,
    /// The first of them, with their status.
    pub some: Vec<(Uuid, String)>,
}

const MONTHS: &str = r"/* months of the log */
select m.month, m.since_ever,
       case when m.since_ever then '00000000-0000-0000-0000-000000000000'::uuid
            else month_start_id(m.month) end as first_id,
       month_start_id((m.month + interval '1 month')::date) as end_id
  from (select to_date(right(c.relname, 7), 'YYYY_MM') as month,
               pg_get_expr(c.relpartbound, c.oid) like '%(MINVALUE)%' as since_ever
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'events'::regclass and c.relname <> 'events_default') m
 order by m.month";

const HELD_BY: &str = r"/* open executions of a month */
select execution_id, status, count(*) over () as total
  from executions
 where execution_id >= $1 and execution_id < $2
   and status not in ('completed', 'failed', 'cancelled')
 order by execution_id limit 20";

const HEADS: &str = r"/* heads of a month */
select execution_id, version, head_hash, status
  from executions
 where execution_id >= $1 and execution_id < $2 and ($3::uuid is null or execution_id > $3)
 order by execution_id limit $4";

const EVENTS: &str = r"/* events of a month */
select execution_id, sequence, event_id, type as name, branch, at, actor,
       payload::text as payload, hash, lane, lane_sequence
  from events
 where execution_id >= $1 and execution_id < $2 and (execution_id, sequence) > ($3, $4)
 order by execution_id, sequence limit $5";

const LOGS: &str = r"/* logs of a month */
select execution_id, stage, attempt, chunk, at, content
  from stage_logs
 where execution_id >= $1 and execution_id < $2
   and (execution_id, stage, attempt, chunk) > ($3, $4, $5, $6)
 order by execution_id, stage, attempt, chunk limit $7";

const NOTE: &str = r"/* note an archive */
insert into archives (month, first_id, end_id, place, manifest, executions, events, log_chunks,
                      archived_at, archived_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (month) do update
   set first_id = excluded.first_id, end_id = excluded.end_id, place = excluded.place,
       manifest = excluded.manifest, executions = excluded.executions, events = excluded.events,
       log_chunks = excluded.log_chunks, archived_at = excluded.archived_at,
       archived_by = excluded.archived_by
 where archives.dropped_at is null";

const LIST: &str = r"/* archives */
select month, place, executions, events, log_chunks, archived_at, archived_by, dropped_at,
       dropped_by, restored_at
  from archives order by month";

/// The archive that alone holds the events of an execution.
const ARCHIVE_OF: &str = r"/* archive of an execution */
select month, place from archives
 where dropped_at is not null and first_id <= $1 and end_id > $1";

const GIVE_UP: &str = r"/* note that a month is given up */
update archives set dropped_at = $2, dropped_by = $3 where month = $1 and dropped_at is null";

const PUT_BACK: &str = r"/* note that a month is back */
update archives set dropped_at = null, dropped_by = null, restored_at = $2, restored_by = $3
 where month = $1 and dropped_at is not null";

/// A month is not waited for behind somebody's long statement: everybody else would wait behind us.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '10s'";

impl Store {
    /// The months that the log has parts for, oldest first.
    pub async fn months(&self) -> Result<Vec<MonthRange>, StoreError> {
        Ok(sqlx::query_as(MONTHS).fetch_all(&self.pool).await?)
    }

    /// The executions of a month that have not ended.
    pub async fn held_by(&self, range: &MonthRange) -> Result<HeldBy, StoreError> {
        let rows: Vec<(Uuid, String, i64)> = sqlx::query_as(HELD_BY)
            .bind(range.first_id)
            .bind(range.end_id)
            .fetch_all(&self.pool)
            .await?;
        let count = rows.first().map_or(0, |r| r.2);
        Ok(HeldBy { count, some: rows.into_iter().map(|(id, status, _)| (id, status)).collect() })
    }

    /// Heads of a month behind `after`, in the order of ids; empty at the end.
    pub async fn month_heads(
        &self,
        range: &MonthRange,
        after: Option<Uuid>,
    ) -> Result<Vec<MonthHead>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(heads(&mut connection, range, after).await?)
    }

    /// Events of a month behind `after`, in the order of execution and sequence; empty at the end.
    pub async fn month_events(
        &self,
        range: &MonthRange,
        after: (Uuid, i64),
    ) -> Result<Vec<MonthEvent>, StoreError> {
        let rows = sqlx::query_as(EVENTS)
            .bind(range.first_id)
            .bind(range.end_id)
            .bind(after.0)
            .bind(after.1)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Output of a month behind `after`, in the order of its key; empty at the end.
    pub async fn month_logs(
        &self,
        range: &MonthRange,
        after: &LogKey,
    ) -> Result<Vec<super::LogChunk>, StoreError> {
        let rows = sqlx::query_as(LOGS)
            .bind(range.first_id)
            .bind(range.end_id)
            .bind(after.0)
            .bind(&after.1)
            .bind(after.2)
            .bind(after.3)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Notes that a month was written to files. Changes nothing if it is there no more.
    pub async fn note_archive(
        &self,
        new: &NewArchive,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query(NOTE)
            .bind(new.range.month)
            .bind(new.range.first_id)
            .bind(new.range.end_id)
            .bind(&new.place)
            .bind(new.manifest.as_slice())
            .bind(new.executions)
            .bind(new.events)
            .bind(new.log_chunks)
            .bind(now)
            .bind(actor)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every archive that was noted.
    pub async fn archives(&self) -> Result<Vec<ArchiveRow>, StoreError> {
        Ok(sqlx::query_as(LIST).fetch_all(&self.pool).await?)
    }

    /// An error that says where the events of an execution are, if an archive alone has them.
    pub(super) async fn refuse_archived(&self, id: Uuid) -> Result<(), StoreError> {
        let row: Option<(NaiveDate, String)> =
            sqlx::query_as(ARCHIVE_OF).bind(id).fetch_optional(&self.pool).await?;
        row.map_or(Ok(()), |(month, place)| {
            let month = month.format("%Y-%m").to_string();
            Err(StoreError::Archived { id, month, place })
        })
    }

    /// Empties the parts of a month and closes them, if every stream in it has ended and `archived`
    /// (the heads in the archive, in the order of ids) and `log_chunks` are what is there. Otherwise
    /// it says what differs, and nothing has changed.
    pub async fn give_up_month(
        &self,
        range: &MonthRange,
        archived: &[MonthHead],
        log_chunks: i64,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<(), String>, StoreError> {
        let [events, logs] = parts(range.month);
        let mut tx = self.pool.patient().begin().await?;
        tx.run(LOCK_TIMEOUT).await?;
        // From here on no append to this month commits, and those that did are seen.
        let lock = format!("lock table only {events}, only {logs} in access exclusive mode");
        tx.run(&lock).await?;
        let mut place = 0;
        let mut after = None;
        loop {
            let page = heads(&mut tx, range, after).await?;
            if page.is_empty() {
                break;
            }
            after = page.last().map(|h| h.execution_id);
            for head in &page {
                if archived.get(place) != Some(head) {
                    return Ok(Err(difference(head, archived.get(place))));
                }
                place += 1;
            }
        }
        if let Some(more) = archived.get(place) {
            return Ok(Err(format!("execution {} is in the archive only", more.execution_id)));
        }
        let count = format!("/* chunks of a month */ select count(*) from {logs}");
        let chunks: i64 = sqlx::query_scalar(&count).fetch_one(&mut *tx).await?;
        if chunks != log_chunks {
            let said = format!("there are {chunks} chunks of output, {log_chunks} in the archive");
            return Ok(Err(said));
        }
        for part in [&events, &logs] {
            let statement = format!(
                "truncate table {part}; alter table {part} add constraint archived check (false)"
            );
            tx.run(&statement).await?;
        }
        let noted = sqlx::query(GIVE_UP).bind(range.month).bind(now).bind(actor);
        if noted.execute(&mut *tx).await?.rows_affected() != 1 {
            return Ok(Err("the database knows of no such archive, or it was given up".to_owned()));
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Begins to put a month back: its rows go to tables that nobody sees until `PutBack::finish`.
    pub async fn put_back(&self, range: &MonthRange) -> Result<PutBack, StoreError> {
        let mut tx = self.pool.patient().begin().await?;
        tx.run(LOCK_TIMEOUT).await?;
        for (part, parent) in parts(range.month).iter().zip(["events", "stage_logs"]) {
            let statement = format!(
                "create table {part}_restored (like {parent} including all)
                 with (autovacuum_vacuum_insert_scale_factor = 0.05);
                 alter table {part}_restored add constraint of_this_month
                   check (execution_id >= '{}' and execution_id < '{}')",
                range.first_id, range.end_id
            );
            tx.run(&statement).await?;
        }
        Ok(PutBack { tx, range: range.clone() })
    }
}

/// A month on its way back. Dropped before `finish`, nothing has changed.
pub struct PutBack {
    tx: Transaction,
    range: MonthRange,
}

impl PutBack {
    /// Adds events.
    pub async fn events(&mut self, rows: &[MonthEvent]) -> Result<(), StoreError> {
        let [events, _] = parts(self.range.month);
        let statement = format!(
            "/* put events back */
             insert into {events}_restored (execution_id, sequence, event_id, type, branch, at, actor,
                                           payload, hash, lane, lane_sequence)
             select execution_id, sequence, event_id, type, branch, at, actor, payload::json, hash,
                    lane, lane_sequence
               from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::int[],
                           $6::timestamptz[], $7::text[], $8::text[], $9::bytea[], $10::smallint[],
                           $11::bigint[])
                 as t (execution_id, sequence, event_id, type, branch, at, actor, payload, hash, lane,
                       lane_sequence)"
        );
        sqlx::query(&statement)
            .bind(rows.iter().map(|r| r.execution_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.sequence).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.event_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.name.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.branch).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.at).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.actor.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.payload.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.hash.clone()).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.lane).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.lane_sequence).collect::<Vec<_>>())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Adds output.
    pub async fn logs(&mut self, rows: &[super::LogChunk]) -> Result<(), StoreError> {
        let [_, logs] = parts(self.range.month);
        let statement = format!(
            "/* put logs back */
             insert into {logs}_restored (execution_id, stage, attempt, chunk, at, content)
             select * from unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::timestamptz[],
                                  $6::text[])"
        );
        sqlx::query(&statement)
            .bind(rows.iter().map(|r| r.execution_id).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.stage.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.attempt).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.chunk).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.at).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.content.as_str()).collect::<Vec<_>>())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// Puts the filled tables in the place of the empty ones, in one step. `false`: the month was
    /// not given up, and nothing has changed.
    pub async fn finish(mut self, actor: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let noted = sqlx::query(PUT_BACK).bind(self.range.month).bind(now).bind(actor);
        if noted.execute(&mut *self.tx).await?.rows_affected() != 1 {
            return Ok(false);
        }
        let bound = self.range.end_id;
        let start = match self.range.since_ever {
            true => "minvalue".to_owned(),
            false => format!("'{}'", self.range.first_id),
        };
        for (part, parent) in parts(self.range.month).iter().zip(["events", "stage_logs"]) {
            // The check spares the server reading everything while it holds the table.
            let statement = format!(
                "alter table {parent} detach partition {part};
                 drop table {part};
                 alter table {part}_restored rename to {part};
                 alter table {part} rename constraint {part}_restored_pkey to {part}_pkey;
                 alter table {parent} attach partition {part} for values from ({start}) to ('{bound}');
                 alter table {part} drop constraint of_this_month"
            );
            self.tx.run(&statement).await?;
        }
        self.tx.commit().await?;
        Ok(true)
    }
}

async fn heads(
    connection: &mut Session,
    range: &MonthRange,
    after: Option<Uuid>,
) -> Result<Vec<MonthHead>, sqlx::Error> {
    sqlx::query_as(HEADS)
        .bind(range.first_id)
        .bind(range.end_id)
        .bind(after)
        .bind(PAGE)
        .fetch_all(connection)
        .await
}

/// The names of a month's tables.
fn parts(month: NaiveDate) -> [String; 2] {
    ["events", "stage_logs"].map(|table| format!("{table}_{}", month.format("%Y_%m")))
}

fn difference(here: &MonthHead, archived: Option<&MonthHead>) -> String {
    let id = here.execution_id;
    match archived {
        Some(there) if there.execution_id == id => format!(
            "execution {id} is {} at version {} here, and {} at version {} in the archive; \
             write the archive anew",
            here.status, here.version, there.status, there.version
        ),
        _ => format!("execution {id} is not in the archive; write the archive anew"),
    }
}

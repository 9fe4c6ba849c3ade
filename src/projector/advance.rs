//! One step of one or more generations: a batch and the position after it, in one transaction.
//!
//! Near the end of the log a step takes everything up to the heads of the lanes, seen in one moment.
//! Further behind it fixes such heads as its target and goes to them in pieces, each a range of whole
//! streams: a piece never holds an event whose past is in another.

use super::batch::{self, COLUMNS, Source};
use super::generation::{self, Generation, distance};
use super::tail;
use crate::store::{Session, StoreError};
use chrono::{DateTime, Utc};
use sqlx::Executor;
use uuid::Uuid;

/// How much is folded at once.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Up to so many events are folded by one statement; more go in pieces. Default 5,000.
    pub near: i64,
    /// Events of a piece, about. Sorts of the default, 200,000, stay in memory.
    pub piece: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes { near: 5_000, piece: 200_000 }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody else advances it, or it does not exist.
    Busy,
    /// It was at the end of the log.
    AtEnd,
    /// It took so many events, and there may be more.
    Took(i64),
}

/// Why a step was not made.
#[derive(Debug)]
pub(super) enum StepError {
    /// The statement of one read model does not work; it alone is stalled.
    Fold { name: String, generation: i32, reason: String },
    /// The database.
    Store(StoreError),
}

impl StepError {
    /// The same for somebody who cannot go on without it.
    pub(super) fn into_store(self) -> StoreError {
        match self {
            StepError::Store(error) => error,
            StepError::Fold { name, reason, .. } => {
                StoreError::Refused(format!("read model `{name}` cannot go on: {reason}"))
            }
        }
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        StepError::Store(error.into())
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        StepError::Store(error)
    }
}

/// Deadlines of the statements of a step. A piece is a few seconds of work.
pub(super) const LIMITS: &str = "set local statement_timeout = '300s'; set local lock_timeout = '10s'; \
    set local idle_in_transaction_session_timeout = '60s'; set local work_mem = '64MB'; \
    set local jit = off";

/// Makes a step of those of `which` that stand at the same place, in a transaction of its own.
pub(super) async fn step(
    connection: &mut Session,
    which: &[(String, i32)],
    sizes: Sizes,
    now: DateTime<Utc>,
) -> Result<Step, StepError> {
    let mut transaction = connection.begin().await?;
    transaction.execute(LIMITS).await?;
    let mut held = generation::lock(&mut transaction, which).await?;
    let Some(place) = held
        .iter()
        .map(|g| g.position())
        .min()
        .map(|(a, t, c)| (a.to_vec(), t.map(<[i64]>::to_vec), c))
    else {
        return Ok(Step::Busy);
    };
    held.retain(|g| g.position() == (&place.0[..], place.1.as_deref(), place.2));
    let took = advance(&mut transaction, &mut held, sizes, now).await?;
    transaction.commit().await?;
    Ok(took.map_or(Step::AtEnd, Step::Took))
}

/// Advances locked generations that stand at the same place, within the transaction under way. None
/// when they are at the end.
async fn advance(
    connection: &mut Session,
    held: &mut [Generation],
    sizes: Sizes,
    now: DateTime<Utc>,
) -> Result<Option<i64>, StepError> {
    let Some(first) = held.first() else { return Ok(None) };
    if first.target.is_none() {
        let heads = generation::heads(connection).await?;
        let distance = distance(&first.applied, &heads);
        if distance == 0 {
            return Ok(None);
        }
        if distance <= sizes.near {
            return near(connection, held, &heads, now).await.map(Some);
        }
        for generation in held.iter_mut() {
            generation.target = Some(heads.clone());
            generation.cursor = Some(Uuid::nil());
        }
    }
    piece(connection, held, sizes.piece, now).await.map(Some)
}

/// Takes everything up to `heads`, in one statement per generation.
pub(super) async fn near(
    connection: &mut Session,
    held: &mut [Generation],
    heads: &[i64],
    now: DateTime<Utc>,
) -> Result<i64, StepError> {
    let Some(first) = held.first() else { return Ok(0) };
    let applied = first.applied.clone();
    let expected = distance(&applied, heads);
    let tail = tail::read(connection, &applied, heads).await?;
    if tail.found != expected {
        return Err(StepError::Fold {
            name: first.name.clone(),
            generation: first.generation,
            reason: format!(
                "the log has {} events between {applied:?} and {heads:?} of the lanes, and must have \
                 {expected}: events are missing",
                tail.found
            ),
        });
    }
    let streams: Vec<Uuid> = tail.streams.into_iter().collect();
    for generation in held {
        let file = generation.file();
        let (_, fold) = file.parts().map_err(|reason| wrong(generation, reason))?;
        let rows = batch::batch(Source::Touched, names_payload(fold));
        generation::set_path(connection, &generation.schema()).await?;
        let folded = sqlx::query(&batch::over(&rows, fold))
            .bind(&streams)
            .bind(&applied)
            .bind(heads)
            .execute(&mut *connection)
            .await;
        folded.map_err(|e| fold_error(generation, e))?;
        heads.clone_into(&mut generation.applied);
        generation::moved(connection, generation, expected, now).await?;
    }
    Ok(expected)
}

/// The next piece on the way to a target.
async fn piece(
    connection: &mut Session,
    held: &mut [Generation],
    size: i64,
    now: DateTime<Utc>,
) -> Result<i64, StepError> {
    let Some(first) = held.first() else { return Ok(0) };
    let (applied, cursor) = (first.applied.clone(), first.cursor.unwrap_or_default());
    let target = first.target.clone().unwrap_or_default();
    let Some(upto) = end_of_piece(connection, cursor, size).await? else {
        for generation in held {
            generation.applied.clone_from(&target);
            (generation.target, generation.cursor) = (None, None);
            generation::moved(connection, generation, 0, now).await?;
        }
        return Ok(0);
    };
    let scratch = format!("projector.scratch_{}", Uuid::now_v7().simple());
    // Made and dropped in this transaction: nothing is left of it if we are killed.
    let make = format!(
        "create unlogged table {scratch} (like projector.batch) with (autovacuum_enabled = off)"
    );
    connection.execute(make.as_str()).await?;
    let texts: Vec<(String, i32, String)> =
        held.iter().map(|g| (g.name.clone(), g.generation, g.source.clone())).collect();
    let with_payload = texts.iter().any(|(.., text)| names_payload(text));
    let rows = batch::batch(Source::Range, with_payload);
    let fill = format!("/* parse a piece */ insert into {scratch} ({COLUMNS}) {rows}");
    let parsed = sqlx::query(&fill)
        .persistent(false)
        .bind(cursor)
        .bind(&applied)
        .bind(&target)
        .bind(upto)
        .execute(&mut *connection)
        .await?
        .rows_affected() as i64;
    connection.execute(format!("analyze {scratch}").as_str()).await?;
    let rows = format!("select {COLUMNS} from {scratch}");
    for generation in held {
        let file = generation.file();
        let (_, fold) = file.parts().map_err(|reason| wrong(generation, reason))?;
        generation::set_path(connection, &generation.schema()).await?;
        let text = batch::over(&rows, fold);
        let folded = sqlx::query(&text).persistent(false).execute(&mut *connection).await;
        folded.map_err(|e| fold_error(generation, e))?;
        generation.target = Some(target.clone());
        generation.cursor = Some(upto);
        generation::moved(connection, generation, parsed, now).await?;
    }
    connection.execute(format!("drop table {scratch}").as_str()).await?;
    Ok(parsed)
}

/// The last stream of the piece after `cursor`; none when there is none.
async fn end_of_piece(
    connection: &mut Session,
    cursor: Uuid,
    size: i64,
) -> Result<Option<Uuid>, sqlx::Error> {
    const END: &str = r"/* end of a piece */
with streams as (
    select execution_id, sum(version) over (order by execution_id) as events
      from (select execution_id, version from executions
             where execution_id > $1 order by execution_id limit 100000) e
)
select execution_id from streams
 where events <= $2 or execution_id = (select execution_id from streams order by execution_id limit 1)
 order by execution_id desc limit 1";
    sqlx::query_scalar(END).bind(cursor).bind(size).fetch_optional(connection).await
}

/// Whether a statement wants the events themselves; they are large, and only carried if so.
fn names_payload(text: &str) -> bool {
    text.lines().map(|l| l.split("--").next().unwrap_or_default()).any(|l| l.contains("payload"))
}

fn wrong(generation: &Generation, reason: String) -> StepError {
    StepError::Fold { name: generation.name.clone(), generation: generation.generation, reason }
}

/// A lost connection is not the fault of the statement; a deadline is.
fn fold_error(generation: &Generation, error: sqlx::Error) -> StepError {
    let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
    let reason = error.to_string();
    match StoreError::from(error) {
        error if error.may_pass() && code != "57014" => StepError::Store(error),
        _ if code == "57014" => {
            wrong(generation, format!("its statement took longer than 5 minutes: {reason}"))
        }
        _ => wrong(generation, format!("its statement fails: {reason}")),
    }
}

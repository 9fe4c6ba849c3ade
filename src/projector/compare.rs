//! Proving that a live read model is what folding the log anew gives.
//!
//! A shadow generation is folded from the beginning, both are brought to the same place in one
//! transaction, and their rows are compared there.

use super::advance::{LIMITS, Step, StepError, near, step};
use super::generation::{self, Generation, distance};
use super::{Projector, deadline};
use crate::store::{Session, StoreError};
use serde::Serialize;
use serde_json::Value;
use sqlx::Executor;
use std::time::Duration;

/// Differing rows of a table that are shown.
const SHOWN: i64 = 5;

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The read model.
    pub name: String,
    /// Whether every row is the same.
    pub equal: bool,
    /// Rows of the live generation.
    pub rows: i64,
    /// Hash over the rows of the live generation, in whatever order.
    pub hash: String,
    /// Events that were folded anew.
    pub events: i64,
    /// The first differing rows.
    pub differences: Vec<Difference>,
}

/// A row that only one side has.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// Where it is: `live`, or `rebuilt`.
    pub side: &'static str,
    /// The row.
    pub row: Value,
}

impl Projector {
    /// Folds the log anew and compares. A lost connection is an error; the next call goes on from there.
    pub async fn verify(
        &self,
        name: &str,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Verdict, StoreError> {
        self.verify_here(name, progress).await.map_err(|error| match error {
            StoreError::Unreachable(why) => StoreError::Unreachable(format!(
                "{why}; `{name}` is not verified, and the same command goes on where it stopped"
            )),
            other => other,
        })
    }

    async fn verify_here(
        &self,
        name: &str,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Verdict, StoreError> {
        let mut connection = self.connection().await?;
        let (live, shadow) = self.shadow_of(&mut connection, name).await?;
        let pair = [(name.to_owned(), live), (name.to_owned(), shadow)];
        let total = distance(&[], &generation::heads(&mut connection).await?);
        loop {
            for one in [&pair[1..], &pair[..1]] {
                while let Step::Took(_) = self.one_step(&mut connection, one).await? {
                    let known = generation::all(&mut connection).await?;
                    let is_shadow = |g: &&Generation| g.name == name && g.generation == shadow;
                    let done = known.iter().find(is_shadow).map_or(0, |g| g.events);
                    progress(&format!("{name}: {done} of {total} events"));
                }
            }
            if let Some(verdict) = self.compare(&mut connection, &pair).await? {
                generation::remove(&mut connection, name, shadow).await?;
                return Ok(verdict);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The live generation, and a shadow of the same text.
    async fn shadow_of(
        &self,
        connection: &mut Session,
        name: &str,
    ) -> Result<(i32, i32), StoreError> {
        generation::refuse_gaps(connection).await?;
        let known = generation::all(connection).await?;
        let of = |state: &str| known.iter().find(|g| g.name == name && g.state == state);
        let live = of("live")
            .ok_or_else(|| StoreError::NotFound { what: "read model", id: name.to_owned() })?;
        if let Some(reason) = &live.stall_reason {
            return Err(StoreError::Refused(format!("read model `{name}` is stalled: {reason}")));
        }
        if let Some(begun) = of("shadow") {
            if begun.digest == live.digest && begun.stalled_since.is_none() {
                return Ok((live.generation, begun.generation));
            }
            generation::remove(connection, name, begun.generation).await?;
        }
        let mut transaction = connection.begin().await?;
        transaction.execute(LIMITS).await?;
        let file = live.file();
        let now = self.clock.now();
        let shadow = generation::create(&mut transaction, &file, "shadow", now).await?;
        transaction.commit().await?;
        Ok((live.generation, shadow))
    }

    async fn one_step(
        &self,
        connection: &mut Session,
        which: &[(String, i32)],
    ) -> Result<Step, StoreError> {
        let step = deadline(400, step(connection, which, self.sizes, self.clock.now())).await;
        step.map_err(StepError::into_store)
    }

    /// Brings both to the end of the log and compares; none when that cannot be done just now.
    async fn compare(
        &self,
        connection: &mut Session,
        pair: &[(String, i32); 2],
    ) -> Result<Option<Verdict>, StoreError> {
        let mut transaction = connection.begin().await?;
        transaction.execute(LIMITS).await?;
        let mut held = generation::lock(&mut transaction, pair).await?;
        let heads = generation::heads(&mut transaction).await?;
        let is_near =
            |g: &Generation| g.target.is_none() && distance(&g.applied, &heads) <= self.sizes.near;
        if held.len() < 2 || !held.iter().all(is_near) {
            return Ok(None);
        }
        let now = self.clock.now();
        for one in &mut held {
            near(&mut transaction, std::slice::from_mut(one), &heads, now)
                .await
                .map_err(StepError::into_store)?;
        }
        let side = |number: i32| held.iter().find(|g| g.generation == number);
        let (Some(live), Some(shadow)) = (side(pair[0].1), side(pair[1].1)) else {
            return Ok(None);
        };
        let call = tables_equal(&mut transaction, live, shadow);
        let verdict = deadline(600, async { Ok::<_, StoreError>(call.await?) }).await?;
        transaction.commit().await?;
        Ok(Some(verdict))
    }
}

async fn tables_equal(
    connection: &mut Session,
    live: &Generation,
    shadow: &Generation,
) -> Result<Verdict, sqlx::Error> {
    const TABLES: &str = r"/* tables of a generation */
select tablename::text from pg_tables where schemaname = $1 order by tablename";
    let mut verdict = Verdict {
        name: live.name.clone(),
        equal: true,
        rows: 0,
        hash: String::new(),
        events: distance(&[], &shadow.applied),
        differences: Vec::new(),
    };
    let tables: Vec<String> =
        sqlx::query_scalar(TABLES).bind(shadow.schema()).fetch_all(&mut *connection).await?;
    for table in tables {
        let ours = sum(connection, &live.schema(), &table).await?;
        let theirs = sum(connection, &shadow.schema(), &table).await?;
        verdict.rows += ours.0;
        verdict.hash += &ours.1;
        if ours != theirs {
            verdict.equal = false;
            for (side, a, b) in [("live", live, shadow), ("rebuilt", shadow, live)] {
                let rows = only_in(connection, &a.schema(), &b.schema(), &table).await?;
                verdict.differences.extend(rows.into_iter().map(|row| Difference {
                    table: table.clone(),
                    side,
                    row,
                }));
            }
        }
    }
    Ok(verdict)
}

/// Rows, and the sum of their hashes.
async fn sum(
    connection: &mut Session,
    schema: &str,
    table: &str,
) -> Result<(i64, String), sqlx::Error> {
    let text = format!(
        "/* rows and hash */ select count(*), \
         lpad(to_hex(mod(abs(coalesce(sum(hashtextextended(t::text, 7)::numeric), 0)), 2::numeric ^ 62)::bigint), \
         16, '0') from {schema}.\"{table}\" t"
    );
    sqlx::query_as(&text).persistent(false).fetch_one(connection).await
}

async fn only_in(
    connection: &mut Session,
    here: &str,
    there: &str,
    table: &str,
) -> Result<Vec<Value>, sqlx::Error> {
    let text = format!(
        "/* only here */ select d.r::json from (select to_jsonb(t)::text from {here}.\"{table}\" t \
         except all select to_jsonb(t)::text from {there}.\"{table}\" t) d (r) order by d.r limit {SHOWN}"
    );
    sqlx::query_scalar(&text).persistent(false).fetch_all(connection).await
}

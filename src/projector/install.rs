//! Bringing generations and files together: new files are installed, changed ones built anew beside
//! the live generation. Whoever starts does this; most find nothing to do.

use super::file::{self, File};
use super::generation::{self, Generation};
use crate::store::{Session, Store, StoreError};
use chrono::{DateTime, Utc};
use sqlx::Executor;
use std::path::Path;

const SERIALISE: &str =
    "/* serialise installs */ lock table projector.generations in share row exclusive mode";

/// Installs the read models that come with the program, and those of a directory.
pub async fn install(
    store: &Store,
    directory: Option<&Path>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut files = file::built_in();
    if let Some(directory) = directory {
        files.extend(file::of_directory(directory).map_err(StoreError::Refused)?);
    }
    let mut connection = store.session().await?;
    let known = generation::all(&mut connection).await?;
    let changed: Vec<&File> = files.iter().filter(|f| !is_current(&known, f)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    transaction
        .execute("set local statement_timeout = '60s'; set local lock_timeout = '60s'")
        .await?;
    transaction.execute(SERIALISE).await?;
    let known = generation::all(&mut transaction).await?;
    for file in changed {
        if !is_current(&known, file) {
            install_one(&mut transaction, &known, file, now).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether nothing is to be done for a file. A text that was retired belongs to an older program
/// that still runs beside a newer one: it does not turn the clock back.
fn is_current(known: &[Generation], file: &File) -> bool {
    let digest = file.digest();
    known.iter().any(|g| g.name == file.name && g.state != "shadow" && g.digest == digest)
}

/// A file that cannot be installed stalls itself and nothing else.
async fn install_one(
    transaction: &mut Session,
    known: &[Generation],
    file: &File,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let is_first = !known.iter().any(|g| g.name == file.name && g.state == "live");
    for unfinished in known.iter().filter(|g| g.name == file.name && g.state == "building") {
        generation::remove(transaction, &unfinished.name, unfinished.generation).await?;
    }
    transaction.execute("savepoint file").await?;
    let state = if is_first { "live" } else { "building" };
    let error = match generation::create(transaction, file, state, now).await {
        Ok(_) => return Ok(()),
        Err(error) if error.may_pass() => return Err(error),
        Err(error) => error,
    };
    transaction.execute("rollback to savepoint file").await?;
    const BROKEN: &str = r"/* broken generation */
insert into projector.generations (name, generation, state, digest, source, created_at, stalled_since,
                                   stall_reason, retry_at)
select $1, coalesce(max(generation), 0) + 1, 'building', $2, $3, $4, $4, $5, $4 + interval '100 years'
  from projector.generations where name = $1";
    sqlx::query(BROKEN)
        .bind(&file.name)
        .bind(file.digest())
        .bind(&file.text)
        .bind(now)
        .bind(format!("the file cannot be installed: {error}; mend it"))
        .execute(transaction)
        .await?;
    Ok(())
}

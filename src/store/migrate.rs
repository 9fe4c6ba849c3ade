//! The schema, brought up to date: every missing file of `migrations/`, in order, in one transaction.
//!
//! The notes are sqlx's own table. Its lock is not: a lock of a session means nothing behind a pooler.
//! Ours lasts as long as the transaction.

use super::connections::Connections;
use super::error::StoreError;
use sqlx::migrate::{Migration, Migrator};
use std::time::Instant;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

/// Any number; the same in every version.
const LOCK: &str = "/* migration lock */ select pg_advisory_xact_lock(7095161183270498402)";

const MAY_MIGRATE: &str =
    "/* may migrate */ select has_schema_privilege(current_schema(), 'create')";

const TABLE: &str = r"/* migrations */
create table if not exists _sqlx_migrations (
    version bigint primary key,
    description text not null,
    installed_on timestamptz not null default now(),
    success boolean not null,
    checksum bytea not null,
    execution_time bigint not null
)";

const KNOWN: &str =
    "/* whether there are migrations */ select to_regclass('_sqlx_migrations')::text";

const APPLIED: &str = r"/* applied migrations */
select version, checksum, success from _sqlx_migrations order by version";

const NOTE: &str = r"/* note a migration */
insert into _sqlx_migrations (version, description, success, checksum, execution_time)
values ($1, $2, true, $3, $4)";

type Applied = (i64, Vec<u8>, bool);

/// Safe to call from many processes at once; costs two statements when nothing is to be done.
pub(super) async fn migrate(pool: &Connections) -> Result<(), StoreError> {
    let known: Option<String> = sqlx::query_scalar(KNOWN).fetch_one(pool).await?;
    if known.is_some() {
        let applied: Vec<Applied> = sqlx::query_as(APPLIED).fetch_all(pool).await?;
        if missing(&applied)?.is_empty() {
            return Ok(());
        }
    }
    if !sqlx::query_scalar::<_, bool>(MAY_MIGRATE).fetch_one(pool).await? {
        return Err(StoreError::Schema(
            "it is older, and this role may not change it; run `longhaul db migrate` as the owner \
             of the tables, then `longhaul db roles`"
                .to_owned(),
        ));
    }
    let mut transaction = pool.begin().await?;
    transaction.run(LOCK).await?;
    transaction.run(TABLE).await?;
    let applied: Vec<Applied> = sqlx::query_as(APPLIED).fetch_all(&mut *transaction).await?;
    for migration in missing(&applied)? {
        let start = Instant::now();
        let done = transaction.run(&migration.sql).await;
        done.map_err(|e| match StoreError::from(e) {
            StoreError::Refused(why) => {
                let (number, name) = (migration.version, &migration.description);
                StoreError::Schema(format!("migration {number} ({name}) failed: {why}"))
            }
            other => other,
        })?;
        sqlx::query(NOTE)
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(&*migration.checksum)
            .bind(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// What is left to do. A schema that is newer, or was made by other files, is refused.
fn missing(applied: &[Applied]) -> Result<Vec<&'static Migration>, StoreError> {
    let ours = || MIGRATOR.iter().filter(|m| m.migration_type.is_up_migration());
    for (version, checksum, success) in applied {
        let Some(migration) = ours().find(|m| m.version == *version) else {
            return Err(StoreError::Schema(format!(
                "migration {version} is unknown here: a newer version made it; use that"
            )));
        };
        if !success || *migration.checksum != **checksum {
            return Err(StoreError::Schema(format!(
                "migration {version} was applied in another form; restore the database from before"
            )));
        }
    }
    Ok(ours().filter(|m| !applied.iter().any(|(version, ..)| *version == m.version)).collect())
}

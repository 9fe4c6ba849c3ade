//! Registered workflows: every version is kept, the highest is in force.

use super::connect::Store;
use super::error::StoreError;
use crate::workflow::definition::Definition;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// A registered version.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The definition, with its version.
    pub definition: Definition,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// By whom.
    pub actor: String,
}

/// Adds a version unless the one in force says the same. Of two at once the second does nothing and
/// gets no version; it is tried again.
const REGISTER: &str = r"/* register workflow */
with newest as (
    select version, digest from workflow_versions where name = $1 order by version desc limit 1
), added as (
    insert into workflow_versions (name, version, definition, digest, registered_at, actor)
    select $1, coalesce((select version from newest), 0) + 1, $2::json, $3, $4, $5
     where not exists (select from newest where digest = $3)
    on conflict do nothing
    returning version
)
select coalesce((select version from added), (select version from newest where digest = $3))";

const NEWEST: &str = r"/* workflows */
select distinct on (name) definition::text, version, registered_at, actor
  from workflow_versions
 where $1::text is null or name = $1
 order by name, version desc";

impl Store {
    /// Registers a definition and says its version: a new one, or the old one if nothing changed.
    pub async fn register_workflow(
        &self,
        definition: &Definition,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<u32, StoreError> {
        // The version is the store's, so that it must not tell two definitions apart.
        let plain = Definition { version: 1, ..definition.clone() };
        let text = serde_json::to_string(&plain).map_err(|e| {
            StoreError::Refused(format!("the workflow cannot be written as JSON: {e}"))
        })?;
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        loop {
            let version: Option<i32> = sqlx::query_scalar(REGISTER)
                .bind(&definition.name)
                .bind(&text)
                .bind(digest.to_vec())
                .bind(now)
                .bind(actor)
                .fetch_one(&self.pool)
                .await?;
            if let Some(version) = version {
                return Ok(version as u32);
            }
        }
    }

    /// The newest version of every registered workflow, or of one.
    pub async fn registered_workflows(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<Registered>, StoreError> {
        let rows: Vec<(String, i32, DateTime<Utc>, String)> =
            sqlx::query_as(NEWEST).bind(name).fetch_all(&self.pool).await?;
        let read = |(text, version, registered_at, actor): (String, i32, DateTime<Utc>, String)| {
            let mut definition: Definition = serde_json::from_str(&text).map_err(|e| {
                StoreError::Unreadable { what: "workflow".to_owned(), reason: e.to_string() }
            })?;
            definition.version = version as u32;
            Ok(Registered { definition, registered_at, actor })
        };
        rows.into_iter().map(read).collect()
    }
}

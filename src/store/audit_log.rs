//! The audit log: what operators did that belongs to no execution, in a chain of its own.
//!
//! Exports, checkpoints, registered workflows. Rows are inserted and never changed; their layout and
//! hash are those of events (`chain`).

use super::chain::{EventHeader, GENESIS, link};
use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// The stream that the log is hashed as: the bytes of `longhaul-audit-1`.
pub const AUDIT_LOG: Uuid = Uuid::from_bytes(*b"longhaul-audit-1");

const END: &str = r"/* end of the audit log */
select sequence, hash from audit_log order by sequence desc limit 1";

/// Of two at once one gets the number; the other one asks again.
const WRITE: &str = r"/* write audit log */
insert into audit_log (sequence, event_id, type, at, actor, payload, hash)
values ($1, $2, $3, $4, $5, $6::json, $7)
on conflict do nothing";

impl Store {
    /// Records an action. `data` is an object; its `type` is `name`.
    pub async fn record_action(
        &self,
        name: &str,
        data: &Value,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut payload = serde_json::json!({"type": name});
        crate::config::run::merge(&mut payload, data);
        let payload = payload.to_string();
        let event_id = Uuid::now_v7();
        loop {
            let end: Option<(i64, Vec<u8>)> =
                sqlx::query_as(END).fetch_optional(&self.pool).await?;
            let (last, before) = end.unwrap_or((0, GENESIS.to_vec()));
            let before: [u8; 32] = before.try_into().map_err(|_| StoreError::Unreadable {
                what: format!("hash of entry {last} of the audit log"),
                reason: "it is not 32 bytes long".to_owned(),
            })?;
            let sequence = last as u64 + 1;
            let header =
                EventHeader { stream: AUDIT_LOG, sequence, event_id, at: now, branch: 1, actor };
            let done = sqlx::query(WRITE)
                .bind(last + 1)
                .bind(event_id)
                .bind(name)
                .bind(now)
                .bind(actor)
                .bind(&payload)
                .bind(link(&before, &header, &payload).to_vec())
                .execute(&self.pool)
                .await?;
            if done.rows_affected() == 1 {
                return Ok(());
            }
        }
    }
}

//! What the engine says of itself: figures of the executions, of this process and its machine, and
//! checks of them against thresholds.
//!
//! Never: a decision about an execution; nothing here writes.

mod health;
mod machine;

pub use health::{Check, CheckState, Health, Thresholds};
pub use machine::Usage;

use crate::store::{Metrics, Store, StoreError};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Current figures: of the executions, and of what they use.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Executions are counted that were requested in this time before now, in ms; 0: all.
    pub window_ms: u64,
    /// Executions and database.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// This process and its machine.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Takes the figures; `home` says which disk is meant. A window of zero is no bound.
pub async fn figures(
    store: &Store,
    home: &Path,
    window: Duration,
    now: DateTime<Utc>,
) -> Result<Figures, StoreError> {
    let back = TimeDelta::from_std(window).ok().filter(|w| !w.is_zero());
    let since = back.and_then(|w| now.checked_sub_signed(w));
    let metrics = store.metrics(since).await?;
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    Ok(Figures { window_ms, metrics, usage: Usage::of(home) })
}

/// Checks everything. A database that does not answer is a failed check, not an error.
pub async fn health(
    store: &Store,
    home: &Path,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
) -> Health {
    let taken = async {
        let figures = figures(store, home, thresholds.window, now).await?;
        let parts = store.parts().await?;
        Ok::<_, StoreError>((figures, parts.outside))
    };
    match taken.await {
        Ok((figures, outside)) => Health::of(&figures, outside, thresholds),
        Err(error) => Health::unreachable(&error.to_string()),
    }
}

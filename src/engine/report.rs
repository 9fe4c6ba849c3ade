//! Figures and lists over all executions.

use super::Longhaul;
use crate::store::{ExecutionRow, Filter, Metrics, StoreError};
use crate::workflow::state::Status;

impl Longhaul {
    /// Current figures.
    pub async fn metrics(&self) -> Result<Metrics, StoreError> {
        self.store.metrics().await
    }

    /// Executions that have not ended, the newest first; at most 1,000.
    pub async fn active_executions(&self) -> Result<Vec<ExecutionRow>, StoreError> {
        let status = Status::ALL.into_iter().filter(|s| !s.is_terminal()).collect();
        self.store.list(&Filter { status, limit: Some(1_000), ..Filter::default() }).await
    }
}

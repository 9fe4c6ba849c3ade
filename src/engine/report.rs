//! Figures and lists over all executions.

use super::Longhaul;
use crate::monitor::{self, Figures, Health, Thresholds};
use crate::store::{ExecutionRow, Filter, StoreError};
use crate::workflow::state::Status;

impl Longhaul {
    /// Current figures: of the executions requested in `METRICS_WINDOW`, of the database, and of this
    /// process and its machine.
    pub async fn metrics(&self) -> Result<Figures, StoreError> {
        let window = self.settings.duration("METRICS_WINDOW");
        monitor::figures(&self.store, self.home.root(), window, self.clock.now()).await
    }

    /// Checks against the thresholds of the settings. A database that does not answer is a failed
    /// check, not an error.
    pub async fn health(&self) -> Health {
        let thresholds = Thresholds::of(&self.settings);
        monitor::health(&self.store, self.home.root(), &thresholds, self.clock.now()).await
    }

    /// Executions that have not ended, the newest first; at most 1,000.
    pub async fn active_executions(&self) -> Result<Vec<ExecutionRow>, StoreError> {
        let status = Status::ALL.into_iter().filter(|s| !s.is_terminal()).collect();
        self.store.list(&Filter { status, limit: Some(1_000), ..Filter::default() }).await
    }
}

//! Figures and lists over all executions.

use super::Longhaul;
use crate::monitor::{self, Figures, Health, Thresholds};
use crate::store::{ExecutionRow, Filter, Loaded, StoreError, WorkerRow};
use crate::view::{Surroundings, WaitingReason, waiting_reason_among};
use crate::workflow::state::Status;
use std::collections::BTreeMap;
use uuid::Uuid;

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

    /// Why each of these executions waits, for those that do; few round trips for all of them.
    pub async fn waiting_reasons(
        &self,
        rows: &[ExecutionRow],
    ) -> Result<BTreeMap<Uuid, WaitingReason>, StoreError> {
        let waits =
            |r: &&ExecutionRow| matches!(r.status.as_str(), "queued" | "waiting" | "paused");
        let ids: Vec<Uuid> = rows.iter().filter(waits).map(|r| r.execution_id).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let around = self.surroundings(&ids).await?;
        let reason = |l: Loaded| {
            Some((l.execution_id, waiting_reason_among(l.execution_id, &l.state, &around)?))
        };
        Ok(self.store.load_many(&ids).await?.into_iter().filter_map(reason).collect())
    }

    /// What these executions may wait for outside of themselves.
    pub(super) async fn surroundings(&self, ids: &[Uuid]) -> Result<Surroundings, StoreError> {
        let workers = self.store.workers().await?;
        Ok(Surroundings {
            waiting: self.store.waiting(ids).await?,
            offers: workers.iter().filter(|w| !w.draining).map(WorkerRow::offer).collect(),
            now: self.clock.now(),
        })
    }

    /// Executions that have not ended, the newest first; at most 1,000.
    pub async fn active_executions(&self) -> Result<Vec<ExecutionRow>, StoreError> {
        let status = Status::ALL.into_iter().filter(|s| !s.is_terminal()).collect();
        self.store.list(&Filter { status, limit: Some(1_000), ..Filter::default() }).await
    }
}

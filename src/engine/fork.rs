//! Forking an execution: another one that shares its beginning, for another way or a what-if.

use super::operate::settings_are_known;
use super::{Longhaul, ProcessError};
use crate::store::{NewExecution, Submitted};
use crate::workflow::fork::{self, Fork};
use uuid::Uuid;

impl Longhaul {
    /// Requests an execution of the same task that begins at a stage of another one, with what that
    /// one had done before. The other one is only read. In a what-if side effects are denied.
    pub async fn fork(&self, id: Uuid, fork: &Fork) -> Result<Submitted, ProcessError> {
        settings_are_known(&fork.set)?;
        let state = self.store.load(id).await?.state;
        let now = self.clock.now();
        let request = fork::request(&state, id, fork, now)?;
        let execution = NewExecution { execution_id: Uuid::now_v7(), request };
        Ok(self.store.request_execution(&execution, &self.actor, now).await?)
    }
}

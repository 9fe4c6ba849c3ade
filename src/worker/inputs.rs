//! What attempts are told, put together from the state of their execution. What is the same for all of
//! them is read once.

use crate::config::run::RunSettings;
use crate::stages::StageInput;
use crate::task::Task;
use crate::workflow::definition::StageDefinition;
use crate::workflow::event::Request;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::next::remaining_ms;
use crate::workflow::state::{Execution, Stage};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What the attempts of one execution share.
pub(super) struct Briefing {
    execution_id: Uuid,
    task: Result<Arc<Task>, Failure>,
    settings: Result<Arc<RunSettings>, Failure>,
}

impl Briefing {
    /// Reads what the execution was asked for with. To be read anew after a rewind.
    pub(super) fn of(execution_id: Uuid, state: &Execution) -> Self {
        let unborn = || Failure::new(ErrorKind::Permanent, "the execution has no request");
        let request = || state.request.as_deref().ok_or_else(unborn);
        Briefing {
            execution_id,
            task: request().and_then(task).map(Arc::new),
            settings: request().and_then(settings).map(Arc::new),
        }
    }

    /// The input of the current attempt of a stage.
    pub(super) fn input(
        &self,
        state: &Execution,
        stage: &Stage,
        resumed: bool,
        now: DateTime<Utc>,
    ) -> Result<StageInput, Failure> {
        let (request, definition) = definitions(state, stage)?;
        Ok(StageInput {
            execution_id: self.execution_id,
            task_id: request.task_id,
            workflow: request.definition.name.clone(),
            stage: stage.name.clone(),
            attempt: stage.attempts,
            tries: stage.tries,
            repair_loop: state.loops,
            branch: state.branch,
            task: self.task.clone()?,
            input: request.input.clone(),
            settings: self.settings.clone()?,
            config: definition.config.clone(),
            repository: request.repository.clone(),
            outputs: state.stages.outputs().clone(),
            kinds: Arc::clone(state.stages.graph().kinds()),
            feedback: stage.feedback.clone(),
            last_error: stage.last_error.clone(),
            memo: stage.memo.clone(),
            signals: stage.signals.clone(),
            resumed,
            begun_at: stage.started_at,
            timeout: timeout(state, stage, definition, now),
            item: None,
            inactivity: definition.inactivity_ms.map(Duration::from_millis),
            origin: request.origin.as_ref().map(|o| o.execution_id),
            what_if: state.is_what_if(),
            budget_usd: request.limits.cost_usd.map(|limit| (limit - state.cost.usd).max(0.0)),
        })
    }
}

/// The kind of a stage.
pub(super) fn kind_of(state: &Execution, stage: &str) -> String {
    state.policy(stage).map(|s| s.kind.clone()).unwrap_or_default()
}

/// An attempt never gets more time than its execution or, over all attempts, its stage has left.
fn timeout(
    state: &Execution,
    stage: &Stage,
    definition: &StageDefinition,
    now: DateTime<Utc>,
) -> Duration {
    let own = definition.timeout_ms.unwrap_or(600_000);
    let gone = stage.started_at.map_or(0, |at| (now - at).num_milliseconds().max(0) as u64);
    let left = definition.total_ms.map_or(u64::MAX, |total| total.saturating_sub(gone));
    Duration::from_millis(own.min(remaining_ms(state)).min(left))
}

fn definitions<'a>(
    state: &'a Execution,
    stage: &Stage,
) -> Result<(&'a Request, &'a StageDefinition), Failure> {
    let found = state.request.as_deref().zip(state.policy(&stage.name));
    let said = || format!("stage `{}` is not in the workflow's definition", stage.name);
    found.ok_or_else(|| Failure::new(ErrorKind::Permanent, said()))
}

fn task(request: &Request) -> Result<Task, Failure> {
    serde_json::from_value(request.task.clone()).map_err(|e| {
        Failure::new(ErrorKind::Permanent, format!("the stored task cannot be read: {e}"))
    })
}

fn settings(request: &Request) -> Result<RunSettings, Failure> {
    if request.settings.is_null() {
        return Ok(RunSettings::default());
    }
    serde_json::from_value(request.settings.clone()).map_err(|e| {
        Failure::new(ErrorKind::Permanent, format!("the settings of the execution are wrong: {e}"))
    })
}

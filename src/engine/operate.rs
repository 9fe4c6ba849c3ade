//! Steering executions: what operators may ask, and running one to its end in this process.

use super::{Longhaul, Submission};
use crate::config::run::RunSettings;
use crate::store::{CommandError, StoreError};
use crate::view::{self, ExecutionView};
use crate::worker::{WorkerOptions, after_end};
use crate::workflow::command::{Command, Refusal};
use crate::workflow::event::Motive;
use crate::workflow::state::Execution;
use serde_json::Value;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How an execution goes back.
#[derive(Clone, Debug, Default)]
pub struct Rewind {
    /// The stage that runs again.
    pub from: String,
    /// Settings that differ from here on; null for none.
    pub set: Value,
    /// Keep the steps that it recorded: they are not done again. Default: they are.
    pub keep_steps: bool,
    /// Do not offer again the signals that stages had taken that now begin again. Default: offer them,
    /// except an approval.
    pub drop_signals: bool,
}

/// Settings of a `--set` that no execution could have are refused before anything is stored.
pub(super) fn settings_are_known(set: &Value) -> Result<(), Refusal> {
    if set.is_null() {
        return Ok(());
    }
    let layer = [("--set".to_owned(), set.clone())];
    RunSettings::from_layers(&layer).map(drop).map_err(|e| Refusal::NotNow(e.to_string()))
}

/// Why an operation changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database, or no such execution.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others append all the time.
    #[error("execution {0} changes too fast; try again")]
    Busy(Uuid),
}

impl From<CommandError> for ProcessError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refusal) => ProcessError::Refused(refusal),
            CommandError::Store(error) => ProcessError::Store(error),
            CommandError::Busy(id) => ProcessError::Busy(id),
        }
    }
}

impl Longhaul {
    /// The state of an execution.
    pub async fn state(&self, id: Uuid) -> Result<Execution, StoreError> {
        Ok(self.store.load(id).await?.state)
    }

    /// An execution as the outside sees it.
    pub async fn show(&self, id: Uuid) -> Result<ExecutionView, StoreError> {
        match self.state(id).await {
            Err(StoreError::Archived { id, month, place }) => {
                let row = self.store.execution_row(id).await?;
                Ok(view::archived(&row, view::Archived { month, place }))
            }
            other => {
                let state = other?;
                let mut view = view::execution(id, &state);
                if view.waiting_reason.is_some() {
                    let around = self.surroundings(&[id]).await?;
                    view.waiting_reason = view::waiting_reason_among(id, &state, &around);
                }
                Ok(view)
            }
        }
    }

    /// Asks for the end of an execution. What runs is stopped, and `ExecutionCancelled` confirms it.
    pub async fn cancel(&self, id: Uuid, reason: &str) -> Result<Execution, ProcessError> {
        self.operate(id, &Command::Cancel { motive: self.motive(reason) }).await
    }

    /// Starts nothing new until it is resumed.
    pub async fn pause(&self, id: Uuid, reason: &str) -> Result<Execution, ProcessError> {
        self.operate(id, &Command::Pause { motive: self.motive(reason) }).await
    }

    /// Goes on with a paused execution.
    pub async fn resume(&self, id: Uuid, reason: &str) -> Result<Execution, ProcessError> {
        self.operate(id, &Command::Resume { motive: self.motive(reason) }).await
    }

    /// Rewinds a failed or cancelled execution to where it stopped, on a new branch.
    pub async fn retry(&self, id: Uuid, reason: &str) -> Result<Execution, ProcessError> {
        self.operate(id, &Command::Retry { motive: self.motive(reason) }).await
    }

    /// Goes on from an earlier stage, on a new branch, with changed settings.
    pub async fn rewind(
        &self,
        id: Uuid,
        from: &str,
        set: Value,
        reason: &str,
    ) -> Result<Execution, ProcessError> {
        let rewind = Rewind { from: from.to_owned(), set, ..Rewind::default() };
        self.rewind_with(id, rewind, reason).await
    }

    /// The same, with a say in what becomes of recorded steps and of signals that were taken.
    pub async fn rewind_with(
        &self,
        id: Uuid,
        rewind: Rewind,
        reason: &str,
    ) -> Result<Execution, ProcessError> {
        settings_are_known(&rewind.set)?;
        let motive = self.motive(reason);
        let Rewind { from, set, keep_steps, drop_signals } = rewind;
        self.operate(id, &Command::Rewind { from, set, keep_steps, drop_signals, motive }).await
    }

    /// Sends a message; `key` makes a repeat harmless.
    pub async fn signal(
        &self,
        id: Uuid,
        name: &str,
        payload: Value,
        key: Option<String>,
        reason: &str,
    ) -> Result<Execution, ProcessError> {
        let motive = self.motive(reason);
        self.operate(id, &Command::Signal { name: name.to_owned(), payload, key, motive }).await
    }

    /// Decides a command on the newest state and appends; again when somebody else was first.
    async fn operate(&self, id: Uuid, command: &Command) -> Result<Execution, ProcessError> {
        let state = self.commands.execute(id, command, &self.actor, self.clock.as_ref()).await?;
        after_end(&self.store, self.clock.as_ref(), id, &state).await;
        Ok(state)
    }

    pub(super) fn motive(&self, reason: &str) -> Motive {
        Motive { reason: reason.to_owned(), source: self.source.to_owned() }
    }

    /// Runs one execution to its end (or until it is paused) with a worker in this process.
    pub async fn process(&self, id: Uuid) -> Result<ExecutionView, ProcessError> {
        let stop = CancellationToken::new();
        let options = WorkerOptions { only: Some(id), slots: 1, ..self.worker_options() };
        let worker = self.worker_with(options);
        let mut work = tokio::spawn({
            let stop = stop.clone();
            async move { worker.run(stop).await }
        });
        let ended = tokio::select! {
            ended = self.wait_for_end(id) => ended,
            // A worker ends by itself only when it cannot work at all.
            broken = &mut work => return Err(broken_worker(broken)),
        };
        stop.cancel();
        // What it still held is queued by then; its own end is not the outcome.
        let _ = work.await;
        ended
    }

    /// Processes a task by its id: runs its newest execution to its end.
    pub async fn process_task(&self, task_id: Uuid) -> Result<ExecutionView, ProcessError> {
        let id = self.store.newest_execution(task_id).await?;
        self.process(id).await
    }

    /// Waits until an execution has ended or is paused, whoever works on it.
    pub async fn wait_for_end(&self, id: Uuid) -> Result<ExecutionView, ProcessError> {
        let mut heard = self.local.ends.listen(id);
        let mut seen = 0;
        loop {
            match self.store.execution_row(id).await {
                Ok(row) if row.version as u64 != seen => {
                    seen = row.version as u64;
                    let state = self.state(id).await?;
                    let status = state.status();
                    if status.is_terminal() || state.pause.is_some() && !state.is_anything_running()
                    {
                        return Ok(view::execution(id, &state));
                    }
                }
                Err(error) if !error.may_pass() => return Err(error.into()),
                // Unchanged, or the database is away for a moment.
                Ok(_) | Err(_) => {}
            }
            // A worker of this process tells us; of others we learn by asking.
            tokio::select! {
                state = heard.end() => return Ok(view::execution(id, &state)),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// Submits, and waits until the execution has ended or is paused, whoever works on it.
    pub async fn submit_and_wait(
        &self,
        submission: Submission,
    ) -> Result<ExecutionView, ProcessError> {
        let id = Uuid::now_v7();
        let mut heard = self.local.ends.listen(id);
        let submitted = self.submit_as(submission, id).await?;
        if submitted.execution_id == id {
            tokio::select! {
                state = heard.end() => return Ok(view::execution(id, &state)),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        self.wait_for_end(submitted.execution_id).await
    }
}

fn broken_worker(ended: Result<Result<(), StoreError>, tokio::task::JoinError>) -> ProcessError {
    match ended {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => {
            StoreError::Refused("the worker ended before the execution".to_owned()).into()
        }
        Err(error) => StoreError::Refused(format!("the worker broke down: {error}")).into(),
    }
}

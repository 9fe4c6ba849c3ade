//! What a stage kind gets: its input, and the few things it may do to the outside of itself.
//!
//! `step` memoises, `wait_signal` and `sleep` (in `waits`) wait without a worker, `log` writes to the stage's log, `progress` and `spend` are recorded. How they
//! are made durable is the worker's business, behind `Recorder` and `LogSink`.

use super::Wait;
use super::child::Children;
use super::map::{Item, ItemDoors};
use super::waits::Waits;
use crate::clock::Clock;
use crate::config::home::Home;
use crate::config::run::RunSettings;
use crate::task::Task;
use crate::workflow::event::Cost;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::stages::Outputs;
use crate::workflow::state::Signal;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Makes durable what an attempt says while it runs.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Records that the unit `key` is done with `value`; returns once that is durable.
    async fn step(&self, key: &str, value: Value) -> Result<(), Failure>;
    /// Records how far the attempt is.
    async fn progress(&self, message: &str, fraction: Option<f64>) -> Result<(), Failure>;
}

/// Takes the lines of an attempt's log.
pub trait LogSink: Send + Sync {
    /// Appends text; never blocks for long, never fails.
    fn write(&self, text: &str);
}

/// Everything an attempt is told.
#[derive(Clone, Debug)]
pub struct StageInput {
    /// The execution.
    pub execution_id: Uuid,
    /// Its task.
    pub task_id: Uuid,
    /// Name of its workflow.
    pub workflow: String,
    /// Name of the stage.
    pub stage: String,
    /// Number of the attempt, from 1, over all branches.
    pub attempt: u32,
    /// Attempts that have failed and count against the policy, since it was last reopened.
    pub tries: u32,
    /// Number of the repair loop, from 0.
    pub repair_loop: u32,
    /// Number of the branch, from 1.
    pub branch: u32,
    /// The structured task.
    pub task: Arc<Task>,
    /// The caller's input, an object.
    pub input: Value,
    /// Settings of the execution.
    pub settings: Arc<RunSettings>,
    /// `config` of the stage.
    pub config: Value,
    /// A local path or `OWNER/NAME`.
    pub repository: Option<String>,
    /// Outputs of the stages that succeeded, by stage name.
    pub outputs: Outputs,
    /// Stage name to kind, for all stages of the workflow.
    pub kinds: Arc<BTreeMap<String, String>>,
    /// What a later stage found wrong; null unless this stage was reopened.
    pub feedback: Value,
    /// Why the attempt before this one failed, if one did.
    pub last_error: Option<Failure>,
    /// What the attempt left when it began to wait.
    pub memo: Value,
    /// Signals it has received, oldest first.
    pub signals: Vec<Signal>,
    /// Whether this call continues an attempt that waited.
    pub resumed: bool,
    /// When its first attempt began, on this branch and since it was last reopened.
    pub begun_at: Option<DateTime<Utc>>,
    /// Active time that this attempt has.
    pub timeout: Duration,
    /// How long it may give no sign of life: no step, no progress, no log.
    pub inactivity: Option<Duration>,
    /// The item that this is about, when the stage is a `map`.
    pub item: Option<Item>,
    /// US dollars that are left to spend.
    pub budget_usd: Option<f64>,
    /// The execution that this one was forked from; its work is what this one begins with.
    pub origin: Option<Uuid>,
    /// Whether side effects are denied: say in the output, as `would_have`, what would be done.
    pub what_if: bool,
}

/// The doors to the outside of an attempt.
#[derive(Clone)]
pub struct Sinks {
    /// Makes steps and progress durable.
    pub recorder: Arc<dyn Recorder>,
    /// Takes the log.
    pub log: Arc<dyn LogSink>,
    /// Fires when the attempt has to end: cancelled, timed out, lease lost, shutting down.
    pub cancelled: CancellationToken,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where workspaces and repositories live on this machine.
    pub home: Home,
    /// Starts children and looks after them.
    pub children: Arc<dyn Children>,
}

/// An attempt's view of the world.
pub struct StageContext {
    /// What it is told.
    pub input: StageInput,
    sinks: Sinks,
    steps: Mutex<BTreeMap<String, Value>>,
    spent: Mutex<Cost>,
    waits: Waits,
}

impl StageContext {
    /// A context with the steps that earlier attempts recorded.
    pub fn new(input: StageInput, sinks: Sinks, steps: BTreeMap<String, Value>) -> Self {
        let (steps, spent) = (Mutex::new(steps), Mutex::new(Cost::default()));
        StageContext { input, sinks, steps, spent, waits: Waits::default() }
    }

    /// Fires when the attempt has to end.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.sinks.cancelled
    }

    /// Starts children and looks after them.
    pub fn children(&self) -> &dyn Children {
        self.sinks.children.as_ref()
    }

    /// Tells the time.
    pub fn clock(&self) -> &dyn Clock {
        self.sinks.clock.as_ref()
    }

    /// Where workspaces and repositories live on this machine.
    pub fn home(&self) -> &Home {
        &self.sinks.home
    }

    /// Takes the log; for readers of a process's output.
    pub fn log_sink(&self) -> Arc<dyn LogSink> {
        Arc::clone(&self.sinks.log)
    }

    /// Appends a line to the stage's log.
    pub fn log(&self, line: impl AsRef<str>) {
        self.sinks.log.write(&format!("{}\n", line.as_ref()));
    }

    /// Says how far the attempt is; `fraction` from 0 to 1.
    pub async fn progress(&self, message: &str, fraction: Option<f64>) -> Result<(), Failure> {
        self.sinks.recorder.progress(message, fraction).await
    }

    /// What an earlier attempt recorded under `key`.
    pub fn recorded(&self, key: &str) -> Option<Value> {
        self.lock_steps().get(key).cloned()
    }

    /// Does `work` once: when an earlier attempt recorded `key`, its value is returned instead.
    /// The value is durable when this returns.
    pub async fn step<T, F>(&self, key: &str, work: F) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, Failure>>,
    {
        if let Some(value) = self.recorded(key) {
            return serde_json::from_value(value).map_err(|e| unreadable(key, &e));
        }
        let done = work.await?;
        let value = serde_json::to_value(&done).map_err(|e| unreadable(key, &e))?;
        self.sinks.recorder.step(key, value.clone()).await?;
        self.lock_steps().insert(key.to_owned(), value);
        Ok(done)
    }

    /// A key under which an outside service can tell that it is asked for the same thing again: 32
    /// hexadecimal digits, the same in every attempt and after every crash. A stage that begins anew,
    /// because it was reopened or a rewind went back before it, gets another one: it is meant to do
    /// its work again. Another execution has another one too, and so has another `name`.
    pub fn idempotency_key(&self, name: &str) -> String {
        let begun = self.input.begun_at.map_or(0, |at| at.timestamp_micros());
        let id = self.input.execution_id;
        let all = format!("{id}\n{}\n{begun}\n{name}", self.input.stage);
        let item = self.input.item.as_ref().map_or_else(String::new, |i| format!("\n{}", i.index));
        hex::encode(&Sha256::digest(all + &item)[..16])
    }

    /// What one item of a `map` gets: the same world, and steps of its own.
    pub(super) fn for_item(&self, item: &Item) -> StageContext {
        let prefix = format!("item:{}/", item.index);
        let own = |(key, value): (&String, &Value)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))
        };
        let steps = self.lock_steps().iter().filter_map(own).collect();
        let input = StageInput { item: Some(item.clone()), ..self.input.clone() };
        let (recorder, log) = (Arc::clone(&self.sinks.recorder), Arc::clone(&self.sinks.log));
        let recorder = Arc::new(ItemDoors { prefix, recorder, log });
        StageContext::new(input, Sinks { recorder, ..self.sinks.clone() }, steps)
    }

    /// Returns when the stage has begun to wait in its midst, with what it waits for; the run will
    /// not go on.
    pub(crate) async fn wait_begun(&self) -> Wait {
        self.waits.begun().await
    }

    pub(super) fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Adds to what the attempt has used up; recorded with its outcome, also when it fails.
    pub fn spend(&self, cost: Cost) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.usd += cost.usd;
        spent.input_tokens += cost.input_tokens;
        spent.output_tokens += cost.output_tokens;
    }

    /// What the attempt has used up so far.
    pub fn spent(&self) -> Cost {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Output of the newest succeeded stage of a kind.
    pub fn output_of_kind(&self, kind: &str) -> Option<&Value> {
        let of_kind =
            |(stage, _): &(&str, &Value)| self.input.kinds.get(*stage).is_some_and(|k| k == kind);
        self.input.outputs.iter().filter(of_kind).map(|(_, output)| output).next_back()
    }

    fn lock_steps(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(key: &str, error: &serde_json::Error) -> Failure {
    Failure::new(
        ErrorKind::Permanent,
        format!("step `{key}` cannot be kept as JSON: {error}; give it a type that serialises"),
    )
}

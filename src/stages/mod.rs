//! Stage kinds: the code that performs the stages of a workflow, one file per kind.
//!
//! A kind gets a `StageContext`, does its work, and says how it ended. It knows nothing of Postgres,
//! of leases or of other executions; the worker gives it what it may use and records what it says.
//! To add one: a file here and a line in `builtin`.

mod analysis;
mod approval;
mod checkup;
mod child;
mod code_generation;
mod command;
mod context;
mod continuing;
mod deployment;
mod lines;
mod map;
mod pr_creation;
mod red;
mod registry;
mod rollout;
mod suite;
mod test_plan;
mod testing;
mod validation;
mod waits;
mod workbench;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use child::{ChildState, ChildWish, Children, Relation, end_signal};
pub use context::{LogSink, Recorder, Sinks, StageContext, StageInput};
pub use map::Item;
pub(crate) use map::Mapped;
pub use registry::{Registry, builtin};
pub(crate) use workbench::tidy_up;

use crate::config::run::RunSettings;
use crate::workflow::event::WaitReason;
use crate::workflow::failure::Failure;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// How an attempt ended when it did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum StageOutcome {
    /// Done, with this output (an object).
    Done(Value),
    /// Nothing to do until a signal or a moment; the worker lets go of the execution, and `run` is
    /// called again later with `StageInput::resumed`.
    Wait(Wait),
}

/// What an attempt waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// For people.
    pub reason: WaitReason,
    /// The signal that ends it.
    pub signal: Option<String>,
    /// When to look again without a signal.
    pub wake_at: Option<DateTime<Utc>>,
    /// What `run` finds again in `StageInput::memo`.
    pub memo: Value,
}

/// A stage kind.
#[async_trait]
pub trait StageExecutor: Send + Sync {
    /// Names of its outputs, when they are known beforehand; definitions are checked against them.
    fn outputs(&self) -> Option<Vec<&'static str>> {
        None
    }

    /// What can be known to be missing before anything runs, for people; a submission is refused
    /// with it. `config` is that of the stage.
    fn preflight(&self, settings: &RunSettings, config: &Value) -> Vec<String> {
        let _ = (settings, config);
        Vec::new()
    }

    /// Whether it can do nothing without a repository.
    fn needs_repository(&self) -> bool {
        false
    }

    /// Whether it may run in a what-if: it does nothing to the outside, or asks
    /// `StageInput::what_if` before it does. Any other kind is not run there, and its output says so.
    fn honours_what_if(&self) -> bool {
        false
    }

    /// Keys that its stages hold while they run, unless their definition says otherwise; templates as
    /// in `resources.keys`.
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The outside service that its attempts ask, by the execution's settings and the stage's `config`;
    /// limits and the circuit breaker count by this name.
    fn service(&self, settings: &Value, config: &Value) -> Option<String> {
        let _ = (settings, config);
        None
    }

    /// Performs one attempt. Must return soon after `context.cancelled` fires; a side effect is
    /// looked for by its deterministic key before it is done, because any attempt may be the second.
    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure>;
}

//! What can have happened to an execution: the facts that are appended and never changed.
//!
//! JSON is internally tagged by `type` and additive for ever: a field may be added with a default,
//! none is removed or given another meaning. `replay/` holds recorded histories that must fold to
//! the same state for ever. Times of occurrence stand beside the event, in `Happened`.

use super::definition::{Definition, Limits};
use super::failure::Failure;
use super::state::{Signal, Stage};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Who asked for something, and why; part of every event that a person or a program caused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Motive {
    /// Free text; empty when none was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Through which door it came: `cli`, `http`, `library`, `worker`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// Why a stage waits, for people: `{"kind": "approval", "detail": "..."}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaitReason {
    /// One word: `approval`, `ci`, `timer`, `signal`.
    pub kind: String,
    /// What exactly, in a sentence.
    pub detail: String,
}

/// What an attempt used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
    /// Tokens read by models.
    pub input_tokens: u64,
    /// Tokens written by models.
    pub output_tokens: u64,
}

impl Cost {
    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Cost::default()
    }

    /// The cost as it is recorded. JSON has no number for infinity, and money given back would
    /// lift the limit: neither counts.
    #[must_use]
    pub fn counted(&self) -> Cost {
        let is_sane = self.usd.is_finite() && self.usd > 0.0;
        Cost { usd: if is_sane { self.usd } else { 0.0 }, ..*self }
    }
}

/// Everything an execution was asked for with: a stream explains itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The task that it carries out.
    pub task_id: Uuid,
    /// The structured task as it was then (`design: task`).
    pub task: Value,
    /// The workflow, with nothing left open.
    pub definition: Definition,
    /// Input of the caller, an object; conditions see it as `input`.
    #[serde(default)]
    pub input: Value,
    /// Settings of this execution, flattened: `agent.command`, `test.command`, `base`, ...
    #[serde(default)]
    pub settings: Value,
    /// A local path or `OWNER/NAME`; none for workflows that touch no repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Bounds in force.
    #[serde(default)]
    pub limits: Limits,
    /// 0 to 10; higher goes first.
    pub priority: u8,
    /// What it was forked from; none when it began by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
    /// The execution that asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The execution whose work it goes on with, in a new history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Uuid>,
}

/// Where a fork parted from the execution that it shares its beginning with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The execution it was forked from.
    pub execution_id: Uuid,
    /// Sequence of that one's last event then.
    pub sequence: u64,
    /// That one's branch then.
    pub branch: u32,
    /// The stage that runs first.
    pub from: String,
    /// Settings that differ from that one's.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub set: Value,
    /// Whether side effects are denied: what would have been done is said in the output instead.
    #[serde(default, skip_serializing_if = "is_false")]
    pub what_if: bool,
    /// Stages that were done, as they stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Signals that no stage had taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inbox: Vec<Signal>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The execution that asked for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Which.
    pub execution_id: Uuid,
    /// In which of its stages.
    pub stage: String,
    /// How many are above, itself included.
    pub depth: u32,
}

/// A fact about one execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// It exists from here.
    ExecutionRequested(Arc<Request>),
    /// A worker took it; from now on only appends that prove `fence` count as the worker's.
    ExecutionClaimed { worker: Uuid, fence: Uuid },
    /// An attempt began; durable before the stage runs.
    StageStarted { stage: String, attempt: u32 },
    /// A unit inside an attempt was done and need not be done again.
    StepRecorded { stage: String, attempt: u32, key: String, value: Value },
    /// An attempt says how far it is.
    StageProgressed {
        stage: String,
        attempt: u32,
        message: String,
        /// 0 to 1, when it can be told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction: Option<f64>,
    },
    /// An attempt succeeded; its output is final on this branch unless the stage is reopened.
    StageSucceeded {
        stage: String,
        attempt: u32,
        output: Value,
        /// SHA-256 over the attempt's log, in hex; none when it wrote none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_digest: Option<String>,
    },
    /// An attempt failed. What follows (retry, reopening, pause, end) is an event of its own.
    StageFailed {
        stage: String,
        attempt: u32,
        error: Failure,
        /// Whether the stage has failed for good.
        #[serde(rename = "final")]
        is_final: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_digest: Option<String>,
    },
    /// The next attempt is due then.
    StageRetryScheduled { stage: String, attempt: u32, due: DateTime<Utc> },
    /// The attempt waits and holds no worker.
    StageWaiting {
        stage: String,
        attempt: u32,
        reason: WaitReason,
        /// The signal that ends the wait; none when only time does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// When the stage looks again by itself (polling, timers).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wake_at: Option<DateTime<Utc>>,
        /// When waiting has lasted too long.
        deadline: DateTime<Utc>,
        /// What the stage wants to find again when it goes on.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        memo: Value,
    },
    /// The wait is over and the attempt goes on.
    StageResumed { stage: String, attempt: u32 },
    /// The attempt was cut off; its outcome is unknown.
    StageInterrupted { stage: String, attempt: u32, reason: String },
    /// The stage does not run on this branch.
    StageSkipped { stage: String, reason: String },
    /// A later stage sent work back: the repair loop.
    StageReopened {
        stage: String,
        /// The stage that rejected the work.
        by: String,
        /// Which loop this is, from 1.
        #[serde(rename = "loop")]
        repair_loop: u32,
        /// What was wrong, for the stage that does it again.
        feedback: Value,
        /// Stages that lose their result.
        reset: Vec<String>,
    },
    /// A message for the execution; kept until a stage takes it.
    SignalReceived {
        name: String,
        payload: Value,
        /// Makes a repeat harmless.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(default)]
        motive: Motive,
    },
    /// A due time was reached.
    TimerFired { stage: String, attempt: u32 },
    /// Money or tokens were used.
    BudgetSpent { stage: String, attempt: u32, cost: Cost },
    /// Nothing new starts until it is resumed.
    ExecutionPaused {
        #[serde(default)]
        motive: Motive,
    },
    /// Stages may start again.
    ExecutionResumed {
        #[serde(default)]
        motive: Motive,
    },
    /// Somebody wants it to end; confirmed by `ExecutionCancelled` once nothing runs any more.
    CancellationRequested {
        #[serde(default)]
        motive: Motive,
    },
    /// It ended by cancellation.
    ExecutionCancelled {},
    /// It goes on from an earlier stage, on a new branch; nothing is deleted.
    ExecutionRewound {
        /// The stage that runs again.
        from: String,
        /// The new branch, from 2.
        branch: u32,
        /// Settings that differ from here on.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        set: Value,
        /// Stages that lose their result.
        reset: Vec<String>,
        /// Names of signals that those stages had taken, and that are offered again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offered: Vec<String>,
        /// Whether the steps recorded by `from` are kept.
        #[serde(default, skip_serializing_if = "is_false")]
        keep_steps: bool,
        #[serde(default)]
        motive: Motive,
    },
    /// Every stage is done.
    ExecutionCompleted {},
    /// It ended because of this.
    ExecutionFailed {
        error: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
    },
}

/// An event and when it happened; what a state is folded from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// When, by the clock of whoever decided it.
    pub at: DateTime<Utc>,
    /// What.
    pub event: Event,
}

/// How deeply a value may be nested. Readers of JSON give up at 128 levels; an event that cannot be
/// read back would make its whole stream unreadable.
const DEPTH_MAX: usize = 64;

/// Whether a value is nested too deeply to be part of an event.
pub(crate) fn is_too_deep(value: &Value) -> bool {
    fn exceeds(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|v| exceeds(v, left - 1)),
            Value::Object(fields) => left == 0 || fields.values().any(|v| exceeds(v, left - 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    exceeds(value, DEPTH_MAX)
}

/// What people read about `what`, when it is nested too deeply.
pub(crate) fn too_deep(what: &str) -> String {
    format!("{what} is nested more than {DEPTH_MAX} levels deep and could not be read back")
}

impl Event {
    /// Every name there is; a test holds scenarios and `replay/` against it.
    pub const NAMES: [&'static str; 23] = [
        "ExecutionRequested",
        "ExecutionClaimed",
        "StageStarted",
        "StepRecorded",
        "StageProgressed",
        "StageSucceeded",
        "StageFailed",
        "StageRetryScheduled",
        "StageWaiting",
        "StageResumed",
        "StageInterrupted",
        "StageSkipped",
        "StageReopened",
        "SignalReceived",
        "TimerFired",
        "BudgetSpent",
        "ExecutionPaused",
        "ExecutionResumed",
        "CancellationRequested",
        "ExecutionCancelled",
        "ExecutionRewound",
        "ExecutionCompleted",
        "ExecutionFailed",
    ];

    /// The name under which it is stored.
    pub fn name(&self) -> &'static str {
        match self {
            Event::ExecutionRequested(_) => "ExecutionRequested",
            Event::ExecutionClaimed { .. } => "ExecutionClaimed",
            Event::StageStarted { .. } => "StageStarted",
            Event::StepRecorded { .. } => "StepRecorded",
            Event::StageProgressed { .. } => "StageProgressed",
            Event::StageSucceeded { .. } => "StageSucceeded",
            Event::StageFailed { .. } => "StageFailed",
            Event::StageRetryScheduled { .. } => "StageRetryScheduled",
            Event::StageWaiting { .. } => "StageWaiting",
            Event::StageResumed { .. } => "StageResumed",
            Event::StageInterrupted { .. } => "StageInterrupted",
            Event::StageSkipped { .. } => "StageSkipped",
            Event::StageReopened { .. } => "StageReopened",
            Event::SignalReceived { .. } => "SignalReceived",
            Event::TimerFired { .. } => "TimerFired",
            Event::BudgetSpent { .. } => "BudgetSpent",
            Event::ExecutionPaused { .. } => "ExecutionPaused",
            Event::ExecutionResumed { .. } => "ExecutionResumed",
            Event::CancellationRequested { .. } => "CancellationRequested",
            Event::ExecutionCancelled {} => "ExecutionCancelled",
            Event::ExecutionRewound { .. } => "ExecutionRewound",
            Event::ExecutionCompleted {} => "ExecutionCompleted",
            Event::ExecutionFailed { .. } => "ExecutionFailed",
        }
    }

    /// The stage it is about, if it is about one.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Event::StageStarted { stage, .. }
            | Event::StepRecorded { stage, .. }
            | Event::StageProgressed { stage, .. }
            | Event::StageSucceeded { stage, .. }
            | Event::StageFailed { stage, .. }
            | Event::StageRetryScheduled { stage, .. }
            | Event::StageWaiting { stage, .. }
            | Event::StageResumed { stage, .. }
            | Event::StageInterrupted { stage, .. }
            | Event::StageSkipped { stage, .. }
            | Event::StageReopened { stage, .. }
            | Event::TimerFired { stage, .. }
            | Event::BudgetSpent { stage, .. } => Some(stage),
            Event::ExecutionFailed { stage, .. } => stage.as_deref(),
            Event::ExecutionRequested(_)
            | Event::ExecutionClaimed { .. }
            | Event::SignalReceived { .. }
            | Event::ExecutionPaused { .. }
            | Event::ExecutionResumed { .. }
            | Event::CancellationRequested { .. }
            | Event::ExecutionCancelled {}
            | Event::ExecutionRewound { .. }
            | Event::ExecutionCompleted {} => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_stored_under_its_name() {
        let event = Event::StageStarted { stage: "build".to_owned(), attempt: 1 };
        let stored = json!({"type": "StageStarted", "stage": "build", "attempt": 1});
        assert_eq!(json!(event), stored);
        assert_eq!((event.name(), event.stage()), ("StageStarted", Some("build")));
        assert_eq!(Event::ExecutionCompleted {}.stage(), None);
        let error = Failure::new(crate::workflow::failure::ErrorKind::Timeout, "late");
        let failed = Event::ExecutionFailed { error, stage: Some("ship".to_owned()) };
        assert_eq!(failed.stage(), Some("ship"));
    }

    #[test]
    fn fields_that_came_later_have_defaults() {
        let old = json!({"type": "SignalReceived", "name": "go", "payload": 1});
        let read: Event = serde_json::from_value(old).expect("an old event");
        assert_eq!(json!(read)["motive"], json!({}));
        let old = json!({"type": "ExecutionPaused"});
        assert!(serde_json::from_value::<Event>(old).is_ok());
    }

    #[test]
    fn only_what_costs_counts() {
        let cost = |usd: f64| Cost { usd, input_tokens: 1, output_tokens: 0 };
        for nonsense in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0] {
            assert_eq!(cost(nonsense).counted(), cost(0.0));
        }
        assert_eq!(cost(0.25).counted(), cost(0.25));
        assert!(Cost::default().is_zero() && !cost(0.0).is_zero());
    }

    #[test]
    fn what_is_not_too_deep_can_be_read_back() {
        let nest = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({"a": [inner]}));
        assert!(!is_too_deep(&nest(32)) && is_too_deep(&nest(33)));
        let event = Event::SignalReceived {
            name: "deep".to_owned(),
            payload: nest(32),
            key: None,
            motive: Motive::default(),
        };
        let stored = serde_json::to_string(&event).expect("JSON");
        assert_eq!(serde_json::from_str::<Event>(&stored).expect("readable"), event);
    }
}

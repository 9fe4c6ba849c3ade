//! The state of one execution: what is known after folding its events.
//!
//! Built only by `evolve`. Each stage state carries exactly what that state knows, so that "the
//! output of a failed stage" cannot be written down. Nothing here decides anything.

use super::definition::{HISTORY_MAX, HISTORY_WARN, StageDefinition};
use super::event::{Cost, Motive, Request, WaitReason};
use super::failure::Failure;
use super::stages::Stages;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum StageState {
    /// Not yet begun on this branch.
    Pending,
    /// An attempt is under way.
    Running {
        /// Which attempt.
        attempt: u32,
    },
    /// The last attempt failed; the next one is due then.
    RetryDue {
        /// When.
        due: DateTime<Utc>,
        /// Why the last one failed.
        error: Failure,
    },
    /// The attempt waits for a signal or a moment.
    Waiting {
        /// Which attempt.
        attempt: u32,
        /// For people.
        reason: WaitReason,
        /// The signal that ends it.
        signal: Option<String>,
        /// When the stage looks again.
        wake_at: Option<DateTime<Utc>>,
        /// When waiting has lasted too long.
        deadline: DateTime<Utc>,
        /// Since when.
        since: DateTime<Utc>,
    },
    /// The attempt lost its worker; the next one may start at once.
    Interrupted,
    /// Done.
    Succeeded {
        /// What it gave.
        output: Arc<Value>,
    },
    /// Failed for good on this branch.
    Failed {
        /// Why.
        error: Failure,
    },
    /// Does not run on this branch.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl StageState {
    /// The word of the contract: `pending running waiting succeeded failed skipped interrupted`.
    pub fn as_str(&self) -> &'static str {
        match self {
            StageState::Pending => "pending",
            StageState::Running { .. } => "running",
            StageState::RetryDue { .. } | StageState::Waiting { .. } => "waiting",
            StageState::Interrupted => "interrupted",
            StageState::Succeeded { .. } => "succeeded",
            StageState::Failed { .. } => "failed",
            StageState::Skipped { .. } => "skipped",
        }
    }

    /// Whether nothing more will come of it on this branch.
    pub fn is_done(&self) -> bool {
        match self {
            StageState::Succeeded { .. } | StageState::Failed { .. } => true,
            StageState::Skipped { .. } => true,
            StageState::Pending
            | StageState::Running { .. }
            | StageState::RetryDue { .. }
            | StageState::Waiting { .. }
            | StageState::Interrupted => false,
        }
    }
}

/// A stage of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name in the definition.
    pub name: String,
    /// Where it stands.
    pub state: StageState,
    /// Attempts begun so far, on all branches; the number of the newest.
    pub attempts: u32,
    /// Failed tries that count against the policy; starts again when the stage is reopened.
    pub tries: u32,
    /// Lost workers in a row.
    pub interruptions: u32,
    /// First start on this branch.
    pub started_at: Option<DateTime<Utc>>,
    /// Start of the newest attempt.
    pub attempt_started_at: Option<DateTime<Utc>>,
    /// End on this branch.
    pub finished_at: Option<DateTime<Utc>>,
    /// Recorded steps by key; a later attempt finds them.
    pub steps: BTreeMap<String, Value>,
    /// What a later stage found wrong, when this one was reopened.
    pub feedback: Value,
    /// Why the newest failed attempt failed; the next one is told.
    pub last_error: Option<Failure>,
    /// What the stage left for itself when it began to wait.
    pub memo: Value,
    /// When it first began to wait on this branch; its wait limit counts from here.
    pub first_wait_at: Option<DateTime<Utc>>,
    /// Signals taken by it, oldest first; offered when it resumes.
    pub signals: Vec<Signal>,
    /// What it used up, on all branches.
    pub cost: Cost,
    /// Its newest word on how far it is.
    pub progress: String,
}

impl Stage {
    /// A stage that has not begun.
    pub fn new(name: &str) -> Self {
        Stage {
            name: name.to_owned(),
            state: StageState::Pending,
            attempts: 0,
            tries: 0,
            interruptions: 0,
            started_at: None,
            attempt_started_at: None,
            finished_at: None,
            steps: BTreeMap::new(),
            feedback: Value::Null,
            last_error: None,
            memo: Value::Null,
            first_wait_at: None,
            signals: Vec::new(),
            cost: Cost::default(),
            progress: String::new(),
        }
    }

    /// What it gave, if it succeeded.
    pub fn output(&self) -> Option<&Value> {
        match &self.state {
            StageState::Succeeded { output } => Some(output),
            StageState::Pending
            | StageState::Running { .. }
            | StageState::RetryDue { .. }
            | StageState::Waiting { .. }
            | StageState::Interrupted
            | StageState::Failed { .. }
            | StageState::Skipped { .. } => None,
        }
    }

    /// Why its newest attempt failed, if that is where it stands.
    pub fn error(&self) -> Option<&Failure> {
        match &self.state {
            StageState::Failed { error } | StageState::RetryDue { error, .. } => Some(error),
            StageState::Pending
            | StageState::Running { .. }
            | StageState::Waiting { .. }
            | StageState::Interrupted
            | StageState::Succeeded { .. }
            | StageState::Skipped { .. } => None,
        }
    }
}

/// A message that an execution received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// Its content.
    pub payload: Value,
    /// When.
    pub at: DateTime<Utc>,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// Every stage is done.
    Completed,
    /// Because of this.
    Failed {
        /// Why.
        error: Failure,
        /// Where, if in a stage.
        stage: Option<String>,
    },
    /// Somebody asked for it.
    Cancelled,
}

/// Status of an execution, in the words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker.
    #[default]
    Queued,
    /// A stage runs.
    Running,
    /// Waits for a signal, a person or a moment.
    Waiting,
    /// Somebody has to say `resume`.
    Paused,
    /// Done.
    Completed,
    /// Ended by a failure.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Status; 7] = [
        Status::Queued,
        Status::Running,
        Status::Waiting,
        Status::Paused,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];

    /// The word in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Paused => "paused",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        }
    }

    /// Whether only a rewind leads on from here.
    pub fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Cancelled)
    }
}

/// The state of one execution. `Default` is the state before its first event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Execution {
    /// Sequence of the last event folded; 0 before the first.
    pub version: u64,
    /// What it was asked for with; `None` before its first event.
    pub request: Option<Arc<Request>>,
    /// The current branch, from 1.
    pub branch: u32,
    /// Its stages, in the order of the definition.
    pub stages: Stages,
    /// Repair loops used on this branch.
    pub loops: u32,
    /// The worker that holds it.
    pub worker: Option<Uuid>,
    /// Set between the request to cancel and its confirmation.
    pub cancel: Option<Motive>,
    /// Set while it is paused.
    pub pause: Option<Motive>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Signals that no stage has taken yet.
    pub inbox: Vec<Signal>,
    /// Keys of signals received, so that a repeat is harmless.
    pub signal_keys: Vec<String>,
    /// What it used up.
    pub cost: Cost,
    /// When it was requested.
    pub requested_at: Option<DateTime<Utc>>,
    /// When its first stage started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Active time of ended attempts on this branch, in ms; the deadline counts it.
    pub active_ms: u64,
    /// When the last event happened.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Serialize for Execution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Execution::serialize(self, serializer)
    }
}

/// What is counted about the stages hangs on the definition, which stands beside them.
impl<'de> Deserialize<'de> for Execution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut state = Execution::deserialize(deserializer)?;
        if let Some(request) = &state.request {
            state.stages.connect(&request.definition);
        }
        Ok(state)
    }
}

impl Execution {
    /// A stage by name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.get(self.stages.graph().index_of(name)?)
    }

    /// What the definition says of a stage.
    pub fn policy(&self, stage: &str) -> Option<&StageDefinition> {
        let definition = &self.request.as_ref()?.definition;
        definition.stages.get(self.stages.graph().index_of(stage)?)
    }

    /// Whether side effects are denied.
    pub fn is_what_if(&self) -> bool {
        self.request.as_ref().and_then(|r| r.origin.as_ref()).is_some_and(|o| o.what_if)
    }

    /// Whether any attempt is under way.
    pub fn is_anything_running(&self) -> bool {
        self.stages.is_any_running()
    }

    /// The required stage that failed for good, if one did.
    pub fn broken_stage(&self) -> Option<(&Stage, &Failure)> {
        let stage = self.stages.get(self.stages.broken()?)?;
        Some((stage, stage.error()?))
    }

    /// Status in the words of the contract; derived, never stored.
    pub fn status(&self) -> Status {
        match &self.outcome {
            Some(Outcome::Completed) => return Status::Completed,
            Some(Outcome::Failed { .. }) => return Status::Failed,
            Some(Outcome::Cancelled) => return Status::Cancelled,
            None => {}
        }
        if self.is_anything_running() {
            return Status::Running;
        }
        if self.pause.is_some() {
            return Status::Paused;
        }
        if self.stages.is_any_waiting() { Status::Waiting } else { Status::Queued }
    }

    /// Events that it may have before attempts record no more.
    pub fn history_max(&self) -> u64 {
        self.request.as_ref().and_then(|r| r.limits.history_max).unwrap_or(HISTORY_MAX)
    }

    /// Whether the history has grown so long that people should know.
    pub fn is_history_long(&self) -> bool {
        let limit = self.request.as_ref().and_then(|r| r.limits.history_warn);
        self.version >= limit.unwrap_or(HISTORY_WARN)
    }

    /// Share of stages that are done on this branch, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.stages.is_empty() {
            return 0.0;
        }
        self.stages.done() as f64 / self.stages.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::failure::ErrorKind;
    use serde_json::json;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_900_000_000, 0).expect("a time")
    }

    fn error() -> Failure {
        Failure::new(ErrorKind::Transient, "away")
    }

    /// Every state with its word, whether it is done, and whether it shows an error.
    fn states() -> [(StageState, &'static str, bool, bool); 8] {
        let reason = WaitReason { kind: "ci".to_owned(), detail: "checks".to_owned() };
        let waiting = StageState::Waiting {
            attempt: 1,
            reason,
            signal: None,
            wake_at: None,
            deadline: at(),
            since: at(),
        };
        [
            (StageState::Pending, "pending", false, false),
            (StageState::Running { attempt: 1 }, "running", false, false),
            (StageState::RetryDue { due: at(), error: error() }, "waiting", false, true),
            (waiting, "waiting", false, false),
            (StageState::Interrupted, "interrupted", false, false),
            (StageState::Succeeded { output: Arc::new(json!(7)) }, "succeeded", true, false),
            (StageState::Failed { error: error() }, "failed", true, true),
            (StageState::Skipped { reason: "no".to_owned() }, "skipped", true, false),
        ]
    }

    #[test]
    fn each_state_has_its_word() {
        for (state, word, is_done, has_error) in states() {
            let stage = Stage { state, ..Stage::new("build") };
            assert_eq!(stage.state.as_str(), word);
            assert_eq!(stage.state.is_done(), is_done, "{word}");
            assert_eq!(stage.error().is_some(), has_error, "{word}");
            assert_eq!(stage.output(), (word == "succeeded").then_some(&json!(7)), "{word}");
        }
    }

    #[test]
    fn a_status_has_one_name() {
        for status in Status::ALL {
            assert_eq!(json!(status), status.as_str());
        }
        let terminal = Status::ALL.into_iter().filter(|s| s.is_terminal()).map(Status::as_str);
        assert_eq!(terminal.collect::<Vec<_>>(), ["completed", "failed", "cancelled"]);
    }

    #[test]
    fn the_status_is_that_of_the_stages() {
        #[track_caller]
        fn check(states: &[usize], pause: bool, expected: Status) {
            let stage = |i: &usize| Stage { state: states_at(*i), ..Stage::new("s") };
            let execution = Execution {
                stages: states.iter().map(stage).collect::<Vec<_>>().into(),
                pause: pause.then(Motive::default),
                ..Execution::default()
            };
            assert_eq!(execution.status(), expected);
        }
        fn states_at(index: usize) -> StageState {
            states()[index].0.clone()
        }
        check(&[], false, Status::Queued);
        check(&[0, 4], false, Status::Queued);
        check(&[1, 3], false, Status::Running);
        check(&[1], true, Status::Running);
        check(&[3], true, Status::Paused);
        check(&[0, 2], false, Status::Waiting);
        check(&[3, 5], false, Status::Waiting);
    }

    #[test]
    fn an_end_is_the_status() {
        let ended = |outcome| Execution { outcome: Some(outcome), ..Execution::default() }.status();
        let failed = Outcome::Failed { error: error(), stage: None };
        assert_eq!(ended(Outcome::Completed), Status::Completed);
        assert_eq!(ended(failed), Status::Failed);
        assert_eq!(ended(Outcome::Cancelled), Status::Cancelled);
    }

    #[test]
    fn progress_is_the_share_of_what_is_done() {
        let stages = states().map(|(state, ..)| Stage { state, ..Stage::new("s") });
        let execution = Execution { stages: Vec::from(stages).into(), ..Execution::default() };
        assert_eq!(execution.progress(), 3.0 / 8.0);
        assert_eq!(Execution::default().progress(), 0.0);
    }
}

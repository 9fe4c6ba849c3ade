//! What can be asked of an execution. `decide` answers with events or a refusal.
//!
//! Commands carry everything that is not in the state: times, ids, random numbers. A command is
//! never stored.

use super::event::{Cost, Motive, Request, WaitReason};
use super::failure::Failure;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A wish; in the order of a life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Command {
    /// Bring it into being.
    Request(Box<Request>),
    /// A worker takes it over, whoever had it before.
    Claim { worker: Uuid, fence: Uuid },
    /// Begin the next attempt of a stage.
    Start { stage: String },
    /// Leave a stage out.
    Skip { stage: String, reason: String },
    /// Keep the result of a unit inside an attempt.
    RecordStep { stage: String, attempt: u32, key: String, value: Value },
    /// Say how far an attempt is.
    Progress {
        stage: String,
        attempt: u32,
        message: String,
        #[serde(default)]
        fraction: Option<f64>,
    },
    /// An attempt succeeded.
    Succeed {
        stage: String,
        attempt: u32,
        output: Value,
        #[serde(default)]
        cost: Cost,
        #[serde(default)]
        log_digest: Option<String>,
    },
    /// An attempt failed. `jitter`, 0 to 1, spreads the retries of many.
    Fail {
        stage: String,
        attempt: u32,
        error: Failure,
        #[serde(default)]
        cost: Cost,
        #[serde(default)]
        log_digest: Option<String>,
        #[serde(default)]
        jitter: f64,
    },
    /// An attempt waits.
    Wait {
        stage: String,
        attempt: u32,
        reason: WaitReason,
        #[serde(default)]
        signal: Option<String>,
        #[serde(default)]
        wake_at: Option<DateTime<Utc>>,
        #[serde(default)]
        memo: Value,
        /// Whether this wait has the stage's wait limit to itself, and a due time is not bound by it.
        /// Else the limit counts from the stage's first wait, because it looks again and again.
        #[serde(default)]
        in_midst: bool,
        #[serde(default)]
        cost: Cost,
    },
    /// A waiting stage goes on, because its signal or its moment has come.
    Wake { stage: String },
    /// A waiting stage has waited too long.
    ExpireWait { stage: String },
    /// An attempt was cut off by its own worker.
    Interrupt {
        stage: String,
        attempt: u32,
        reason: String,
        #[serde(default)]
        cost: Cost,
    },
    /// The worker that held it is gone: everything that ran is cut off.
    Abandon { reason: String },
    /// A message for it.
    Signal {
        name: String,
        payload: Value,
        #[serde(default)]
        key: Option<String>,
        #[serde(default)]
        motive: Motive,
    },
    /// Start nothing new.
    Pause {
        #[serde(default)]
        motive: Motive,
    },
    /// Go on.
    Resume {
        #[serde(default)]
        motive: Motive,
    },
    /// End it.
    Cancel {
        #[serde(default)]
        motive: Motive,
    },
    /// Nothing runs any more: the cancellation is done.
    ConfirmCancel {},
    /// Record how it ended, as its stages say.
    Conclude {},
    /// Go on from an earlier stage, on a new branch.
    Rewind {
        from: String,
        #[serde(default)]
        set: Value,
        /// Keep the steps that `from` recorded.
        #[serde(default)]
        keep_steps: bool,
        /// Do not offer again the signals that reset stages had taken.
        #[serde(default)]
        drop_signals: bool,
        #[serde(default)]
        motive: Motive,
    },
    /// Rewind a failed or cancelled one to where it stopped.
    Retry {
        #[serde(default)]
        motive: Motive,
    },
}

/// Why a command changes nothing. A value, not a fault: the state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no first event.
    #[error("the execution does not exist")]
    Unborn,
    /// It has one already.
    #[error("the execution exists already")]
    Exists,
    /// It has ended.
    #[error(
        "the execution is {status} and takes no `{command}`; {} opens a new branch",
        if *status == "completed" { "`rewind`" } else { "`retry` or `rewind`" }
    )]
    Ended {
        /// How.
        status: &'static str,
        /// What was asked.
        command: &'static str,
    },
    /// No such stage.
    #[error("the workflow has no stage `{stage}`; its stages: {known}")]
    NoStage {
        /// What was asked for.
        stage: String,
        /// What there is.
        known: String,
    },
    /// A result of an attempt that is over.
    #[error("attempt {attempt} of stage `{stage}` is no longer current ({now}); drop this result")]
    Stale {
        /// The stage.
        stage: String,
        /// The attempt that reports.
        attempt: u32,
        /// What is the case instead.
        now: String,
    },
    /// Its history is full.
    #[error(
        "the history has {events} events, and {limit} are allowed: nothing more is recorded of stage \
         `{stage}`; split the work, or let a stage of kind `continue` go on in a new execution, or \
         raise LONGHAUL_HISTORY_MAX for new executions"
    )]
    TooLong {
        /// The stage.
        stage: String,
        /// How many there are.
        events: u64,
        /// How many there may be.
        limit: u64,
    },
    /// It does not fit the state.
    #[error("{0}")]
    NotNow(String),
}

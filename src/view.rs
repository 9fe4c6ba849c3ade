//! What the outside sees of an execution: the JSON shapes of the contract.
//!
//! Pure: a state goes in, a shape comes out. The command line prints them and the server sends them,
//! so that there is one shape for one thing.

use crate::store::{ExecutionRow, Stored, Waiting};
use crate::workflow::definition::StageDefinition;
use crate::workflow::event::Cost;
use crate::workflow::resources::{Offer, need, unmet};
use crate::workflow::state::{Execution, Outcome, Stage, StageState, Status};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// An execution, as `run` and `show` give it.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutionView {
    /// The execution.
    pub execution_id: Uuid,
    /// Its task.
    pub task_id: Uuid,
    /// Its workflow.
    pub workflow: WorkflowRef,
    /// `queued running waiting paused completed failed cancelled`.
    pub status: Status,
    /// Its current branch.
    pub branch: u32,
    /// Sequence of its last event.
    pub version: u64,
    /// When it was requested.
    pub requested_at: Option<DateTime<Utc>>,
    /// When its first stage started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// 0 to 1.
    pub progress: f64,
    /// Why nothing happens, when nothing does.
    pub waiting_reason: Option<WaitingReason>,
    /// Why it failed.
    pub error: Option<ErrorView>,
    /// Its history grows long; none while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryView>,
    /// The execution that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Uuid>,
    /// The execution whose work it goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<Uuid>,
    /// What it used up.
    pub cost: Cost,
    /// A local path or `OWNER/NAME`.
    pub repository: Option<String>,
    /// Repair loops used on this branch.
    pub loops: u32,
    /// What it was forked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginView>,
    /// Its stages, in order.
    pub stages: Vec<StageView>,
    /// The structured task.
    pub task: Value,
    /// Where the events are, when an archive alone has them; then there are no stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archived>,
}

/// Where the events of an execution are that are not in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// The month, as in `2026-10`.
    pub month: String,
    /// The directory of the archive.
    pub place: String,
}

/// What an execution was forked from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OriginView {
    /// The other one.
    pub execution_id: Uuid,
    /// Its last event then.
    pub sequence: u64,
    /// Its branch then.
    pub branch: u32,
    /// The stage that ran first.
    pub from: String,
    /// Whether side effects are denied.
    pub what_if: bool,
}

/// A long history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HistoryView {
    /// How many events it has.
    pub events: u64,
    /// From how many on attempts record no more steps and progress.
    pub limit: u64,
}

/// A workflow by name and version.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// Why an execution waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitingReason {
    /// `worker`, `label`, `key`, `limit`, `rate_limit`, `circuit`, `retry`, `paused`, or what a stage says: `approval`, `ci`, ...
    pub kind: String,
    /// What exactly.
    pub detail: String,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

/// A failure.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorView {
    /// An `ErrorKind` in words.
    pub kind: &'static str,
    /// What happened, to what, what to do.
    pub message: String,
    /// The stage it happened in.
    pub stage: Option<String>,
}

/// A stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// `pending running waiting succeeded failed skipped interrupted`.
    pub status: &'static str,
    /// Whether its failure fails the execution.
    pub required: bool,
    /// Attempts begun.
    pub attempts: u32,
    /// First start on this branch.
    pub started_at: Option<DateTime<Utc>>,
    /// End on this branch.
    pub finished_at: Option<DateTime<Utc>>,
    /// From start to end, waiting included.
    pub duration_ms: Option<i64>,
    /// What it gave.
    pub output: Option<Value>,
    /// Why its newest attempt failed.
    pub error: Option<Value>,
    /// Its newest word on how far it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How far the items of a map are; none for other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<ItemsView>,
}

/// Items of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ItemsView {
    /// How many there are.
    pub total: usize,
    /// Those whose output is recorded.
    pub succeeded: usize,
    /// Those that failed for good.
    pub failed: usize,
}

/// The shape of an execution.
pub fn execution(execution_id: Uuid, state: &Execution) -> ExecutionView {
    let request = state.request.as_deref();
    let definition = request.map(|r| &r.definition);
    let stages = definition.map(|d| d.stages.iter()).into_iter().flatten().zip(&state.stages);
    ExecutionView {
        execution_id,
        task_id: request.map_or(Uuid::nil(), |r| r.task_id),
        workflow: WorkflowRef {
            name: definition.map_or_else(String::new, |d| d.name.clone()),
            version: definition.map_or(0, |d| d.version),
        },
        status: state.status(),
        branch: state.branch,
        version: state.version,
        requested_at: state.requested_at,
        started_at: state.started_at,
        finished_at: state.finished_at,
        progress: state.progress(),
        waiting_reason: waiting_reason(state),
        error: error(state),
        history: state
            .is_history_long()
            .then(|| HistoryView { events: state.version, limit: state.history_max() }),
        parent: request.and_then(|r| r.parent.as_ref()).map(|p| p.execution_id),
        continues: request.and_then(|r| r.continues),
        cost: state.cost,
        repository: request.and_then(|r| r.repository.clone()),
        loops: state.loops,
        origin: request.and_then(|r| r.origin.as_deref()).map(|origin| OriginView {
            execution_id: origin.execution_id,
            sequence: origin.sequence,
            branch: origin.branch,
            from: origin.from.clone(),
            what_if: origin.what_if,
        }),
        stages: stages.map(|(definition, stage)| stage_view(definition, stage)).collect(),
        task: request.map_or(Value::Null, |r| r.task.clone()),
        archived: None,
    }
}

/// The shape of an execution whose events are archived: what its summary row tells.
pub fn archived(row: &ExecutionRow, archived: Archived) -> ExecutionView {
    let status = Status::ALL.into_iter().find(|s| s.as_str() == row.status);
    ExecutionView {
        execution_id: row.execution_id,
        task_id: row.task_id,
        workflow: WorkflowRef {
            name: row.workflow.clone(),
            version: row.workflow_version.unsigned_abs(),
        },
        status: status.unwrap_or(Status::Completed),
        branch: row.branch.unsigned_abs(),
        version: row.version.unsigned_abs(),
        requested_at: Some(row.requested_at),
        started_at: row.started_at,
        finished_at: row.finished_at,
        progress: f64::from(row.progress),
        waiting_reason: None,
        error: None,
        history: None,
        parent: None,
        continues: None,
        cost: Cost::default(),
        repository: row.repository.clone(),
        loops: 0,
        origin: None,
        stages: Vec::new(),
        task: json!({"title": row.title}),
        archived: Some(archived),
    }
}

fn stage_view(definition: &StageDefinition, stage: &Stage) -> StageView {
    let duration = stage.started_at.zip(stage.finished_at).map(|(a, b)| (b - a).num_milliseconds());
    StageView {
        name: stage.name.clone(),
        kind: definition.kind.clone(),
        status: stage.state.as_str(),
        required: definition.required,
        attempts: stage.attempts,
        started_at: stage.started_at,
        finished_at: stage.finished_at,
        duration_ms: duration,
        output: stage.output().cloned(),
        error: stage.error().map(|e| json!({"kind": e.kind.as_str(), "message": e.message})),
        message: stage.progress.clone(),
        items: definition.map.as_ref().and_then(|_| items(stage)),
    }
}

fn items(stage: &Stage) -> Option<ItemsView> {
    let total = usize::try_from(stage.steps.get("items")?.as_u64()?).ok()?;
    let recorded = (0..total).filter_map(|index| stage.steps.get(&format!("item:{index}")));
    let (mut succeeded, mut failed) = (0, 0);
    for item in recorded {
        *if item.get("error").is_some() { &mut failed } else { &mut succeeded } += 1;
    }
    Some(ItemsView { total, succeeded, failed })
}

fn error(state: &Execution) -> Option<ErrorView> {
    match &state.outcome {
        Some(Outcome::Failed { error, stage }) => Some(ErrorView {
            kind: error.kind.as_str(),
            message: error.message.clone(),
            stage: stage.clone(),
        }),
        Some(Outcome::Completed | Outcome::Cancelled) | None => None,
    }
}

/// Why nothing happens, as data; none while something runs or after the end.
pub fn waiting_reason(state: &Execution) -> Option<WaitingReason> {
    let reason = |kind: &str, detail: String, since| {
        Some(WaitingReason { kind: kind.to_owned(), detail, since })
    };
    match state.status() {
        Status::Running | Status::Completed | Status::Failed | Status::Cancelled => None,
        Status::Paused => {
            let why = state.pause.as_ref().map_or("", |m| m.reason.as_str());
            let detail = format!("paused: {why}; `longhaul resume` goes on");
            reason("paused", detail, state.updated_at)
        }
        Status::Queued => reason("worker", "no worker has taken it".to_owned(), state.updated_at),
        Status::Waiting => state.stages.iter().find_map(|stage| match &stage.state {
            StageState::Waiting { reason: why, since, .. } => {
                let detail = format!("stage `{}`: {}", stage.name, why.detail);
                reason(&why.kind, detail, Some(*since))
            }
            StageState::RetryDue { due, error } => {
                let said = format!("stage `{}` is tried again at {due}", stage.name);
                reason("retry", format!("{said}, after: {}", error.message), state.updated_at)
            }
            StageState::Pending
            | StageState::Running { .. }
            | StageState::Interrupted
            | StageState::Succeeded { .. }
            | StageState::Failed { .. }
            | StageState::Skipped { .. } => None,
        }),
    }
}

/// What is known outside of an execution's own history about why it waits.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Stages that wait for keys, the longest first.
    pub waiting: Vec<Waiting>,
    /// What the workers offer.
    pub offers: Vec<Offer>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// Why nothing happens, with what is known around the execution: a key that somebody else holds, a
/// label that no worker offers.
pub fn waiting_reason_among(
    execution_id: Uuid,
    state: &Execution,
    around: &Surroundings,
) -> Option<WaitingReason> {
    let own = waiting_reason(state)?;
    if own.kind == "paused" {
        return Some(own);
    }
    if let Some(wait) = around.waiting.iter().find(|w| w.execution_id == execution_id) {
        return Some(for_key(wait));
    }
    let need = need(state, around.now, &|_| false).unwrap_or_default();
    if own.kind == "worker"
        && let Some(detail) = unmet(&need, &around.offers)
    {
        return Some(WaitingReason { kind: "label".to_owned(), detail, ..own });
    }
    Some(own)
}

fn for_key(wait: &Waiting) -> WaitingReason {
    if wait.kind != "key" {
        return for_service(wait);
    }
    let kind = if wait.at_most == 1 { "key" } else { "limit" };
    let (stage, key, n) = (&wait.stage, &wait.key, wait.at_most);
    let held = wait.holders.as_ref().map_or_else(
        || "which has just become free".to_owned(),
        |holders| format!("which is held by {holders}"),
    );
    let limit = if n == 1 { String::new() } else { format!(" (at most {n} at once)") };
    WaitingReason {
        kind: kind.to_owned(),
        detail: format!("stage `{stage}` waits for key `{key}`{limit}, {held}"),
        since: Some(wait.since),
    }
}

fn for_service(wait: &Waiting) -> WaitingReason {
    let service = wait.key.trim_start_matches("service:");
    let why = match wait.kind.as_str() {
        "circuit" => "which failed too often in a row",
        _ => "which may not be asked faster",
    };
    let until = wait.until.map(|t| format!(", until {t}")).unwrap_or_default();
    WaitingReason {
        kind: wait.kind.clone(),
        detail: format!("stage `{}` waits for service `{service}`, {why}{until}", wait.stage),
        since: Some(wait.since),
    }
}

/// A line of `history`.
pub fn history_line(stored: &Stored) -> Value {
    let mut data: Map<String, Value> = serde_json::from_str(&stored.payload).unwrap_or_default();
    let name = data.shift_remove("type").unwrap_or_default();
    json!({
        "sequence": stored.sequence,
        "type": name,
        "at": stored.at,
        "branch": stored.branch,
        "actor": stored.actor,
        "data": data,
        "hash": hex::encode(stored.hash),
        "position": {"lane": stored.lane, "sequence": stored.lane_sequence},
        "event_id": stored.event_id,
    })
}

//! Judges what people and workers ask of an execution as a whole: claim, signal, pause, cancel,
//! conclude, rewind, retry.
//!
//! Knows nothing of single attempts; see `attempt`.

use super::find;
use crate::workflow::command::Refusal;
use crate::workflow::definition::OnExhausted;
use crate::workflow::event::{Event, Motive, Request, is_too_deep, too_deep};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::next::{self, Action};
use crate::workflow::state::{Execution, Outcome, StageState};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// A stream explains itself, so what it was asked for with must be readable for ever.
pub(super) fn request(request: &Request) -> Result<Vec<Event>, Refusal> {
    let parts =
        [("task", &request.task), ("input", &request.input), ("settings", &request.settings)];
    if let Some((name, _)) = parts.into_iter().find(|(_, part)| is_too_deep(part)) {
        return Err(Refusal::NotNow(too_deep(&format!("`{name}` of the execution"))));
    }
    Ok(vec![Event::ExecutionRequested(Arc::new(request.clone()))])
}

/// A claim over a dead worker cuts off what that one had running. One that comes too late says so.
pub(super) fn claim(state: &Execution, at: DateTime<Utc>, worker: Uuid, fence: Uuid) -> Vec<Event> {
    let before = state.worker.map_or_else(|| "nobody".to_owned(), |w| w.to_string());
    let mut events = super::attempt::abandon(state, &format!("worker {before} is gone"));
    events.push(Event::ExecutionClaimed { worker, fence });
    events.extend(waited_too_long(state, at));
    events
}

/// What becomes of an execution that no worker took in time.
fn waited_too_long(state: &Execution, at: DateTime<Utc>) -> Option<Event> {
    let definition = &state.request.as_ref()?.definition;
    let (stage, limit) = next::queue_limit(state, at)?;
    let ready = next::ready_since(state)?;
    if (at - ready).num_milliseconds() < i64::try_from(limit).unwrap_or(i64::MAX) {
        return None;
    }
    let own = state.policy(&stage).and_then(|p| p.on_exhausted);
    let said = format!("no worker took it for {} s", (at - ready).num_seconds());
    let message = format!("{said}, longer than its `queue_ms` of {limit}; run more workers");
    Some(match own.unwrap_or(definition.on_exhausted) {
        OnExhausted::Pause => super::attempt::paused(message),
        OnExhausted::Fail => failed(Failure::new(ErrorKind::Timeout, message), Some(stage)),
    })
}

/// A repeated key is harmless: it changes nothing.
pub(super) fn signal(
    state: &Execution,
    name: &str,
    payload: &Value,
    key: Option<&str>,
    motive: &Motive,
) -> Result<Vec<Event>, Refusal> {
    if key.is_some_and(|k| state.signal_keys.iter().any(|seen| seen == k)) {
        return Ok(Vec::new());
    }
    if name.is_empty() {
        return Err(Refusal::NotNow("a signal needs a name".to_owned()));
    }
    if is_too_deep(payload) {
        return Err(Refusal::NotNow(too_deep(&format!("the content of signal `{name}`"))));
    }
    Ok(vec![Event::SignalReceived {
        name: name.to_owned(),
        payload: payload.clone(),
        key: key.map(str::to_owned),
        motive: motive.clone(),
    }])
}

pub(super) fn pause(state: &Execution, motive: &Motive) -> Result<Vec<Event>, Refusal> {
    if state.pause.is_some() {
        return Err(Refusal::NotNow("the execution is paused already".to_owned()));
    }
    Ok(vec![Event::ExecutionPaused { motive: motive.clone() }])
}

pub(super) fn resume(state: &Execution, motive: &Motive) -> Result<Vec<Event>, Refusal> {
    if state.pause.is_none() {
        let status = state.status().as_str();
        return Err(Refusal::NotNow(format!("the execution is {status}, not paused")));
    }
    Ok(vec![Event::ExecutionResumed { motive: motive.clone() }])
}

/// When nothing runs, the request and its confirmation are one.
pub(super) fn cancel(state: &Execution, motive: &Motive) -> Result<Vec<Event>, Refusal> {
    if state.cancel.is_some() {
        return Err(Refusal::NotNow("the execution is being cancelled already".to_owned()));
    }
    let mut events = vec![Event::CancellationRequested { motive: motive.clone() }];
    if !state.is_anything_running() {
        events.push(Event::ExecutionCancelled {});
    }
    Ok(events)
}

pub(super) fn confirm_cancel(state: &Execution) -> Result<Vec<Event>, Refusal> {
    if state.cancel.is_none() || state.is_anything_running() {
        return Err(Refusal::NotNow("there is no cancellation to confirm".to_owned()));
    }
    Ok(vec![Event::ExecutionCancelled {}])
}

/// Completed or failed, as the stages say.
pub(super) fn conclude(state: &Execution) -> Result<Vec<Event>, Refusal> {
    let actions = next::conclusions(state);
    match actions.into_iter().next() {
        Some(Action::Complete) => Ok(vec![Event::ExecutionCompleted {}]),
        Some(Action::Fail { error, stage }) => Ok(vec![failed(error, stage)]),
        _ => Err(Refusal::NotNow("the execution is not at its end".to_owned())),
    }
}

fn failed(error: Failure, stage: Option<String>) -> Event {
    Event::ExecutionFailed { error, stage }
}

/// What a rewind is asked for with.
pub(super) struct GoBack<'a> {
    pub(super) from: &'a str,
    pub(super) set: &'a Value,
    pub(super) keep_steps: bool,
    pub(super) motive: &'a Motive,
}

pub(super) fn rewind(
    state: &Execution,
    wish: &GoBack<'_>,
    drop_signals: bool,
) -> Result<Vec<Event>, Refusal> {
    let GoBack { from, set, keep_steps, motive } = *wish;
    find(state, from)?;
    if state.is_anything_running() {
        let said = "the execution is running; cancel it, or pause it and wait, before going back";
        return Err(Refusal::NotNow(said.to_owned()));
    }
    if !(set.is_null() || set.is_object()) {
        return Err(Refusal::NotNow("settings to change must be an object".to_owned()));
    }
    if is_too_deep(set) {
        return Err(Refusal::NotNow(too_deep("the object of settings to change")));
    }
    let Some(request) = &state.request else { return Err(Refusal::Unborn) };
    let definition = &request.definition;
    let first = state.stages.graph().index_of(from).unwrap_or(0);
    if let Some(open) = held_up_by(state, first) {
        let is_done = state.stages[open].state.is_done();
        let (open, how) =
            (&definition.stages[open].name, if is_done { "failed" } else { "is not done" });
        let said = format!("stage `{from}` needs `{open}`, which {how}; begin there");
        return Err(Refusal::NotNow(said));
    }
    let reset = reset_by(state, first);
    let offered = if drop_signals { Vec::new() } else { offered_again(state, &reset) };
    Ok(vec![Event::ExecutionRewound {
        from: from.to_owned(),
        branch: state.branch + 1,
        set: set.clone(),
        reset: reset.into_iter().map(|i| definition.stages[i].name.clone()).collect(),
        offered,
        keep_steps: keep_steps && !state.stages[first].steps.is_empty(),
        motive: motive.clone(),
    }])
}

/// A person's word on a piece of work is not one on the next.
const APPROVAL: &str = "approval";

/// Names of the signals that the stages had taken.
fn offered_again(state: &Execution, reset: &[usize]) -> Vec<String> {
    let taken = reset.iter().flat_map(|i| &state.stages[*i].signals);
    let names: BTreeSet<&str> = taken.map(|s| s.name.as_str()).collect();
    names.into_iter().filter(|n| *n != APPROVAL).map(str::to_owned).collect()
}

/// Whether a stage still has to run: it is not done, or failed although it is required.
fn is_open(state: &Execution, index: usize) -> bool {
    let required = state.request.as_ref().is_none_or(|r| r.definition.stages[index].required);
    match &state.stages[index].state {
        StageState::Failed { .. } => required,
        other => !other.is_done(),
    }
}

/// A stage that has to run before the one at `index`.
fn held_up_by(state: &Execution, index: usize) -> Option<usize> {
    let graph = state.stages.graph();
    let mut open = graph.needs_of(index).iter().copied().filter(|n| is_open(state, *n));
    let has_won = |n: &usize| state.stages[*n].output().is_some();
    if graph.joins_any(index) && graph.needs_of(index).iter().any(has_won) {
        return None;
    }
    open.next()
}

/// The stage, and others that failed, each with everything behind it: what failed and stayed so
/// would end the new branch at once.
fn reset_by(state: &Execution, first: usize) -> Vec<usize> {
    let has_failed = |i: &usize| state.stages[*i].state.is_done() && is_open(state, *i);
    let others = (0..state.stages.len()).filter(has_failed);
    let reset: BTreeSet<usize> =
        others.chain([first]).flat_map(|i| state.stages.graph().downstream_of(i)).collect();
    reset.into_iter().collect()
}

/// The first stage that still has to run and whose needs are done.
fn first_open(state: &Execution) -> Option<String> {
    let may_begin = |i: &usize| is_open(state, *i) && held_up_by(state, *i).is_none();
    (0..state.stages.len()).find(may_begin).map(|i| state.stages[i].name.clone())
}

/// Back to the stage that failed, or to the first one that is not done.
pub(super) fn retry(state: &Execution, motive: &Motive) -> Result<Vec<Event>, Refusal> {
    let failed_at = match &state.outcome {
        Some(Outcome::Failed { stage, .. }) => stage.clone(),
        Some(Outcome::Cancelled) => None,
        Some(Outcome::Completed) | None => {
            let status = state.status().as_str();
            let hint = if state.pause.is_some() { "; `resume` goes on" } else { "" };
            let said =
                format!("the execution is {status}; only a failed or cancelled one is retried");
            return Err(Refusal::NotNow(format!("{said}{hint}")));
        }
    };
    let Some(from) = failed_at.or_else(|| first_open(state)) else {
        return Err(Refusal::NotNow("every stage is done; rewind to the one to repeat".to_owned()));
    };
    let wish = GoBack { from: &from, set: &Value::Null, keep_steps: false, motive };
    rewind(state, &wish, false)
}

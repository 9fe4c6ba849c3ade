//! Judges what people and workers ask of an execution as a whole: claim, signal, pause, cancel,
//! conclude, rewind, retry.
//!
//! Knows nothing of single attempts; see `attempt`.

use super::find;
use crate::workflow::command::Refusal;
use crate::workflow::event::{Event, Motive};
use crate::workflow::failure::Failure;
use crate::workflow::next::{self, Action};
use crate::workflow::state::{Execution, Outcome, StageState};
use serde_json::Value;
use uuid::Uuid;

/// A claim over a dead worker cuts off what that one had running.
pub(super) fn claim(state: &Execution, worker: Uuid, fence: Uuid) -> Vec<Event> {
    let before = state.worker.map_or_else(|| "nobody".to_owned(), |w| w.to_string());
    let mut events = super::attempt::abandon(state, &format!("worker {before} is gone"));
    events.push(Event::ExecutionClaimed { worker, fence });
    events
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

pub(super) fn rewind(
    state: &Execution,
    from: &str,
    set: &Value,
    motive: &Motive,
) -> Result<Vec<Event>, Refusal> {
    find(state, from)?;
    if state.is_anything_running() {
        let said = "the execution is running; cancel it, or pause it and wait, before going back";
        return Err(Refusal::NotNow(said.to_owned()));
    }
    if !(set.is_null() || set.is_object()) {
        return Err(Refusal::NotNow("settings to change must be an object".to_owned()));
    }
    let Some(request) = &state.request else { return Err(Refusal::Unborn) };
    let definition = &request.definition;
    let first = definition.index_of(from).unwrap_or(0);
    let reset = definition.downstream_of(first);
    let not_before =
        definition.needs_of(first).into_iter().find(|n| !state.stages[*n].state.is_done());
    if let Some(open) = not_before {
        let open = &definition.stages[open].name;
        let said = format!("stage `{from}` needs `{open}`, which is not done; begin there");
        return Err(Refusal::NotNow(said));
    }
    Ok(vec![Event::ExecutionRewound {
        from: from.to_owned(),
        branch: state.branch + 1,
        set: set.clone(),
        reset: reset.into_iter().map(|i| definition.stages[i].name.clone()).collect(),
        motive: motive.clone(),
    }])
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
    let first_open = || {
        let open = |s: &&crate::workflow::state::Stage| {
            !s.state.is_done() || matches!(s.state, StageState::Failed { .. })
        };
        state.stages.iter().find(open).map(|s| s.name.clone())
    };
    let Some(from) = failed_at.or_else(first_open) else {
        return Err(Refusal::NotNow("every stage is done; rewind to the one to repeat".to_owned()));
    };
    rewind(state, &from, &Value::Null, motive)
}

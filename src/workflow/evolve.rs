//! Folds one event into the state. No judgement: what has happened, has happened.
//!
//! There is no `_` arm, so that the compiler asks for every new event. Never refuses: an event about
//! a stage that the definition does not have is counted and otherwise ignored.

use super::event::{Event, Happened, Request};
use super::stages::Stages;
use super::state::{Execution, Outcome, Signal, Stage, StageState};
use crate::config::run::merge;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;

/// The state after `happened`.
pub fn evolve(state: &mut Execution, happened: &Happened) {
    let at = happened.at;
    state.version += 1;
    state.updated_at = Some(at);
    match &happened.event {
        Event::ExecutionRequested(request) => requested(state, request, at),
        Event::ExecutionClaimed { worker, .. } => state.worker = Some(*worker),
        Event::StageStarted { stage, attempt } => started(state, stage, *attempt, at),
        Event::StepRecorded { stage, key, value, .. } => on(state, stage, |s| {
            s.steps.insert(key.clone(), value.clone());
        }),
        Event::StageProgressed { stage, message, .. } => on(state, stage, |s| {
            s.progress.clone_from(message);
        }),
        Event::StageSucceeded { stage, output, .. } => {
            let output = Arc::new(output.clone());
            end_attempt(state, stage, at, StageState::Succeeded { output });
        }
        Event::StageFailed { stage, error, is_final: true, .. } => {
            end_attempt(state, stage, at, StageState::Failed { error: error.clone() });
            on(state, stage, |s| s.last_error = Some(error.clone()));
        }
        Event::StageFailed { stage, error, is_final: false, .. } => {
            let due = StageState::RetryDue { due: at, error: error.clone() };
            end_attempt(state, stage, at, due);
            on(state, stage, |s| {
                s.tries += 1;
                s.finished_at = None;
                s.last_error = Some(error.clone());
            });
        }
        Event::StageRetryScheduled { stage, due, .. } => on(state, stage, |s| {
            if let StageState::RetryDue { due: d, .. } = &mut s.state {
                *d = *due;
            }
        }),
        Event::StageWaiting { stage, attempt, reason, signal, wake_at, deadline, memo } => {
            let waiting = StageState::Waiting {
                attempt: *attempt,
                reason: reason.clone(),
                signal: signal.clone(),
                wake_at: *wake_at,
                deadline: *deadline,
                since: at,
            };
            end_attempt(state, stage, at, waiting);
            on(state, stage, |s| {
                s.finished_at = None;
                s.first_wait_at.get_or_insert(at);
                s.memo.clone_from(memo);
            });
        }
        Event::StageResumed { stage, attempt } => resumed(state, stage, *attempt, at),
        Event::StageInterrupted { stage, .. } => on(state, stage, |s| {
            s.state = StageState::Interrupted;
            s.interruptions += 1;
        }),
        Event::StageSkipped { stage, reason } => on(state, stage, |s| {
            s.state = StageState::Skipped { reason: reason.clone() };
            s.finished_at = Some(at);
        }),
        Event::StageReopened { stage, repair_loop, feedback, reset, .. } => {
            state.loops = *repair_loop;
            reset_stages(state, reset);
            on(state, stage, |s| s.feedback.clone_from(feedback));
        }
        Event::SignalReceived { name, payload, key, .. } => {
            state.signal_keys.extend(key.clone());
            state.inbox.push(Signal { name: name.clone(), payload: payload.clone(), at });
        }
        // The stage goes on with StageResumed, which follows.
        Event::TimerFired { .. } => {}
        Event::BudgetSpent { stage, cost, .. } => {
            add(&mut state.cost, cost);
            on(state, stage, |s| add(&mut s.cost, cost));
        }
        Event::ExecutionPaused { motive } => state.pause = Some(motive.clone()),
        Event::ExecutionResumed { .. } => {
            state.pause = None;
            // A person has looked: the poison guard counts anew.
            for index in 0..state.stages.len() {
                state.stages.change(index, |s| s.interruptions = 0);
            }
        }
        Event::CancellationRequested { motive } => state.cancel = Some(motive.clone()),
        Event::ExecutionCancelled {} => end(state, at, Outcome::Cancelled),
        Event::ExecutionRewound { from, branch, set, reset, offered, keep_steps, .. } => {
            let steps = state.stage(from).filter(|_| *keep_steps).map(|s| s.steps.clone());
            offer_again(state, reset, offered);
            rewound(state, *branch, set, reset);
            on(state, from, |s| s.steps = steps.unwrap_or_default());
        }
        Event::ExecutionCompleted {} => end(state, at, Outcome::Completed),
        Event::ExecutionFailed { error, stage } => {
            end(state, at, Outcome::Failed { error: error.clone(), stage: stage.clone() });
        }
    }
}

/// The state after a whole history.
pub fn fold<'a>(history: impl IntoIterator<Item = &'a Happened>) -> Execution {
    let mut state = Execution::default();
    history.into_iter().for_each(|happened| evolve(&mut state, happened));
    state
}

fn on(state: &mut Execution, stage: &str, change: impl FnOnce(&mut Stage)) {
    if let Some(index) = state.stages.graph().index_of(stage) {
        state.stages.change(index, change);
    }
}

fn requested(state: &mut Execution, request: &Arc<Request>, at: DateTime<Utc>) {
    state.branch = 1;
    state.requested_at = Some(at);
    state.stages = Stages::of(&request.definition);
    state.request = Some(Arc::clone(request));
    for carried in request.origin.iter().flat_map(|o| &o.stages) {
        on(state, &carried.name, |s| s.clone_from(carried));
    }
    state.inbox = request.origin.as_ref().map(|o| o.inbox.clone()).unwrap_or_default();
}

fn started(state: &mut Execution, stage: &str, attempt: u32, at: DateTime<Utc>) {
    state.started_at.get_or_insert(at);
    on(state, stage, |s| {
        s.state = StageState::Running { attempt };
        s.attempts = attempt;
        s.started_at.get_or_insert(at);
        s.attempt_started_at = Some(at);
        s.progress.clear();
    });
}

/// Ends the active time of an attempt. Lost workers do not come here: how long the attempt was
/// truly active is not known, and the time until it was noticed must not count.
fn end_attempt(state: &mut Execution, stage: &str, at: DateTime<Utc>, then: StageState) {
    let mut active = 0;
    on(state, stage, |s| {
        let began = s.attempt_started_at.filter(|_| matches!(s.state, StageState::Running { .. }));
        active = began.map_or(0, |b| (at - b).num_milliseconds().max(0));
        s.state = then;
        s.interruptions = 0;
        s.finished_at = Some(at);
    });
    state.active_ms += active as u64;
}

/// The stage takes the signals it waited for out of the inbox.
fn resumed(state: &mut Execution, stage: &str, attempt: u32, at: DateTime<Utc>) {
    let mut taken: Vec<Signal> = Vec::new();
    if let Some(StageState::Waiting { signal: Some(name), .. }) =
        state.stage(stage).map(|s| &s.state).cloned()
    {
        (taken, state.inbox) = state.inbox.drain(..).partition(|i| i.name == name);
    }
    on(state, stage, |s| {
        s.signals.extend(taken);
        s.state = StageState::Running { attempt };
        s.attempt_started_at = Some(at);
    });
}

/// Back to the beginning; what was attempted and what it cost stays counted.
fn reset_stages(state: &mut Execution, names: &[String]) {
    for name in names {
        on(state, name, |s| {
            *s = Stage { attempts: s.attempts, cost: s.cost, ..Stage::new(name) };
        });
    }
}

/// What stages that begin again had taken goes back into the inbox, the oldest first.
fn offer_again(state: &mut Execution, reset: &[String], offered: &[String]) {
    if offered.is_empty() {
        return;
    }
    let taken = reset.iter().filter_map(|name| state.stage(name)).flat_map(|s| &s.signals);
    let mut again: Vec<Signal> = taken.filter(|s| offered.contains(&s.name)).cloned().collect();
    again.append(&mut state.inbox);
    again.sort_by_key(|s| s.at);
    state.inbox = again;
}

fn rewound(state: &mut Execution, branch: u32, set: &Value, reset: &[String]) {
    state.branch = branch;
    state.loops = 0;
    state.active_ms = 0;
    state.outcome = None;
    state.finished_at = None;
    state.cancel = None;
    state.pause = None;
    reset_stages(state, reset);
    if let Some(request) = state.request.as_mut().filter(|_| !set.is_null()) {
        let request = Arc::make_mut(request);
        merge(&mut request.settings, set);
        // The one limit that is a setting too; the definition's were pinned with the request.
        if let Some(limit) = set.pointer("/limits/cost_usd") {
            request.limits.cost_usd = limit.as_f64();
        }
    }
}

fn end(state: &mut Execution, at: DateTime<Utc>, outcome: Outcome) {
    state.outcome = Some(outcome);
    state.finished_at = Some(at);
    state.pause = None;
    state.worker = None;
}

fn add(total: &mut super::event::Cost, cost: &super::event::Cost) {
    total.usd += cost.usd;
    total.input_tokens += cost.input_tokens;
    total.output_tokens += cost.output_tokens;
}

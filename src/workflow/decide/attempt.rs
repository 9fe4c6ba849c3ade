//! Judges what attempts report: started, done, failed, waiting, cut off.
//!
//! The rule of retries, repair loops and pauses is in `after_failure`, and nowhere else.

use super::find;
use crate::workflow::command::{Command, Refusal};
use crate::workflow::definition::{Definition, OnExhausted, StageDefinition};
use crate::workflow::event::{Cost, Event, Motive};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::next::{self, Action};
use crate::workflow::state::{Execution, Stage, StageState};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// What every outcome of an attempt carries.
pub(super) struct Report<'a> {
    pub(super) stage: &'a str,
    pub(super) attempt: u32,
    pub(super) cost: &'a Cost,
    pub(super) log_digest: &'a Option<String>,
}

pub(super) fn start(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &str,
) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    if !next::next(state, at).contains(&Action::Start { stage: stage.to_owned() }) {
        let now = found.state.as_str();
        return Err(Refusal::NotNow(format!("stage `{stage}` is {now} and cannot start now")));
    }
    Ok(vec![Event::StageStarted { stage: stage.to_owned(), attempt: found.attempts + 1 }])
}

pub(super) fn skip(state: &Execution, stage: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    if found.state != StageState::Pending {
        let now = found.state.as_str();
        return Err(Refusal::NotNow(format!("stage `{stage}` is {now} and cannot be skipped")));
    }
    Ok(vec![Event::StageSkipped { stage: stage.to_owned(), reason: reason.to_owned() }])
}

pub(super) fn record_step(
    state: &Execution,
    stage: &str,
    attempt: u32,
    key: &str,
    value: &Value,
) -> Result<Vec<Event>, Refusal> {
    if running(state, stage, attempt)?.steps.contains_key(key) {
        return Err(Refusal::NotNow(format!(
            "step `{key}` of stage `{stage}` is recorded already"
        )));
    }
    let (stage, key, value) = (stage.to_owned(), key.to_owned(), value.clone());
    Ok(vec![Event::StepRecorded { stage, attempt, key, value }])
}

pub(super) fn progress(
    state: &Execution,
    stage: &str,
    attempt: u32,
    message: &str,
    fraction: Option<f64>,
) -> Result<Vec<Event>, Refusal> {
    running(state, stage, attempt)?;
    let (stage, message) = (stage.to_owned(), message.to_owned());
    Ok(vec![Event::StageProgressed { stage, attempt, message, fraction }])
}

pub(super) fn succeed(
    state: &Execution,
    at: DateTime<Utc>,
    report: &Report<'_>,
    output: &Value,
) -> Result<Vec<Event>, Refusal> {
    let stage = running(state, report.stage, report.attempt)?;
    if let Some(unmet) = unmet_criterion(state, stage, output) {
        return fail(state, at, report, &unmet, 0.0);
    }
    let mut events = spent(report);
    events.push(Event::StageSucceeded {
        stage: report.stage.to_owned(),
        attempt: report.attempt,
        output: output.clone(),
        log_digest: report.log_digest.clone(),
    });
    Ok(events)
}

pub(super) fn fail(
    state: &Execution,
    at: DateTime<Utc>,
    report: &Report<'_>,
    error: &Failure,
    jitter: f64,
) -> Result<Vec<Event>, Refusal> {
    let stage = running(state, report.stage, report.attempt)?;
    let mut events = spent(report);
    let total = state.cost.usd + report.cost.usd;
    events.extend(after_failure(state, at, stage, report, error, jitter, total));
    Ok(events)
}

/// What follows a failed attempt: another try, an earlier stage again, a person, or the end of it.
fn after_failure(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &Stage,
    report: &Report<'_>,
    error: &Failure,
    jitter: f64,
    spent_usd: f64,
) -> Vec<Event> {
    let Some((definition, policy)) = policies(state, &stage.name) else { return Vec::new() };
    let failed = |error: &Failure, is_final: bool| Event::StageFailed {
        stage: stage.name.clone(),
        attempt: report.attempt,
        error: error.clone(),
        is_final,
        log_digest: report.log_digest.clone(),
    };
    let is_stopping = state.cancel.is_some() || state.broken_stage().is_some();
    let tries = stage.tries + 1;
    if !is_stopping && policy.retry.retries(error.kind) && tries < policy.attempts.unwrap_or(1) {
        if let Some(broke) = over_budget(state, spent_usd, stage.cost.usd + report.cost.usd) {
            return vec![failed(&broke, true)];
        }
        let wait = policy.retry.delay_ms(error, tries, jitter);
        let due = at + TimeDelta::milliseconds(i64::try_from(wait).unwrap_or(i64::MAX / 2));
        let scheduled = Event::StageRetryScheduled {
            stage: stage.name.clone(),
            attempt: stage.attempts + 1,
            due,
        };
        return vec![failed(error, false), scheduled];
    }
    if !is_stopping && error.kind == ErrorKind::Rejected && state.loops < definition.max_loops {
        if let Some(reopened) = reopen(state, definition, policy, error) {
            let target = reopened.stage().and_then(|s| state.stage(s));
            if let Some(broke) = over_budget(state, spent_usd, target.map_or(0.0, |t| t.cost.usd)) {
                return vec![failed(&broke, true)];
            }
            return vec![failed(error, false), reopened];
        }
    }
    let wants_person = error.kind == ErrorKind::NeedsPerson
        || policy.required && definition.on_exhausted == OnExhausted::Pause;
    if wants_person && !is_stopping {
        return vec![
            failed(error, false),
            paused(format!("stage `{}`: {}", stage.name, error.message)),
        ];
    }
    vec![failed(error, true)]
}

fn reopen(
    state: &Execution,
    definition: &Definition,
    policy: &StageDefinition,
    error: &Failure,
) -> Option<Event> {
    let target = policy.reopens.as_deref()?;
    let names = definition.downstream_of(definition.index_of(target)?);
    Some(Event::StageReopened {
        stage: target.to_owned(),
        by: policy.name.clone(),
        repair_loop: state.loops + 1,
        feedback: json!({"stage": policy.name, "message": error.message, "detail": error.detail}),
        reset: names.into_iter().map(|i| definition.stages[i].name.clone()).collect(),
    })
}

/// A stage that already spent money is not started again once the limit is reached.
fn over_budget(state: &Execution, spent_usd: f64, by_stage_usd: f64) -> Option<Failure> {
    let limit = state.request.as_ref()?.limits.cost_usd?;
    (spent_usd >= limit && by_stage_usd > 0.0).then(|| {
        let said = format!("the cost limit of {limit} USD is reached ({spent_usd:.4} USD spent)");
        let hint = "raise limits.cost_usd and retry";
        Failure::new(ErrorKind::Permanent, format!("{said}; {hint}"))
    })
}

pub(super) fn wait(
    state: &Execution,
    at: DateTime<Utc>,
    command: &Command,
) -> Result<Vec<Event>, Refusal> {
    let Command::Wait { stage, attempt, reason, signal, wake_at, memo, cost } = command else {
        return Ok(Vec::new());
    };
    running(state, stage, *attempt)?;
    if signal.is_none() && wake_at.is_none() {
        let said = format!("stage `{stage}` would wait for ever: give it a signal or a time");
        return Err(Refusal::NotNow(said));
    }
    let limit = policies(state, stage).and_then(|(_, p)| p.wait_limit_ms).unwrap_or(0);
    let since = waiting_since(state, stage).unwrap_or(at);
    let deadline = since + TimeDelta::milliseconds(i64::try_from(limit).unwrap_or(i64::MAX / 2));
    let mut events = spent(&Report { stage, attempt: *attempt, cost, log_digest: &None });
    events.push(Event::StageWaiting {
        stage: stage.clone(),
        attempt: *attempt,
        reason: reason.clone(),
        signal: signal.clone(),
        wake_at: *wake_at,
        deadline,
        memo: memo.clone(),
    });
    Ok(events)
}

/// A stage that polls begins its wait with its first poll, not with each.
fn waiting_since(state: &Execution, stage: &str) -> Option<DateTime<Utc>> {
    state.stage(stage).and_then(|s| s.first_wait_at)
}

pub(super) fn wake(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &str,
) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    let StageState::Waiting { attempt, signal, wake_at, .. } = &found.state else {
        let now = found.state.as_str();
        return Err(Refusal::NotNow(format!("stage `{stage}` is {now}, not waiting")));
    };
    let (stage, attempt) = (stage.to_owned(), *attempt);
    let has_signal = signal.as_ref().is_some_and(|n| state.inbox.iter().any(|s| s.name == *n));
    let resumed = Event::StageResumed { stage: stage.clone(), attempt };
    if has_signal {
        return Ok(vec![resumed]);
    }
    if wake_at.is_some_and(|due| due <= at) {
        return Ok(vec![Event::TimerFired { stage, attempt }, resumed]);
    }
    Err(Refusal::NotNow(format!("stage `{stage}` still waits: neither signal nor time has come")))
}

pub(super) fn expire_wait(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &str,
) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    let StageState::Waiting { attempt, reason, deadline, .. } = &found.state else {
        return Err(Refusal::NotNow(format!("stage `{stage}` is not waiting")));
    };
    if *deadline > at {
        return Err(Refusal::NotNow(format!("stage `{stage}` may wait until {deadline}")));
    }
    let said = format!("waited too long for {}: {}", reason.kind, reason.detail);
    // A wait that ran out is not tried again: the next try would wait just as long.
    let error = Failure::new(ErrorKind::Timeout, said);
    Ok(vec![Event::StageFailed {
        stage: stage.to_owned(),
        attempt: *attempt,
        error,
        is_final: true,
        log_digest: None,
    }])
}

pub(super) fn interrupt(
    state: &Execution,
    stage: &str,
    attempt: u32,
    reason: &str,
) -> Result<Vec<Event>, Refusal> {
    running(state, stage, attempt)?;
    let (stage, reason) = (stage.to_owned(), reason.to_owned());
    Ok(vec![Event::StageInterrupted { stage, attempt, reason }])
}

/// Every running attempt is cut off. A stage that loses its worker again and again may be what
/// kills it, so that after a bounded number a person has to look.
pub(super) fn abandon(state: &Execution, reason: &str) -> Vec<Event> {
    let limit = state.request.as_ref().map_or(u32::MAX, |r| r.definition.max_interruptions);
    let mut events = Vec::new();
    let mut poisoned = None;
    for stage in &state.stages {
        if let StageState::Running { attempt } = stage.state {
            let (name, reason) = (stage.name.clone(), reason.to_owned());
            events.push(Event::StageInterrupted { stage: name, attempt, reason });
            poisoned = poisoned.or((stage.interruptions + 1 >= limit).then_some(&stage.name));
        }
    }
    if let Some(stage) = poisoned.filter(|_| state.pause.is_none() && state.cancel.is_none()) {
        let said = format!("stage `{stage}` lost its worker {limit} times in a row");
        events.push(paused(format!("{said}; look at its log, then resume")));
    }
    events
}

fn paused(reason: String) -> Event {
    Event::ExecutionPaused { motive: Motive { reason, source: "worker".to_owned() } }
}

fn spent(report: &Report<'_>) -> Vec<Event> {
    if report.cost.is_zero() {
        return Vec::new();
    }
    let (stage, attempt, cost) = (report.stage.to_owned(), report.attempt, *report.cost);
    vec![Event::BudgetSpent { stage, attempt, cost }]
}

fn running<'a>(state: &'a Execution, stage: &str, attempt: u32) -> Result<&'a Stage, Refusal> {
    let found = find(state, stage)?;
    match &found.state {
        StageState::Running { attempt: current } if *current == attempt => Ok(found),
        StageState::Running { attempt: current } => {
            Err(stale(stage, attempt, format!("attempt {current} is running")))
        }
        other => Err(stale(stage, attempt, format!("the stage is {}", other.as_str()))),
    }
}

fn stale(stage: &str, attempt: u32, now: String) -> Refusal {
    Refusal::Stale { stage: stage.to_owned(), attempt, now }
}

fn policies<'a>(
    state: &'a Execution,
    stage: &str,
) -> Option<(&'a Definition, &'a StageDefinition)> {
    let definition = &state.request.as_ref()?.definition;
    Some((definition, definition.stages.get(definition.index_of(stage)?)?))
}

fn unmet_criterion(state: &Execution, stage: &Stage, output: &Value) -> Option<Failure> {
    let (_, policy) = policies(state, &stage.name)?;
    let lookup = |name: &str| {
        if name == stage.name { Some(output) } else { next::known_value(state, name) }
    };
    let unmet = policy.success.iter().find(|c| !c.holds(&lookup))?;
    let said = serde_json::to_string(unmet).unwrap_or_default();
    let message =
        format!("stage `{}` ended, but its success criterion does not hold: {said}", stage.name);
    Some(Failure::new(ErrorKind::Rejected, message).with_detail(json!({"output": output})))
}

//! Judges what attempts report: started, done, failed, waiting, cut off.
//!
//! The rule of retries, repair loops and pauses is in `after_failure`, and nowhere else.

use super::find;
use crate::workflow::command::{Command, Refusal};
use crate::workflow::definition::{
    DEFAULT_WAIT_LIMIT_MS, Definition, OnExhausted, StageDefinition,
};
use crate::workflow::event::{Cost, Event, Motive, is_too_deep, too_deep};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::fork::WOULD_HAVE;
use crate::workflow::next::{self, Action};
use crate::workflow::state::{Execution, Stage, StageState};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// What every outcome of an attempt carries.
pub(super) struct Report<'a> {
    pub(super) stage: &'a str,
    pub(super) attempt: u32,
    pub(super) cost: Cost,
    pub(super) log_digest: &'a Option<String>,
}

pub(super) fn start(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &str,
) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    if !matches!(next::next_of(state, stage, at), Some(Action::Start { .. })) {
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
    if is_too_deep(value) {
        return Err(Refusal::NotNow(too_deep(&format!("step `{key}` of stage `{stage}`"))));
    }
    has_room(state, stage)?;
    let (stage, key, value) = (stage.to_owned(), key.to_owned(), value.clone());
    Ok(vec![Event::StepRecorded { stage, attempt, key, value }])
}

/// Ends and waits are always recorded, so that nothing is stuck; what an attempt may say without end
/// is not.
fn has_room(state: &Execution, stage: &str) -> Result<(), Refusal> {
    let (events, limit) = (state.version, state.history_max());
    if events < limit {
        return Ok(());
    }
    Err(Refusal::TooLong { stage: stage.to_owned(), events, limit })
}

pub(super) fn progress(
    state: &Execution,
    stage: &str,
    attempt: u32,
    message: &str,
    fraction: Option<f64>,
) -> Result<Vec<Event>, Refusal> {
    running(state, stage, attempt)?;
    has_room(state, stage)?;
    let (stage, message) = (stage.to_owned(), message.to_owned());
    let fraction = fraction.filter(|f| f.is_finite()).map(|f| f.clamp(0.0, 1.0));
    Ok(vec![Event::StageProgressed { stage, attempt, message, fraction }])
}

pub(super) fn succeed(
    state: &Execution,
    at: DateTime<Utc>,
    report: &Report<'_>,
    output: &Value,
) -> Result<Vec<Event>, Refusal> {
    let stage = running(state, report.stage, report.attempt)?;
    if is_too_deep(output) {
        let said = too_deep(&format!("the output of stage `{}`", stage.name));
        return fail(state, at, report, &Failure::new(ErrorKind::Permanent, said), 0.0);
    }
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
    let attempts = policy.retry.attempts(error.kind, policy.attempts.unwrap_or(1));
    let due = later(at, policy.retry.delay_ms(error, tries, jitter));
    let may_retry = !is_stopping && policy.retry.retries(error.kind) && tries < attempts;
    let out_of_time = total_deadline(stage, policy).filter(|end| may_retry && due >= *end);
    let error = &out_of_time.map_or_else(|| error.clone(), |_| no_time_left(error, policy));
    if may_retry && out_of_time.is_none() {
        let by_stage = stage.cost.usd + report.cost.usd;
        if let Some(broke) = over_budget(state, error, spent_usd, by_stage) {
            return vec![failed(&broke, true)];
        }
        let scheduled = Event::StageRetryScheduled {
            stage: stage.name.clone(),
            attempt: stage.attempts + 1,
            due,
        };
        return vec![failed(error, false), scheduled];
    }
    if !is_stopping
        && error.kind == ErrorKind::Rejected
        && state.loops < definition.max_loops
        && let Some(reopened) = reopen(state, definition, policy, error)
    {
        let target = reopened.stage().and_then(|s| state.stage(s));
        let by_stage = target.map_or(0.0, |t| t.cost.usd);
        if let Some(broke) = over_budget(state, error, spent_usd, by_stage) {
            return vec![failed(&broke, true)];
        }
        let mut events = vec![failed(error, false)];
        events.extend(cut_off_by(state, &stage.name, &reopened));
        events.push(reopened);
        return events;
    }
    let wants_person = error.kind == ErrorKind::NeedsPerson
        || policy.required
            && policy.on_exhausted.unwrap_or(definition.on_exhausted) == OnExhausted::Pause;
    if wants_person && !is_stopping {
        return vec![
            failed(error, false),
            paused(format!("stage `{}`: {}", stage.name, error.message)),
        ];
    }
    vec![failed(error, true)]
}

/// When the stage has had its time, all attempts together; none if that is not bounded.
fn total_deadline(stage: &Stage, policy: &StageDefinition) -> Option<DateTime<Utc>> {
    Some(later(stage.started_at?, policy.total_ms?))
}

fn no_time_left(error: &Failure, policy: &StageDefinition) -> Failure {
    let total = policy.total_ms.unwrap_or_default();
    let message = format!(
        "{}; it is not tried again: its `total_ms` of {total} leaves no time for it",
        error.message
    );
    Failure { message, ..error.clone() }
}

fn reopen(
    state: &Execution,
    definition: &Definition,
    policy: &StageDefinition,
    error: &Failure,
) -> Option<Event> {
    let target = policy.reopens.as_deref()?;
    let graph = state.stages.graph();
    let names = graph.downstream_of(graph.index_of(target)?);
    Some(Event::StageReopened {
        stage: target.to_owned(),
        by: policy.name.clone(),
        repair_loop: state.loops + 1,
        feedback: json!({"stage": policy.name, "message": error.message, "detail": error.detail}),
        reset: names.into_iter().map(|i| definition.stages[i].name.clone()).collect(),
    })
}

/// What still runs on the work that is sent back is cut off: its result would be of no use, and its
/// stage begins again.
fn cut_off_by(state: &Execution, by: &str, reopened: &Event) -> Vec<Event> {
    let Event::StageReopened { stage: target, reset, .. } = reopened else { return Vec::new() };
    let reason = format!("stage `{by}` sent the work back to `{target}`");
    let running = state.stages.running().map(|index| &state.stages[index]);
    let others = running.filter(|s| s.name != by && reset.contains(&s.name));
    let cut_off = |s: &Stage| match s.state {
        StageState::Running { attempt } => {
            let (stage, reason) = (s.name.clone(), reason.clone());
            Some(Event::StageInterrupted { stage, attempt, reason })
        }
        _ => None,
    };
    others.filter_map(cut_off).collect()
}

/// A stage that already spent money is not started again once the limit is reached. Says so beside
/// what went wrong first.
fn over_budget(
    state: &Execution,
    error: &Failure,
    spent_usd: f64,
    by_stage_usd: f64,
) -> Option<Failure> {
    let limit = state.request.as_ref()?.limits.cost_usd?;
    (spent_usd >= limit && by_stage_usd > 0.0).then(|| {
        let said = format!("the cost limit of {limit} USD is reached ({spent_usd:.4} USD spent)");
        let hint = "rewind with a higher `limits.cost_usd` to go on";
        let message = format!("{}; it is not done again: {said}; {hint}", error.message);
        Failure::new(ErrorKind::Permanent, message).with_detail(error.detail.clone())
    })
}

pub(super) fn wait(
    state: &Execution,
    at: DateTime<Utc>,
    command: &Command,
) -> Result<Vec<Event>, Refusal> {
    let Command::Wait { stage, attempt, reason, signal, wake_at, memo, in_midst, cost } = command
    else {
        return Ok(Vec::new());
    };
    running(state, stage, *attempt)?;
    if signal.is_none() && wake_at.is_none() {
        let said = format!("stage `{stage}` would wait for ever: give it a signal or a time");
        return Err(Refusal::NotNow(said));
    }
    let policy = policies(state, stage).map(|(_, policy)| policy);
    let limit = policy.and_then(|p| p.wait_limit_ms);
    let end = policy.zip(state.stage(stage)).and_then(|(p, s)| total_deadline(s, p));
    let since = match wake_at {
        _ if !in_midst => waiting_since(state, stage).unwrap_or(at),
        Some(due) => at.max(*due),
        None => at,
    };
    let deadline = later(since, limit.unwrap_or(DEFAULT_WAIT_LIMIT_MS));
    let deadline = end.map_or(deadline, |end| end.min(deadline));
    let cost = cost.counted();
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
    let StageState::Waiting { attempt, .. } = found.state else { return Err(not_waiting(found)) };
    if !next::can_go_on(state, found, at) {
        let said = format!("stage `{stage}` still waits: neither signal nor time has come");
        return Err(Refusal::NotNow(said));
    }
    let stage = stage.to_owned();
    if !matches!(next::next_of(state, &stage, at), Some(Action::Wake { .. })) {
        let now = if state.pause.is_some() { "paused" } else { "ending" };
        let said = format!("stage `{stage}` cannot go on now: the execution is {now}");
        return Err(Refusal::NotNow(said));
    }
    let resumed = Event::StageResumed { stage: stage.clone(), attempt };
    if next::has_its_signal(state, found) {
        return Ok(vec![resumed]);
    }
    Ok(vec![Event::TimerFired { stage, attempt }, resumed])
}

fn not_waiting(stage: &Stage) -> Refusal {
    let now = match &stage.state {
        StageState::RetryDue { .. } => "to be tried again",
        other => other.as_str(),
    };
    Refusal::NotNow(format!("stage `{}` is {now}, not waiting", stage.name))
}

pub(super) fn expire_wait(
    state: &Execution,
    at: DateTime<Utc>,
    stage: &str,
) -> Result<Vec<Event>, Refusal> {
    let found = find(state, stage)?;
    let StageState::Waiting { attempt, reason, deadline, .. } = &found.state else {
        return Err(not_waiting(found));
    };
    if *deadline > at {
        return Err(Refusal::NotNow(format!("stage `{stage}` may wait until {deadline}")));
    }
    if next::can_go_on(state, found, at) {
        let said = format!("stage `{stage}` need not wait any more: its signal or time has come");
        return Err(Refusal::NotNow(said));
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

/// What the attempt spent is spent, though nothing came of it.
pub(super) fn interrupt(
    state: &Execution,
    report: &Report<'_>,
    reason: &str,
) -> Result<Vec<Event>, Refusal> {
    running(state, report.stage, report.attempt)?;
    let mut events = spent(report);
    let (stage, reason) = (report.stage.to_owned(), reason.to_owned());
    events.push(Event::StageInterrupted { stage, attempt: report.attempt, reason });
    Ok(events)
}

/// Every running attempt is cut off. A stage that loses its worker again and again may be what
/// kills it, so that after a bounded number a person has to look.
pub(super) fn abandon(state: &Execution, reason: &str) -> Vec<Event> {
    let limit = state.request.as_ref().map_or(u32::MAX, |r| r.definition.max_interruptions);
    let mut events = Vec::new();
    let mut poisoned = None;
    for stage in state.stages.running().map(|index| &state.stages[index]) {
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

pub(super) fn paused(reason: String) -> Event {
    Event::ExecutionPaused { motive: Motive { reason, source: "worker".to_owned() } }
}

fn spent(report: &Report<'_>) -> Vec<Event> {
    if report.cost.is_zero() {
        return Vec::new();
    }
    let (stage, attempt, cost) = (report.stage.to_owned(), report.attempt, report.cost);
    vec![Event::BudgetSpent { stage, attempt, cost }]
}

/// No delay is longer than a year: a service may ask for more than the calendar has.
const DELAY_MS_MAX: u64 = 366 * 24 * 3_600_000;

fn later(at: DateTime<Utc>, ms: u64) -> DateTime<Utc> {
    at + TimeDelta::milliseconds(ms.min(DELAY_MS_MAX) as i64)
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
    Some((&state.request.as_ref()?.definition, state.policy(stage)?))
}

fn unmet_criterion(state: &Execution, stage: &Stage, output: &Value) -> Option<Failure> {
    let (_, policy) = policies(state, &stage.name)?;
    let lookup = |name: &str| {
        if name == stage.name { Some(output) } else { next::known_value(state, name) }
    };
    // What a what-if did not do has no outcome to be judged.
    let is_denied = state.is_what_if() && output.get(WOULD_HAVE).is_some();
    let unmet = policy.success.iter().find(|c| !is_denied && !c.holds(&lookup))?;
    let said = serde_json::to_string(unmet).unwrap_or_default();
    let message =
        format!("stage `{}` ended, but its success criterion does not hold: {said}", stage.name);
    Some(Failure::new(ErrorKind::Rejected, message).with_detail(json!({"output": output})))
}

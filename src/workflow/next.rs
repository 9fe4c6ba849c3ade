//! What may happen now, and when to look again. Pure: the worker performs, and reports commands.
//!
//! Never decides an outcome: an action that is taken goes through `decide` like any other wish.

use super::command::{Command, Refusal};
use super::decide::apply;
use super::event::Happened;
use super::failure::{ErrorKind, Failure};
use super::state::{Execution, Stage, StageState, Status};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Something that may be done now.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Begin the next attempt of a stage.
    Start {
        /// Which.
        stage: String,
    },
    /// Leave a stage out, because its condition does not hold.
    Skip {
        /// Which.
        stage: String,
        /// Why.
        reason: String,
    },
    /// A waiting stage has its signal or its moment.
    Wake {
        /// Which.
        stage: String,
    },
    /// A waiting stage has waited too long.
    ExpireWait {
        /// Which.
        stage: String,
    },
    /// Stop what runs: the execution ends.
    Halt,
    /// Nothing runs any more and somebody wanted it cancelled.
    ConfirmCancel,
    /// Every stage is done.
    Complete,
    /// It ends because of this.
    Fail {
        /// Why.
        error: Failure,
        /// Where, if in a stage.
        stage: Option<String>,
    },
}

/// When an execution that nobody holds has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// Something may be done at once.
    Now,
    /// Not before then.
    At(DateTime<Utc>),
    /// Only when somebody says something.
    Never,
}

/// What may be done at `now`, in the order of the definition.
pub fn next(state: &Execution, now: DateTime<Utc>) -> Vec<Action> {
    if state.request.is_none() || state.outcome.is_some() {
        return Vec::new();
    }
    let ending = conclusions(state);
    if !ending.is_empty() {
        return ending;
    }
    stage_actions(state, now).collect()
}

/// What may be done for one stage at `now`.
pub fn next_of(state: &Execution, stage: &str, now: DateTime<Utc>) -> Option<Action> {
    let is_going_on = state.outcome.is_none() && conclusions(state).is_empty();
    let index = state.stages.graph().index_of(stage).filter(|_| is_going_on)?;
    stage_action(state, index, now)
}

/// The first of `next` that `is_open` admits, found without the others.
fn first_where(
    state: &Execution,
    now: DateTime<Utc>,
    is_open: &dyn Fn(&Action) -> bool,
) -> Option<Action> {
    if state.request.is_none() || state.outcome.is_some() {
        return None;
    }
    let ending = conclusions(state).into_iter().next();
    ending.or_else(|| stage_actions(state, now).find(|a| is_open(a)))
}

fn stage_actions(state: &Execution, now: DateTime<Utc>) -> impl Iterator<Item = Action> {
    state.stages.open().filter_map(move |index| stage_action(state, index, now))
}

/// How it ends, if it is at its end; `Halt` while something still runs.
pub fn conclusions(state: &Execution) -> Vec<Action> {
    let is_running = state.is_anything_running();
    let end = |action: Action| vec![if is_running { Action::Halt } else { action }];
    if state.outcome.is_some() {
        return Vec::new();
    }
    if state.cancel.is_some() {
        return end(Action::ConfirmCancel);
    }
    if let Some((stage, error)) = state.broken_stage() {
        return end(Action::Fail { error: error.clone(), stage: Some(stage.name.clone()) });
    }
    if !state.stages.is_empty() && state.stages.done() == state.stages.len() {
        return vec![Action::Complete];
    }
    if remaining_ms(state) == 0 {
        return end(Action::Fail { error: out_of_time(state), stage: None });
    }
    Vec::new()
}

/// Active time that is left to the execution, in ms.
pub fn remaining_ms(state: &Execution) -> u64 {
    let deadline = state.request.as_ref().and_then(|r| r.definition.deadline_ms);
    deadline.map_or(u64::MAX, |ms| ms.saturating_sub(state.active_ms))
}

/// A value that conditions may look at: `input`, `task`, or the output of a stage.
pub fn known_value<'a>(state: &'a Execution, name: &str) -> Option<&'a Value> {
    let request = state.request.as_ref()?;
    match name {
        "input" => Some(&request.input),
        "task" => Some(&request.task),
        stage => state.stages.outputs().get(stage),
    }
}

/// When to look again. Computed for `now`, because a due time in the past means now.
pub fn wake(state: &Execution, now: DateTime<Utc>) -> Wake {
    wake_beside(state, now, &|_| false)
}

/// The same, when the stages that `is_held_back` names may not begin now, although they could.
pub fn wake_beside(
    state: &Execution,
    now: DateTime<Utc>,
    is_held_back: &dyn Fn(&str) -> bool,
) -> Wake {
    let is_open = |a: &Action| begins(a).is_none_or(|stage| !is_held_back(stage));
    if first_where(state, now, &is_open).is_some() {
        return Wake::Now;
    }
    if state.outcome.is_some() || state.request.is_none() {
        return Wake::Never;
    }
    let others = state.stages.open().map(|index| &state.stages[index]);
    let others = others.filter(|s| !is_held_back(&s.name));
    others.filter_map(|s| due_at(state, s)).min().map_or(Wake::Never, Wake::At)
}

/// The stage whose attempt an action begins or continues.
pub fn begins(action: &Action) -> Option<&str> {
    match action {
        Action::Start { stage } | Action::Wake { stage } => Some(stage),
        Action::Skip { .. }
        | Action::ExpireWait { .. }
        | Action::Halt
        | Action::ConfirmCancel
        | Action::Complete
        | Action::Fail { .. } => None,
    }
}

/// Since when something may be done for an execution that nobody holds; none while something runs.
pub fn ready_since(state: &Execution) -> Option<DateTime<Utc>> {
    let changed = state.updated_at?;
    match state.status() {
        Status::Queued => Some(changed),
        Status::Waiting => match wake(state, changed) {
            Wake::Now => Some(changed),
            Wake::At(due) => Some(due),
            Wake::Never => None,
        },
        Status::Running | Status::Paused => None,
        Status::Completed | Status::Failed | Status::Cancelled => None,
    }
}

/// The first stage that is to start or to go on at `now` and may not wait for a worker for ever, and
/// how long it may, in ms.
pub fn queue_limit(state: &Execution, now: DateTime<Utc>) -> Option<(String, u64)> {
    let definition = &state.request.as_ref()?.definition;
    let limit = |action| match action {
        Action::Start { stage } | Action::Wake { stage } => {
            let own = state.policy(&stage).and_then(|p| p.queue_ms);
            own.or(definition.queue_ms).map(|limit| (stage, limit))
        }
        _ => None,
    };
    next(state, now).into_iter().find_map(limit)
}

/// Takes every action that needs no outside, again and again until none is left: skips, starts,
/// wake-ups, the end. The caller performs the attempts whose starts are among the events.
pub fn advance(state: &mut Execution, now: DateTime<Utc>) -> Result<Vec<Happened>, Refusal> {
    advance_where(state, now, &|_, _| true)
}

/// The same, but begins only stages that `may_begin` admits.
pub fn advance_where(
    state: &mut Execution,
    now: DateTime<Utc>,
    may_begin: &dyn Fn(&Execution, &str) -> bool,
) -> Result<Vec<Happened>, Refusal> {
    let mut happened = Vec::new();
    loop {
        let is_open = |a: &Action| begins(a).is_none_or(|stage| may_begin(state, stage));
        // One at a time: each may change what comes after it.
        let command = first_where(state, now, &is_open).and_then(as_command);
        let Some(command) = command else { return Ok(happened) };
        happened.extend(apply(state, now, &command)?);
    }
}

fn as_command(action: Action) -> Option<Command> {
    match action {
        Action::Start { stage } => Some(Command::Start { stage }),
        Action::Skip { stage, reason } => Some(Command::Skip { stage, reason }),
        Action::Wake { stage } => Some(Command::Wake { stage }),
        Action::ExpireWait { stage } => Some(Command::ExpireWait { stage }),
        Action::Halt => None,
        Action::ConfirmCancel => Some(Command::ConfirmCancel {}),
        Action::Complete | Action::Fail { .. } => Some(Command::Conclude {}),
    }
}

fn stage_action(state: &Execution, index: usize, now: DateTime<Utc>) -> Option<Action> {
    let stage = &state.stages[index];
    let name = || stage.name.clone();
    let is_held = state.pause.is_some();
    match &stage.state {
        StageState::Pending if state.stages.are_needs_met(index) => {
            let start = (!is_held).then(|| Action::Start { stage: name() });
            unmet_condition(state, index)
                .map_or(start, |reason| Some(Action::Skip { stage: name(), reason }))
        }
        StageState::Interrupted if !is_held => Some(Action::Start { stage: name() }),
        StageState::RetryDue { due, .. } if !is_held && *due <= now => {
            Some(Action::Start { stage: name() })
        }
        StageState::Waiting { .. } if can_go_on(state, stage, now) => {
            (!is_held).then(|| Action::Wake { stage: name() })
        }
        StageState::Waiting { deadline, .. } if *deadline <= now => {
            Some(Action::ExpireWait { stage: name() })
        }
        StageState::Pending
        | StageState::Interrupted
        | StageState::RetryDue { .. }
        | StageState::Waiting { .. }
        | StageState::Running { .. }
        | StageState::Succeeded { .. }
        | StageState::Failed { .. }
        | StageState::Skipped { .. } => None,
    }
}

fn due_at(state: &Execution, stage: &Stage) -> Option<DateTime<Utc>> {
    match &stage.state {
        StageState::RetryDue { due, .. } if state.pause.is_none() => Some(*due),
        StageState::Waiting { deadline, .. } => match looks_again_at(stage) {
            _ if has_its_signal(state, stage) => None,
            Some(due) => state.pause.is_none().then_some(due),
            None => Some(*deadline),
        },
        StageState::Pending
        | StageState::Interrupted
        | StageState::RetryDue { .. }
        | StageState::Running { .. }
        | StageState::Succeeded { .. }
        | StageState::Failed { .. }
        | StageState::Skipped { .. } => None,
    }
}

/// Whether a waiting stage has what it waited for: its signal, or its moment. This comes before its
/// deadline: what came in time counts, even if nobody was there to see it.
pub fn can_go_on(state: &Execution, stage: &Stage, now: DateTime<Utc>) -> bool {
    has_its_signal(state, stage) || looks_again_at(stage).is_some_and(|due| due <= now)
}

/// Whether the signal that a waiting stage waits for has come.
pub fn has_its_signal(state: &Execution, stage: &Stage) -> bool {
    let StageState::Waiting { signal: Some(name), .. } = &stage.state else { return false };
    state.inbox.iter().any(|s| s.name == *name)
}

/// When a waiting stage looks again by itself. One that began to wait after its deadline does not:
/// it could go on so for ever.
fn looks_again_at(stage: &Stage) -> Option<DateTime<Utc>> {
    let StageState::Waiting { wake_at, deadline, since, .. } = &stage.state else { return None };
    wake_at.filter(|due| due < deadline && since < deadline)
}

fn unmet_condition(state: &Execution, index: usize) -> Option<String> {
    let condition = state.request.as_ref()?.definition.stages[index].when.as_ref()?;
    let lookup = |name: &str| known_value(state, name);
    if condition.holds(&lookup) {
        return None;
    }
    let said = serde_json::to_string(condition).unwrap_or_default();
    Some(format!("its condition does not hold: {said}"))
}

fn out_of_time(state: &Execution) -> Failure {
    let ms = state.request.as_ref().and_then(|r| r.definition.deadline_ms).unwrap_or_default();
    let said = format!("the workflow's deadline of {} s of active time has passed", ms / 1_000);
    let hint = "raise `deadline_ms` of the workflow, or retry: a new branch has its own";
    Failure::new(ErrorKind::Timeout, format!("{said}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::definition::{Definition, StageDefinition};
    use crate::workflow::event::{Cost, Event, Request};
    use serde_json::json;
    use std::sync::Arc;

    fn execution() -> Execution {
        let request = json!({"task_id": uuid::Uuid::nil(), "task": {"type": "bugfix"},
            "definition": {"name": "w", "stages": [{"name": "a", "kind": "x"}]},
            "input": {"n": 1}, "priority": 5});
        let request: Request = serde_json::from_value(request).expect("a request");
        let mut state = Execution::default();
        apply(&mut state, DateTime::UNIX_EPOCH, &Command::Request(Box::new(request)))
            .expect("requested");
        state
    }

    #[test]
    fn nothing_is_to_be_done_before_the_first_event() {
        let unborn = Execution::default();
        assert_eq!(next(&unborn, DateTime::UNIX_EPOCH), []);
        assert_eq!(wake(&unborn, DateTime::UNIX_EPOCH), Wake::Never);
        assert_eq!(known_value(&unborn, "input"), None);
        assert_eq!(remaining_ms(&unborn), u64::MAX);
    }

    #[test]
    fn conditions_know_the_input_the_task_and_outputs() {
        let mut state = execution();
        assert_eq!(known_value(&state, "input"), Some(&json!({"n": 1})));
        assert_eq!(known_value(&state, "task"), Some(&json!({"type": "bugfix"})));
        assert_eq!(known_value(&state, "a"), None);
        let output = Arc::new(json!({"m": 2}));
        state.stages.change(0, |s| s.state = StageState::Succeeded { output });
        assert_eq!(known_value(&state, "a"), Some(&json!({"m": 2})));
        assert_eq!(known_value(&state, "nobody"), None);
    }

    #[test]
    fn time_that_is_left_never_falls_below_nothing() {
        let mut state = execution();
        if let Some(request) = &mut state.request {
            std::sync::Arc::make_mut(request).definition.deadline_ms = Some(1_000);
        }
        state.active_ms = 400;
        assert_eq!(remaining_ms(&state), 600);
        state.active_ms = 4_000;
        assert_eq!(remaining_ms(&state), 0);
    }

    /// With a look through all stages at each transition, this would take minutes.
    #[test]
    fn ten_thousand_stages_run_to_their_end() {
        let now = DateTime::UNIX_EPOCH;
        let stages = (0..10_000).map(|i| StageDefinition::new(format!("s{i}"), "x")).collect();
        let mut request = std::sync::Arc::unwrap_or_clone(execution().request.expect("a request"));
        request.definition = Definition::new("long", stages);
        let mut state = Execution::default();
        apply(&mut state, now, &Command::Request(Box::new(request))).expect("requested");
        for done in 0..10_000 {
            assert_eq!(advance(&mut state, now).expect("a start").len(), 1);
            let (stage, output) = (format!("s{done}"), json!({"n": done}));
            let (cost, log_digest) = (Cost::default(), None);
            let succeed = Command::Succeed { stage, attempt: 1, output, cost, log_digest };
            apply(&mut state, now, &succeed).expect("succeeded");
        }
        let ended = advance(&mut state, now).expect("the end").pop().map(|h| h.event);
        assert_eq!(ended, Some(Event::ExecutionCompleted {}));
    }
}

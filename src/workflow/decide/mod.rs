//! Answers a command with events or a refusal. Pure: the same state and command give the same
//! answer for ever.
//!
//! The branching is here, one arm per command in the order of a life; `attempt` judges what attempts
//! report, `control` what people ask for.

mod attempt;
mod control;

use super::command::{Command, Refusal};
use super::event::{Event, Happened};
use super::evolve::evolve;
use super::state::{Execution, Stage};
use chrono::{DateTime, Utc};

/// What happens when `command` is given at `at`.
pub fn decide(
    state: &Execution,
    at: DateTime<Utc>,
    command: &Command,
) -> Result<Vec<Event>, Refusal> {
    admit(state, command)?;
    match command {
        Command::Request(request) => control::request(request),
        Command::Claim { worker, fence } => Ok(control::claim(state, at, *worker, *fence)),
        Command::Start { stage } => attempt::start(state, at, stage),
        Command::Skip { stage, reason } => attempt::skip(state, stage, reason),
        Command::RecordStep { stage, attempt, key, value } => {
            attempt::record_step(state, stage, *attempt, key, value)
        }
        Command::Progress { stage, attempt, message, fraction } => {
            attempt::progress(state, stage, *attempt, message, *fraction)
        }
        Command::Succeed { stage, attempt, output, cost, log_digest } => {
            let cost = cost.counted();
            let report = attempt::Report { stage, attempt: *attempt, cost, log_digest };
            attempt::succeed(state, at, &report, output)
        }
        Command::Fail { stage, attempt, error, cost, log_digest, jitter } => {
            let cost = cost.counted();
            let report = attempt::Report { stage, attempt: *attempt, cost, log_digest };
            attempt::fail(state, at, &report, error, *jitter)
        }
        Command::Wait { .. } => attempt::wait(state, at, command),
        Command::Wake { stage } => attempt::wake(state, at, stage),
        Command::ExpireWait { stage } => attempt::expire_wait(state, at, stage),
        Command::Interrupt { stage, attempt, reason, cost } => {
            let cost = cost.counted();
            let report = attempt::Report { stage, attempt: *attempt, cost, log_digest: &None };
            attempt::interrupt(state, &report, reason)
        }
        Command::Abandon { reason } => Ok(attempt::abandon(state, reason)),
        Command::Signal { name, payload, key, motive } => {
            control::signal(state, name, payload, key.as_deref(), motive)
        }
        Command::Pause { motive } => control::pause(state, motive),
        Command::Resume { motive } => control::resume(state, motive),
        Command::Cancel { motive } => control::cancel(state, motive),
        Command::ConfirmCancel {} => control::confirm_cancel(state),
        Command::Conclude {} => control::conclude(state),
        Command::Rewind { from, set, keep_steps, drop_signals, motive } => {
            let wish = control::GoBack { from, set, keep_steps: *keep_steps, motive };
            control::rewind(state, &wish, *drop_signals)
        }
        Command::Retry { motive } => control::retry(state, motive),
    }
}

/// Decides and folds in one go; what callers that hold the state want.
pub fn apply(
    state: &mut Execution,
    at: DateTime<Utc>,
    command: &Command,
) -> Result<Vec<Happened>, Refusal> {
    let events = decide(state, at, command)?;
    Ok(events.into_iter().map(|event| happen(state, at, event)).collect())
}

fn happen(state: &mut Execution, at: DateTime<Utc>, event: Event) -> Happened {
    let happened = Happened { at, event };
    evolve(state, &happened);
    happened
}

/// Terminal is terminal: only a rewind leads on. Before the first event there is only the first.
fn admit(state: &Execution, command: &Command) -> Result<(), Refusal> {
    let name = command_name(command);
    match command {
        Command::Request(_) if state.request.is_some() => return Err(Refusal::Exists),
        Command::Request(_) => return Ok(()),
        _ if state.request.is_none() => return Err(Refusal::Unborn),
        Command::Rewind { .. } | Command::Retry { .. } => return Ok(()),
        _ => {}
    }
    if state.outcome.is_some() {
        return Err(Refusal::Ended { status: state.status().as_str(), command: name });
    }
    Ok(())
}

/// The command's name as people read it in a refusal.
pub fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Request(_) => "request",
        Command::Claim { .. } => "claim",
        Command::Start { .. } => "start",
        Command::Skip { .. } => "skip",
        Command::RecordStep { .. } => "record step",
        Command::Progress { .. } => "progress",
        Command::Succeed { .. } => "succeed",
        Command::Fail { .. } => "fail",
        Command::Wait { .. } => "wait",
        Command::Wake { .. } => "wake",
        Command::ExpireWait { .. } => "expire wait",
        Command::Interrupt { .. } => "interrupt",
        Command::Abandon { .. } => "abandon",
        Command::Signal { .. } => "signal",
        Command::Pause { .. } => "pause",
        Command::Resume { .. } => "resume",
        Command::Cancel { .. } => "cancel",
        Command::ConfirmCancel {} => "confirm cancel",
        Command::Conclude {} => "conclude",
        Command::Rewind { .. } => "rewind",
        Command::Retry { .. } => "retry",
    }
}

fn find<'a>(state: &'a Execution, stage: &str) -> Result<&'a Stage, Refusal> {
    state.stage(stage).ok_or_else(|| {
        let known = state.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
        Refusal::NoStage { stage: stage.to_owned(), known }
    })
}

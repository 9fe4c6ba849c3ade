//! Which command gave these events, and does it still give them?
//!
//! A command is never stored, but its events say nearly all of it. The jitter of a retry is not among
//! them: a due time counts when some jitter would have given it.

use crate::workflow::command::Command;
use crate::workflow::decide::decide;
use crate::workflow::event::{Cost, Event, Happened};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::state::{Execution, StageState};

/// What the core says to the events that follow a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// The first so many are what one command gives.
    Decided(usize),
    /// No command is known that could be asked.
    Unjudged,
    /// No command gives them here; this is what was to be expected instead.
    Differs(String),
}

/// How many events beyond the first may belong to one decision: every stage cut off, and what stands
/// around that.
pub fn lookahead(state: &Execution) -> usize {
    state.stages.len() + 6
}

/// Judges the events that come next, oldest first; at least one.
pub fn judge(state: &Execution, upcoming: &[&Happened]) -> Judgement {
    let Some(first) = upcoming.first() else { return Judgement::Unjudged };
    let Some(wishes) = wishes(state, first, upcoming) else { return Judgement::Unjudged };
    let mut said = Vec::new();
    for wish in &wishes {
        match decide(state, first.at, wish) {
            Ok(events) if fits(state, wish, &events, upcoming) => {
                return Judgement::Decided(events.len());
            }
            Ok(events) => said.push(shown(&events)),
            Err(refusal) => said.push(format!("a refusal: {refusal}")),
        }
    }
    said.dedup();
    if said.is_empty() {
        said.push("an event that a command begins with".to_owned());
    }
    Judgement::Differs(said.join(", or "))
}

fn shown(events: &[Event]) -> String {
    if events.is_empty() {
        return "nothing".to_owned();
    }
    let text = |e: &Event| serde_json::to_string(e).unwrap_or_else(|_| e.name().to_owned());
    events.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn fits(state: &Execution, wish: &Command, events: &[Event], upcoming: &[&Happened]) -> bool {
    let is_same = |(decided, found): (&Event, &&Happened)| {
        *decided == found.event || is_due_in_time(state, wish, decided, found)
    };
    !events.is_empty() && events.len() <= upcoming.len() && events.iter().zip(upcoming).all(is_same)
}

/// Whether a retry is due between the earliest moment (which was decided) and the latest.
fn is_due_in_time(state: &Execution, wish: &Command, decided: &Event, found: &Happened) -> bool {
    let Event::StageRetryScheduled { stage, attempt, due: earliest } = decided else {
        return false;
    };
    let Event::StageRetryScheduled { stage: s, attempt: a, due } = &found.event else {
        return false;
    };
    if (s, a) != (stage, attempt) || due < earliest {
        return false;
    }
    let mut latest = wish.clone();
    if let Command::Fail { jitter, .. } = &mut latest {
        *jitter = 1.0;
    }
    let is_latest = |e: &Event| matches!(e, Event::StageRetryScheduled { due: d, .. } if due <= d);
    let is_retry = |e: &Event| matches!(e, Event::StageRetryScheduled { .. });
    // The longest delay may leave no time for another try; then any that was decided is shorter.
    decide(state, found.at, &latest)
        .is_ok_and(|events| events.iter().any(is_latest) || !events.iter().any(is_retry))
}

/// The commands that may have given the events, the likeliest first; none if none is known, empty
/// if the first event never begins a decision.
fn wishes(state: &Execution, first: &Happened, upcoming: &[&Happened]) -> Option<Vec<Command>> {
    let one = |command: Command| Some(vec![command]);
    match &first.event {
        Event::ExecutionRequested(request) => {
            one(Command::Request(Box::new(request.as_ref().clone())))
        }
        Event::ExecutionClaimed { worker, fence } => {
            one(Command::Claim { worker: *worker, fence: *fence })
        }
        Event::StageStarted { stage, .. } => one(Command::Start { stage: stage.clone() }),
        Event::StepRecorded { stage, attempt, key, value } => one(Command::RecordStep {
            stage: stage.clone(),
            attempt: *attempt,
            key: key.clone(),
            value: value.clone(),
        }),
        Event::StageProgressed { stage, attempt, message, fraction } => one(Command::Progress {
            stage: stage.clone(),
            attempt: *attempt,
            message: message.clone(),
            fraction: *fraction,
        }),
        Event::BudgetSpent { cost, .. } => {
            Some(upcoming.get(1).map(|then| ends(state, then, *cost)).unwrap_or_default())
        }
        Event::StageSucceeded { .. } | Event::StageFailed { .. } | Event::StageWaiting { .. } => {
            Some(ends(state, first, Cost::default()))
        }
        Event::StageInterrupted { .. } => Some(cuts(state, first, upcoming)),
        Event::StageResumed { stage, .. } | Event::TimerFired { stage, .. } => {
            one(Command::Wake { stage: stage.clone() })
        }
        Event::StageSkipped { stage, reason } => {
            one(Command::Skip { stage: stage.clone(), reason: reason.clone() })
        }
        Event::SignalReceived { name, payload, key, motive } => one(Command::Signal {
            name: name.clone(),
            payload: payload.clone(),
            key: key.clone(),
            motive: motive.clone(),
        }),
        Event::ExecutionPaused { motive } => one(Command::Pause { motive: motive.clone() }),
        Event::ExecutionResumed { motive } => one(Command::Resume { motive: motive.clone() }),
        Event::CancellationRequested { motive } => one(Command::Cancel { motive: motive.clone() }),
        Event::ExecutionCancelled {} => one(Command::ConfirmCancel {}),
        Event::ExecutionRewound { from, set, offered, keep_steps, motive, .. } => {
            // Whether there was nothing to offer, or it was not wished, is not recorded.
            one(Command::Rewind {
                from: from.clone(),
                set: set.clone(),
                keep_steps: *keep_steps,
                drop_signals: offered.is_empty(),
                motive: motive.clone(),
            })
        }
        Event::ExecutionCompleted {} | Event::ExecutionFailed { .. } => one(Command::Conclude {}),
        // They follow others and begin nothing.
        Event::StageRetryScheduled { .. } | Event::StageReopened { .. } => Some(Vec::new()),
    }
}

/// The commands that end an attempt in this way.
fn ends(state: &Execution, end: &Happened, cost: Cost) -> Vec<Command> {
    match &end.event {
        Event::StageSucceeded { stage, attempt, output, log_digest } => vec![Command::Succeed {
            stage: stage.clone(),
            attempt: *attempt,
            output: output.clone(),
            cost,
            log_digest: log_digest.clone(),
        }],
        Event::StageWaiting { stage, attempt, reason, signal, wake_at, memo, .. } => {
            // Whether the attempt waited in its midst is not recorded.
            let wait = |in_midst| Command::Wait {
                stage: stage.clone(),
                attempt: *attempt,
                reason: reason.clone(),
                signal: signal.clone(),
                wake_at: *wake_at,
                memo: memo.clone(),
                in_midst,
                cost,
            };
            vec![wait(false), wait(true)]
        }
        Event::StageInterrupted { stage, attempt, reason } => vec![Command::Interrupt {
            stage: stage.clone(),
            attempt: *attempt,
            reason: reason.clone(),
            cost,
        }],
        Event::StageFailed { stage, attempt, error, log_digest, .. } => {
            let is_waiting =
                matches!(state.stage(stage).map(|s| &s.state), Some(StageState::Waiting { .. }));
            if is_waiting {
                return vec![Command::ExpireWait { stage: stage.clone() }];
            }
            let fail = |error: &Failure, jitter: f64| Command::Fail {
                stage: stage.clone(),
                attempt: *attempt,
                error: error.clone(),
                cost,
                log_digest: log_digest.clone(),
                jitter,
            };
            let errors = std::iter::once(error.clone()).chain(before_the_bound(error));
            errors.flat_map(|e| [fail(&e, 0.0), fail(&e, 1.0)]).collect()
        }
        _ => Vec::new(),
    }
}

/// Where the words on a bound begin that ended the tries: a cost limit, the time of the stage.
const BOUNDS: [&str; 2] = ["; it is not done again: ", "; it is not tried again: "];

/// A failure that ran into a bound was another one before; of which kind is not always recorded.
fn before_the_bound(error: &Failure) -> Vec<Failure> {
    let kinds = [
        error.kind,
        ErrorKind::Transient,
        ErrorKind::RateLimited,
        ErrorKind::Timeout,
        ErrorKind::Interrupted,
        ErrorKind::Rejected,
        ErrorKind::NeedsPerson,
    ];
    // One bound may have come on top of the other.
    let ends = BOUNDS.iter().filter_map(|words| error.message.rfind(words));
    let was = |at: usize| {
        let message = error.message[..at].to_owned();
        kinds.map(|kind| Failure { kind, message: message.clone(), ..error.clone() })
    };
    ends.flat_map(was).collect()
}

/// An attempt was cut off: by a claim over a dead worker, with all that ran, or by its own worker.
fn cuts(state: &Execution, first: &Happened, upcoming: &[&Happened]) -> Vec<Command> {
    let mut commands = Vec::new();
    let is_part = |h: &&&Happened| {
        h.at == first.at
            && matches!(h.event, Event::StageInterrupted { .. } | Event::ExecutionPaused { .. })
    };
    let cut = upcoming.iter().take_while(is_part).count();
    if let Some(Event::ExecutionClaimed { worker, fence }) = upcoming.get(cut).map(|h| &h.event) {
        commands.push(Command::Claim { worker: *worker, fence: *fence });
    }
    if let Event::StageInterrupted { reason, .. } = &first.event {
        commands.push(Command::Abandon { reason: reason.clone() });
    }
    commands.extend(ends(state, first, Cost::default()));
    commands
}

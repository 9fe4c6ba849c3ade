//! Forking: the request of a new execution that shares its beginning with another one.
//!
//! The other one is only read. What was done before the cut is carried in the first event of the new
//! one, so that its stream explains itself.

use super::command::{Command, Refusal};
use super::decide::decide;
use super::event::{Cost, Happened, Motive, Origin, Request};
use super::evolve::evolve;
use super::state::{Execution, Stage, StageState};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// The field of an output that says what a stage of a what-if would have done.
pub const WOULD_HAVE: &str = "would_have";

/// What a fork is asked for with.
#[derive(Clone, Debug, Default)]
pub struct Fork {
    /// The stage that runs first; everything it needs must be done.
    pub from: String,
    /// Settings that differ, an object; null for none.
    pub set: Value,
    /// Whether side effects are denied.
    pub what_if: bool,
}

/// The request of the fork. `state` is that of execution `id`, which may be in any status.
pub fn request(
    state: &Execution,
    id: Uuid,
    fork: &Fork,
    at: DateTime<Utc>,
) -> Result<Request, Refusal> {
    // What runs over there goes on over there; here it has not begun.
    let mut cut = state.clone();
    for index in state.stages.running().collect::<Vec<_>>() {
        cut.stages.change(index, |s| s.state = StageState::Interrupted);
    }
    let rewind = Command::Rewind {
        from: fork.from.clone(),
        set: fork.set.clone(),
        keep_steps: false,
        drop_signals: false,
        motive: Motive::default(),
    };
    for event in decide(&cut, at, &rewind)? {
        evolve(&mut cut, &Happened { at, event });
    }
    let Some(request) = cut.request.take() else { return Err(Refusal::Unborn) };
    let stages = cut.stages.iter().filter(|s| s.state.is_done()).map(carried).collect();
    let origin = Origin {
        execution_id: id,
        sequence: state.version,
        branch: state.branch,
        from: fork.from.clone(),
        set: fork.set.clone(),
        what_if: fork.what_if || state.is_what_if(),
        stages,
        inbox: cut.inbox.clone(),
    };
    // Its end is no news for the original's parent.
    Ok(Request {
        origin: Some(Box::new(origin)),
        parent: None,
        continues: None,
        ..Request::clone(&request)
    })
}

/// A stage as it is carried over: what it cost was spent by the other one.
fn carried(stage: &Stage) -> Stage {
    Stage { cost: Cost::default(), ..stage.clone() }
}

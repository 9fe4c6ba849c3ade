//! `cancel`, `pause`, `resume`, `retry`, `rewind`, `signal`, `approve`, `reject`.

use super::args::{Reasoned, Rewind, Signal};
use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::config::run::from_assignments;
use crate::engine::{Longhaul, ProcessError};
use crate::view;
use crate::workflow::state::{Execution, StageState};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

async fn open(session: &Session, id: &str) -> Result<(Longhaul, Uuid), CliError> {
    let engine = session.open().await?;
    let id = engine.store().find_execution(id).await?;
    Ok((engine, id))
}

fn done(session: &Session, id: Uuid, result: Result<Execution, ProcessError>, said: &str) -> Done {
    let state = result?;
    if session.json() {
        out::json(&view::execution(id, &state));
    } else {
        out::line(format!("execution {id}: {said}; it is {} now", state.status().as_str()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn cancel(session: &Session, args: &Reasoned) -> Done {
    let (engine, id) = open(session, &args.id).await?;
    done(session, id, engine.cancel(id, &args.reason).await, "cancellation requested")
}

pub(super) async fn pause(session: &Session, args: &Reasoned) -> Done {
    let (engine, id) = open(session, &args.id).await?;
    done(session, id, engine.pause(id, &args.reason).await, "paused")
}

pub(super) async fn resume(session: &Session, args: &Reasoned) -> Done {
    let (engine, id) = open(session, &args.id).await?;
    done(session, id, engine.resume(id, &args.reason).await, "resumed")
}

pub(super) async fn retry(session: &Session, args: &Reasoned) -> Done {
    let (engine, id) = open(session, &args.id).await?;
    done(
        session,
        id,
        engine.retry(id, &args.reason).await,
        "goes on where it stopped, on a new branch",
    )
}

pub(super) async fn rewind(session: &Session, args: &Rewind) -> Done {
    let set = if args.set.is_empty() { Value::Null } else { from_assignments(&args.set)? };
    let (engine, id) = open(session, &args.id).await?;
    let (keep_steps, drop_signals) = (args.keep_steps, args.drop_signals);
    let rewind = crate::engine::Rewind { from: args.from.clone(), set, keep_steps, drop_signals };
    let result = engine.rewind_with(id, rewind, &args.reason).await;
    done(session, id, result, "goes on from there, on a new branch")
}

pub(super) async fn signal(session: &Session, args: &Signal) -> Done {
    let wrong =
        |e: serde_json::Error| CliError::Usage(format!("the signal's content is not JSON: {e}"));
    let payload = args.payload.as_deref().map(serde_json::from_str).transpose().map_err(wrong)?;
    let (engine, id) = open(session, &args.id).await?;
    let payload = payload.unwrap_or_default();
    let result = engine.signal(id, &args.name, payload, args.key.clone(), &args.reason).await;
    done(session, id, result, "signal sent")
}

/// An approval is a signal; without a stage that waits for one it would lie unread.
pub(super) async fn approve(session: &Session, args: &Reasoned, decision: &str) -> Done {
    let (engine, id) = open(session, &args.id).await?;
    let state = engine.state(id).await?;
    // The key makes a second person's word for the same wait harmless: it must not lie in the inbox
    // and pass the next gate unseen.
    let key = state.stages.iter().find_map(|stage| match &stage.state {
        StageState::Waiting { signal: Some(name), attempt, since, .. } if name == "approval" => {
            Some(format!("approval/{}/{attempt}/{}", stage.name, since.timestamp_micros()))
        }
        _ => None,
    });
    if key.is_none() {
        let status = state.status().as_str();
        return Err(CliError::Refused(format!(
            "execution {id} is {status}; nothing waits for approval"
        )));
    }
    let by = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let payload = json!({"decision": decision, "by": by, "comment": args.reason});
    let result = engine.signal(id, "approval", payload, key, &args.reason).await;
    done(session, id, result, if decision == "approve" { "approved" } else { "rejected" })
}

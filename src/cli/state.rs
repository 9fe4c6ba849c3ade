//! `state`: an execution at any moment, and what changed between two.

use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::engine::{Moment, StateAt};
use crate::replay::{Change, state_hash};
use crate::view;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct State {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// After this event, or at this time [default: now]
    #[arg(long, value_name = "SEQUENCE|TIME")]
    pub(super) at: Option<String>,
    /// Show what changed between --at and then
    #[arg(long, requires = "at", value_name = "SEQUENCE|TIME")]
    pub(super) to: Option<String>,
}

fn moment(text: &str) -> Result<Moment, CliError> {
    text.parse().map_err(CliError::Usage)
}

/// Prints the state, or the changes.
pub(super) async fn state(session: &Session, args: &State) -> Done {
    let at = args.at.as_deref().map(moment).transpose()?;
    let to = args.to.as_deref().map(moment).transpose()?;
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    match (at, to) {
        (Some(from), Some(to)) => {
            let (from, to, changes) = engine.changes_between(id, from, Some(to)).await?;
            show_changes(session, &from, &to, &changes);
        }
        (at, _) => show_state(session, &engine.state_at(id, at).await?),
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show_state(session: &Session, then: &StateAt) {
    let view = view::execution(then.execution_id, &then.state);
    if !session.json() {
        out::line(moment_line(then));
        super::show::print(&view);
        return;
    }
    let mut shape = serde_json::to_value(&view).unwrap_or_default();
    shape["sequence"] = json!(then.state.version);
    shape["at"] = json!(then.at);
    shape["state_hash"] = json!(state_hash(&then.state));
    shape["state"] = serde_json::to_value(&then.state).unwrap_or_default();
    out::json(&shape);
}

fn moment_line(then: &StateAt) -> String {
    let (sequence, branch) = (then.state.version, then.state.branch);
    format!("after event {sequence} of {}, branch {branch}", then.at.to_rfc3339())
}

fn show_changes(session: &Session, from: &StateAt, to: &StateAt, changes: &[Change]) {
    if session.json() {
        let side = |then: &StateAt| {
            json!({"sequence": then.state.version, "branch": then.state.branch, "at": then.at,
                   "state_hash": state_hash(&then.state)})
        };
        out::json(&json!({
            "execution_id": from.execution_id, "from": side(from), "to": side(to),
            "changes": changes,
        }));
        return;
    }
    out::line(format!("from {}", moment_line(from)));
    out::line(format!("to   {}", moment_line(to)));
    if changes.is_empty() {
        out::line("nothing changed");
    }
    for change in changes {
        out::line(change_line(change));
    }
}

/// `  path: old -> new`, each side on one line.
pub(super) fn change_line(change: &Change) -> String {
    let side = |value: &Option<Value>| {
        value.as_ref().map_or_else(|| "(nothing)".to_owned(), |v| out::clipped(&v.to_string()))
    };
    format!("  {}: {} -> {}", change.path, side(&change.from), side(&change.to))
}

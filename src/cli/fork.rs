//! `fork`: another execution that shares the beginning of one.

use super::session::Session;
use super::{Done, out};
use crate::config::run::from_assignments;
use crate::workflow::fork::Fork;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct ForkArgs {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// The stage that runs first; what comes before is shared
    #[arg(long)]
    pub(super) from: String,
    /// A setting that differs
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Deny side effects: outputs say what would have been done
    #[arg(long)]
    pub(super) what_if: bool,
}

/// Requests the fork; a worker carries it out.
pub(super) async fn fork(session: &Session, args: &ForkArgs) -> Done {
    let set = if args.set.is_empty() { Value::Null } else { from_assignments(&args.set)? };
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    let fork = Fork { from: args.from.clone(), set, what_if: args.what_if };
    let made = engine.fork(id, &fork).await?;
    if session.json() {
        out::json(&json!({
            "execution_id": made.execution_id, "task_id": made.task_id, "forked_from": id,
            "from": args.from, "what_if": args.what_if,
        }));
    } else {
        let what = if args.what_if { "what-if" } else { "fork" };
        let new = made.execution_id;
        out::line(format!("execution {new}: {what} of {id} from `{}`, queued", args.from));
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

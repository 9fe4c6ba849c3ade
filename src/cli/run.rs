//! `submit` and `run`.

use super::args::Submit;
use super::error::CliError;
use super::session::Session;
use super::{Done, follow, out, signals};
use crate::config::run::{from_assignments, merge};
use crate::engine::{Longhaul, Submission};
use crate::store::Submitted;
use crate::task::Priority;
use crate::view::ExecutionView;
use crate::worker::WorkerOptions;
use crate::workflow::state::Status;
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Creates the task, requests its execution, returns at once.
pub(super) async fn submit(session: &Session, args: &Submit) -> Done {
    let submission = submission(args)?;
    let engine = session.open().await?;
    let submitted = engine.submit(submission).await?;
    let Submitted { task_id, execution_id, repeated } = submitted;
    if session.json() {
        out::json(&json!({
            "task_id": task_id, "execution_id": execution_id, "repeated": repeated, "status": "queued",
        }));
    } else {
        let what = if repeated { "known already: execution" } else { "queued execution" };
        out::line(format!("{what} {execution_id}"));
        out::note(
            "a worker carries it out: `longhaul worker`; follow it: `longhaul history @last --follow`",
        );
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Submits and follows, with a worker in this process; the exit code is the outcome.
pub(super) async fn run(session: &Session, args: &Submit) -> Done {
    let submission = submission(args)?;
    let engine = session.open_for_work().await?;
    let submitted = engine.submit(submission).await?;
    let ended = carry_out(session, &engine, submitted.execution_id).await?;
    let code = match ended {
        Some(view) => report(session, &view),
        None => ExitCode::from(130),
    };
    engine.close().await;
    Ok(code)
}

/// Works on one execution and shows it live; none when a signal came first.
pub(super) async fn carry_out(
    session: &Session,
    engine: &Longhaul,
    id: uuid::Uuid,
) -> Result<Option<ExecutionView>, CliError> {
    let stop = signals::stop_token();
    let base = engine.worker_options();
    // On Ctrl-C what runs is cut off at once; its events say so, and any worker goes on with it.
    let options = WorkerOptions { only: Some(id), slots: 1, drain: Duration::ZERO, ..base };
    let worker = engine.worker_with(options);
    let mut work = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let ended = tokio::select! {
        ended = follow::follow(engine, id, session.json()) => ended.map(Some),
        () = stop.cancelled() => Ok(None),
        // A worker ends by itself only when it cannot work at all.
        broken = &mut work => match broken {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) => return Err(error.into()),
            Err(error) => return Err(CliError::OutOfReach(format!("the worker broke down: {error}"))),
        },
    };
    stop.cancel();
    if !work.is_finished() {
        // What it still held is queued by then; its own end is not the outcome.
        let _ = work.await;
    }
    let ended = ended?;
    if ended.is_none() {
        out::note(&format!(
            "interrupted; execution {id} is kept: `longhaul worker` goes on with it"
        ));
    }
    Ok(ended)
}

/// Prints how it ended; the exit code is the outcome.
pub(super) fn report(session: &Session, view: &ExecutionView) -> ExitCode {
    if session.json() {
        out::json(view);
    } else {
        super::show::print(view);
    }
    match view.status {
        Status::Completed => ExitCode::SUCCESS,
        Status::Paused => ExitCode::from(4),
        Status::Queued | Status::Running | Status::Waiting | Status::Failed | Status::Cancelled => {
            ExitCode::from(1)
        }
    }
}

fn submission(args: &Submit) -> Result<Submission, CliError> {
    let mut settings = from_assignments(&args.set)?;
    merge(&mut settings, &flags(args));
    let wrong = |e: serde_json::Error| CliError::Usage(format!("--input is not JSON: {e}"));
    Ok(Submission {
        text: text(args.text.as_deref(), args.file.as_deref())?,
        task: None,
        workflow: args.workflow.clone(),
        repository: args.repo.clone(),
        priority: args.priority.as_deref().map(priority).transpose()?,
        input: args
            .input
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(wrong)?
            .unwrap_or_default(),
        settings,
        idempotency_key: args.idempotency_key.clone(),
    })
}

fn priority(text: &str) -> Result<Priority, CliError> {
    text.parse().map_err(|_| {
        CliError::Usage(format!("--priority `{text}`: it must be low, medium, high or critical"))
    })
}

/// The flags that are settings under another name.
fn flags(args: &Submit) -> Value {
    let mut settings = json!({});
    let mut put = |value: Value| merge(&mut settings, &value);
    if let Some(name) = &args.agent {
        put(json!({"agent": {"name": name}}));
    }
    if let Some(command) = &args.agent_command {
        put(json!({"agent": {"command": command}}));
    }
    if let Some(command) = &args.test_command {
        put(json!({"test": {"command": command}}));
    }
    if let Some(forge) = &args.forge {
        put(json!({"forge": forge}));
    }
    if let Some(base) = &args.base {
        put(json!({"base": base}));
    }
    settings
}

/// The text of an argument, of a file, or of stdin for `-`.
pub(super) fn text(argument: Option<&str>, file: Option<&Path>) -> Result<String, CliError> {
    let bytes = match (argument, file) {
        (_, Some(path)) => std::fs::read(path).map_err(|e| {
            CliError::Usage(format!("the file {} cannot be read: {e}", path.display()))
        })?,
        (Some("-"), None) => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|e| CliError::Usage(format!("stdin cannot be read: {e}")))?;
            bytes
        }
        (Some(text), None) => return Ok(text.to_owned()),
        (None, None) => Vec::new(),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

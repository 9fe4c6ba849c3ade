//! `demo`: the main job on a real sample repository, shown live; with `--crash` the worker process is
//! killed in mid-stage.
//!
//! Everything is real: the repository, the tests, the database, the kill. Only the agent is a script,
//! so that it needs no account; it gets it wrong at first, so that one sees the repair loop.

mod crash;
mod sample;

use super::args;
use super::error::CliError;
use super::run::{carry_out, report};
use super::session::Session;
use super::{Done, out};
use crate::engine::{Longhaul, Submission};
use crate::view::ExecutionView;
use crate::workflow::state::Status;
use sample::Sample;
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;
use uuid::Uuid;

const TEXT: &str = "Fix the price of an order: the shipping fee is missing from the total.\n\n\
                    The test in tests/total.rs fails. Expected: an order of 3 books at 10 costs 34.\n\
                    No functional change to the price of a single book.";

pub(super) async fn demo(session: &Session, args: &args::Demo) -> Done {
    let started = Instant::now();
    let quiet = session.json();
    let say = |text: &str| {
        if !quiet {
            out::note(text);
        }
    };
    let engine = session.open_for_work().await?;
    let sample = Sample::make(session.home.root())
        .map_err(|e| CliError::OutOfReach(format!("the sample repository cannot be made: {e}")))?;
    say(&format!("sample repository: {} (its test fails)", sample.repository.display()));
    let id = submit(&engine, &sample, args.crash).await?;
    say(&format!("task: {}", TEXT.lines().next().unwrap_or_default()));
    say(&format!("execution {id}, workflow default\n"));
    let ended = if args.crash {
        Some(crash::carry_out_with_crash(session, &engine, id).await?)
    } else {
        carry_out(session, &engine, id).await?
    };
    let Some(view) = ended else { return Ok(ExitCode::from(130)) };
    let code = report(session, &view);
    if !quiet {
        epilogue(session, &sample, &view, started);
    }
    engine.close().await;
    Ok(code)
}

async fn submit(engine: &Longhaul, sample: &Sample, crash: bool) -> Result<Uuid, CliError> {
    let settings = json!({
        "agent": {"command": sample.agent_command(crash)},
        "test": {"command": "cargo test --offline --quiet"},
    });
    let submission = Submission {
        workflow: Some("default".to_owned()),
        repository: Some(sample.repository.display().to_string()),
        settings,
        ..Submission::text(TEXT)
    };
    Ok(engine.submit(submission).await?.execution_id)
}

fn epilogue(session: &Session, sample: &Sample, view: &ExecutionView, started: Instant) {
    if view.status != Status::Completed {
        out::line(format!(
            "\nThe demo did not complete; see `longhaul logs {}`",
            view.execution_id
        ));
        return;
    }
    let deployment = view.stages.iter().find(|s| s.kind == "deployment");
    let output = deployment.and_then(|s| s.output.as_ref());
    let merged = output.and_then(|o| o["version"].as_str()).unwrap_or_default();
    let repository = sample.repository.display();
    let home =
        session.globals.home.as_ref().map_or(String::new(), |h| format!(" --home {}", h.display()));
    out::line(format!(
        "\nDone in {}. The change is merged as {merged}:",
        out::duration(started.elapsed().as_millis() as i64)
    ));
    out::line(format!("  git -C {repository} log --graph --stat main"));
    out::line("What happened, event by event, and what the stages printed:");
    out::line(format!("  longhaul{home} history @last"));
    out::line(format!("  longhaul{home} logs @last"));
}

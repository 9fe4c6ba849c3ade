//! One turn of the agent: what it is told, what it is given, and how its session is continued.

use super::super::StageContext;
use super::super::test_plan;
use super::super::workbench::{Workbench, text};
use super::start::Start;
use crate::clients::agent::{self, Brief, Ended, Report, Turn};
use crate::clients::git::Place;
use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::Value;
use std::path::PathBuf;

/// Runs the agent in the worktree. Its session is noted for the next turn; the note is a cache, and
/// without it the agent merely starts afresh.
pub(super) async fn run(
    ctx: &StageContext,
    bench: &Workbench,
    place: &Place,
    start: &Start,
) -> Ended {
    let settings = &ctx.input.settings;
    let agent = match agent::find(&settings.agent.name) {
        Ok(agent) => agent,
        Err(failure) => return Ended { report: Report::default(), result: Err(failure) },
    };
    let session_file = session_file(ctx, bench);
    let session = std::fs::read_to_string(&session_file).ok().filter(|s| !s.is_empty());
    let prompt = prompt(ctx, start);
    let turn = Turn {
        execution_id: ctx.input.execution_id,
        stage: &ctx.input.stage,
        attempt: ctx.input.attempt,
        repair_loop: ctx.input.repair_loop,
        session: session.as_deref(),
        prompt: &prompt,
        tree: place.dir(),
        notes: &bench.workspace.join("notes"),
        settings: &settings.agent,
        limits: &settings.limits,
        timeout: bench.time_left(),
    };
    ctx.log(format!("agent `{}` works in {}", settings.agent.name, place.dir().display()));
    let sink = ctx.log_sink();
    let ended = agent.run(&turn, &|text| sink.write(text), ctx.cancelled()).await;
    if let Some(session) = &ended.report.session
        && let Err(error) = std::fs::write(&session_file, session)
    {
        ctx.log(format!("the agent's session could not be noted: {error}"));
    }
    ended
}

fn session_file(ctx: &StageContext, bench: &Workbench) -> PathBuf {
    bench.workspace.join(format!("session.{}", ctx.input.stage))
}

fn prompt(ctx: &StageContext, start: &Start) -> String {
    let task = &ctx.input.task;
    let analysis = ctx.output_of_kind("analysis");
    let listed = texts(analysis, "affected_files");
    let command = test_plan::configured(ctx).map(|plan| plan.command);
    let command = command.or_else(|| text(analysis, "test_command"));
    let files = if start.conflicts.is_empty() { listed } else { start.conflicts.clone() };
    Brief {
        execution_id: ctx.input.execution_id,
        task,
        plan: &texts(analysis, "plan"),
        files: if files.is_empty() { &task.affected_files } else { &files },
        test_command: command.as_deref(),
        feedback: feedback(&ctx.input.feedback).as_deref(),
        last_error: ctx.input.last_error.as_ref().and_then(worth_telling),
    }
    .prompt()
}

/// What a later stage found wrong: its feedback, else its message.
fn feedback(feedback: &Value) -> Option<String> {
    let said = feedback.pointer("/detail/feedback").or_else(|| feedback.get("message"))?;
    let stage = feedback.get("stage").and_then(Value::as_str).unwrap_or("a later stage");
    Some(format!("Stage `{stage}` sent the work back.\n{}", said.as_str()?))
}

/// An attempt that was cut off says nothing about its work.
fn worth_telling(error: &Failure) -> Option<&str> {
    match error.kind {
        ErrorKind::Rejected | ErrorKind::Timeout | ErrorKind::Permanent => Some(&error.message),
        ErrorKind::Transient
        | ErrorKind::RateLimited
        | ErrorKind::Interrupted
        | ErrorKind::NeedsPerson => None,
    }
}

fn texts(output: Option<&Value>, key: &str) -> Vec<String> {
    let list = output.and_then(|output| output.get(key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

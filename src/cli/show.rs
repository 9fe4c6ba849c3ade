//! `list`, `show`, `tasks`, `workers`, `metrics`.

use super::args::{Id, List, Tasks};
use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::store::{ExecutionRow, Filter};
use crate::view::{ExecutionView, StageView};
use crate::workflow::state::Status;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Executions, the newest first.
pub(super) async fn list(session: &Session, args: &List) -> Done {
    let filter = Filter {
        status: args.status.iter().map(|s| status(s)).collect::<Result<_, _>>()?,
        workflow: args.workflow.clone(),
        repository: args.repo.as_deref().map(repository),
        since: args.since.as_deref().map(|t| since(t, Utc::now())).transpose()?,
        limit: Some(args.limit.max(1)),
    };
    let engine = session.open().await?;
    let rows = engine.store().list(&filter).await?;
    if session.json() {
        let reasons = engine.waiting_reasons(&rows).await?;
        let row = |r: &ExecutionRow| {
            let mut row = row_json(r);
            row["waiting_reason"] = json!(reasons.get(&r.execution_id));
            row
        };
        out::json(&rows.iter().map(row).collect::<Vec<_>>());
    } else {
        let cells = |r: &ExecutionRow| {
            vec![
                out::short(r.execution_id),
                r.status.clone(),
                format!("{:.0} %", r.progress * 100.0),
                r.workflow.clone(),
                ago(r.requested_at),
                r.title.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        out::table(&["ID", "STATUS", "DONE", "WORKFLOW", "REQUESTED", "TASK"], &rows);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// One execution.
pub(super) async fn show(session: &Session, args: &Id) -> Done {
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    let view = engine.show(id).await?;
    if session.json() {
        out::json(&view);
    } else {
        print(&view);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Tasks, or one.
pub(super) async fn tasks(session: &Session, args: &Tasks) -> Done {
    let engine = session.open().await?;
    let id = match &args.id {
        Some(text) => Some(engine.store().find_task(text).await?),
        None => None,
    };
    let rows = engine.store().tasks(id, args.limit.max(1)).await?;
    if id.is_some() && rows.is_empty() {
        let id = args.id.clone().unwrap_or_default();
        return Err(crate::store::StoreError::NotFound { what: "task", id }.into());
    }
    let shape = |r: &crate::store::TaskRow| {
        json!({
            "task_id": r.task_id, "created_at": r.created_at, "idempotency_key": r.idempotency_key,
            "repository": r.repository, "task": r.document.0,
        })
    };
    if session.json() {
        match (id, rows.first()) {
            (Some(_), Some(row)) => out::json(&shape(row)),
            _ => out::json(&rows.iter().map(shape).collect::<Vec<_>>()),
        }
    } else {
        let cells = |r: &crate::store::TaskRow| {
            let (kind, priority) = (r.r#type.clone(), r.priority.clone());
            vec![
                out::short(r.task_id),
                kind,
                priority,
                r.workflow.clone(),
                ago(r.created_at),
                r.title.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        out::table(&["ID", "TYPE", "PRIORITY", "WORKFLOW", "CREATED", "TASK"], &rows);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Workers.
pub(super) async fn workers(session: &Session) -> Done {
    let engine = session.open().await?;
    let rows = engine.store().workers().await?;
    if session.json() {
        let shape = |w: &crate::store::WorkerRow| {
            json!({
                "worker_id": w.worker_id, "name": w.name, "host": w.host, "pid": w.pid,
                "slots": w.slots, "labels": w.labels, "cpu": w.cpu, "memory_mb": w.memory_mb, "holds": w.holds, "version": w.version,
                "started_at": w.started_at, "heartbeat_at": w.heartbeat_at, "draining": w.draining,
            })
        };
        out::json(&rows.iter().map(shape).collect::<Vec<_>>());
    } else {
        let cells = |w: &crate::store::WorkerRow| {
            let holds = format!("{} of {}", w.holds, w.slots);
            vec![
                out::short(w.worker_id),
                w.name.clone(),
                w.pid.to_string(),
                holds,
                ago(w.heartbeat_at),
            ]
        };
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        out::table(&["ID", "NAME", "PID", "HOLDS", "HEARTBEAT"], &rows);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Current figures.
pub(super) async fn metrics(session: &Session) -> Done {
    let engine = session.open().await?;
    let metrics = serde_json::to_value(engine.metrics().await?).unwrap_or_default();
    if session.json() {
        out::json(&metrics);
    } else {
        let cells = |(k, v): (&String, &Value)| vec![k.clone(), figure(v)];
        let rows: Vec<Vec<String>> = metrics.as_object().into_iter().flatten().map(cells).collect();
        out::table(&["FIGURE", "VALUE"], &rows);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

fn figure(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Number(n) if n.is_f64() => format!("{:.3}", n.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// An execution for people.
pub(super) fn print(view: &ExecutionView) {
    let title = view.task.get("title").and_then(Value::as_str).unwrap_or_default();
    out::line(format!("{}  {}", view.execution_id, out::status(view.status.as_str())));
    out::line(format!("  task      {title}"));
    let branch = if view.branch > 1 { format!(", branch {}", view.branch) } else { String::new() };
    let loops =
        if view.loops > 0 { format!(", {} repair loops", view.loops) } else { String::new() };
    let workflow = &view.workflow;
    out::line(format!(
        "  workflow  {} (version {}){branch}{loops}",
        workflow.name, workflow.version
    ));
    if let Some(origin) = &view.origin {
        let what = if origin.what_if { "what-if of" } else { "fork of" };
        let (id, sequence, from) = (origin.execution_id, origin.sequence, &origin.from);
        out::line(format!("  origin    {what} {id} after event {sequence}, from `{from}`"));
    }
    if let Some(repository) = &view.repository {
        out::line(format!("  repo      {repository}"));
    }
    if !view.cost.is_zero() {
        let c = &view.cost;
        let (i, o) = (c.input_tokens, c.output_tokens);
        out::line(format!("  cost      {:.4} USD, {i} tokens in, {o} out", c.usd));
    }
    for (word, other) in [("child of", view.parent), ("continues", view.continues)] {
        if let Some(id) = other {
            out::line(format!("  {word:<9} {id}"));
        }
    }
    if let Some(history) = &view.history {
        let (events, limit) = (history.events, history.limit);
        let said = format!("  history   long: {events} events; at {limit}, steps are refused");
        out::line(said);
    }
    if let Some(reason) = &view.waiting_reason {
        out::line(format!("  waits     {}", reason.detail));
    }
    if let Some(error) = &view.error {
        out::line(format!("  error     {} ({})", indent(&error.message), error.kind));
    }
    if let Some(archived) = &view.archived {
        let (month, place) = (&archived.month, &archived.place);
        out::line(format!("  archived  its events are in {place} (month {month})"));
        return;
    }
    let rows: Vec<Vec<String>> = view.stages.iter().map(stage_cells).collect();
    out::table(&["  STAGE", "STATUS", "ATTEMPTS", "TOOK", "RESULT"], &rows);
}

fn stage_cells(stage: &StageView) -> Vec<String> {
    let took = stage.duration_ms.map_or(String::new(), out::duration);
    let attempts = if stage.attempts == 0 { String::new() } else { stage.attempts.to_string() };
    let name = format!("  {}", stage.name);
    vec![name, stage.status.to_owned(), attempts, took, brief(stage)]
}

/// The part of an output that a person looks for first.
fn brief(stage: &StageView) -> String {
    if let Some(error) = stage.error.as_ref().and_then(|e| e.get("message")).and_then(Value::as_str)
    {
        return out::clipped(error);
    }
    if let Some(items) = stage.items {
        let (done, total) = (items.succeeded + items.failed, items.total);
        return format!("{done} of {total} items, {} failed", items.failed);
    }
    let Some(output) = &stage.output else { return String::new() };
    let text = |key: &str| {
        output.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
    };
    let first = |keys: &[&str]| keys.iter().find_map(|k| text(k));
    let said = match stage.kind.as_str() {
        "code_generation" => {
            text("commit").map(|c| format!("commit {}", c.chars().take(12).collect::<String>()))
        }
        "testing" => {
            text("passed").zip(text("failed")).map(|(p, f)| format!("{p} passed, {f} failed"))
        }
        "pr_creation" => text("url"),
        "validation" => text("status"),
        "deployment" => {
            text("version").map(|v| format!("merged as {}", v.chars().take(12).collect::<String>()))
        }
        _ => first(&["summary", "status", "decision", "exit_code"]),
    };
    out::clipped(&said.unwrap_or_default())
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}

fn row_json(r: &ExecutionRow) -> Value {
    json!({
        "execution_id": r.execution_id, "task_id": r.task_id, "title": r.title,
        "workflow": {"name": r.workflow, "version": r.workflow_version},
        "repository": r.repository, "status": r.status, "progress": r.progress, "branch": r.branch,
        "version": r.version, "priority": r.priority, "requested_at": r.requested_at,
        "started_at": r.started_at, "finished_at": r.finished_at, "updated_at": r.updated_at,
        "worker_id": r.worker_id,
    })
}

fn status(text: &str) -> Result<Status, CliError> {
    let found = Status::ALL.into_iter().find(|s| s.as_str() == text);
    found.ok_or_else(|| {
        let known = Status::ALL.map(Status::as_str).join(", ");
        CliError::Usage(format!("--status `{text}`: it must be one of {known}"))
    })
}

/// A repository as it is stored: a path is made absolute.
fn repository(text: &str) -> String {
    std::fs::canonicalize(text).map_or_else(|_| text.to_owned(), |p| p.display().to_string())
}

/// A time, or how long ago.
fn since(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, CliError> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let said = "it must be a time such as 2026-01-31T12:00:00Z, or how long ago: 90s, 30m, 12h, 7d";
    let wrong = || CliError::Usage(format!("--since `{text}`: {said}"));
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let ago = number.checked_mul(seconds).and_then(TimeDelta::try_seconds).ok_or_else(wrong)?;
    now.checked_sub_signed(ago).ok_or_else(wrong)
}

fn ago(at: DateTime<Utc>) -> String {
    let seconds = (Utc::now() - at).num_seconds().max(0);
    match seconds {
        ..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_reads_times_and_ages() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let ago = |text: &str| (now - since(text, now).expect("a time")).num_seconds();
        assert_eq!((ago("90s"), ago("30m"), ago("12h"), ago("7d")), (90, 1_800, 43_200, 604_800));
        assert_eq!(ago("1970-01-12T13:46:39Z"), 1);
        for wrong in ["", "h", "7w", "yesterday", "99999999999999999d"] {
            assert!(since(wrong, now).is_err(), "{wrong}");
        }
    }
}

//! `replay verify` and `replay record`: folding histories again, with this program.

use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::engine::{Depth, VerifyReport};
use crate::replay::{Change, Finding, Verifier, changes, read_line, write_line};
use crate::store::{Scan, ScanError, StoreError};
use crate::workflow::state::Execution;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(subcommand)]
    pub(super) action: ReplayAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ReplayAction {
    /// Fold again and make every decision again; say the first difference
    Verify(Verify),
    /// Write the history of an execution with state hashes, as `replay verify FILE` reads it
    Record {
        /// An id, a fragment of 6 or more characters, or @last
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An execution (an id, a fragment of 6 or more characters, or @last), or a file of `replay record`
    #[arg(value_name = "ID|FILE", required_unless_present_any = ["all", "running"])]
    pub(super) target: Option<String>,
    /// Every execution there is
    #[arg(long, conflicts_with_all = ["target", "running"])]
    pub(super) all: bool,
    /// What has not ended: can this program go on with it?
    #[arg(long, conflicts_with = "target")]
    pub(super) running: bool,
    /// Begin with this execution
    #[arg(long, value_name = "ID", conflicts_with = "target")]
    pub(super) from: Option<Uuid>,
}

pub(super) async fn replay(session: &Session, args: &Replay) -> Done {
    match &args.action {
        ReplayAction::Verify(verify) => match &verify.target {
            Some(target) if Path::new(target).is_file() => verify_file(session, Path::new(target)),
            Some(target) if target.ends_with(".jsonl") => {
                Err(CliError::Usage(format!("there is no file `{target}`")))
            }
            _ => verify_stored(session, verify).await,
        },
        ReplayAction::Record { id } => record(session, id).await,
    }
}

async fn record(session: &Session, id: &str) -> Done {
    let engine = session.open().await?;
    let id = engine.store().find_execution(id).await?;
    for line in engine.record(id).await? {
        out::line(write_line(&line));
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Events between two words on how far it is.
const STRIDE: u64 = 100_000;

async fn verify_stored(session: &Session, args: &Verify) -> Done {
    let engine = session.open().await?;
    let only = match &args.target {
        Some(text) => Some(engine.store().find_execution(text).await?),
        None => None,
    };
    let scan = Scan { from: args.from, only, running: args.running };
    let mut told = 0;
    let progress = |report: &VerifyReport| {
        if report.events / STRIDE > told {
            told = report.events / STRIDE;
            let (executions, events) = (report.executions, report.events);
            out::note(&format!("{executions} executions, {events} events"));
        }
    };
    let depth = if args.running { Depth::Readable } else { Depth::Decisions };
    let report = engine.verify(scan, depth, progress).await.map_err(CliError::Scan)?;
    if let Some(id) = only.filter(|_| report.executions == 0) {
        return Err(StoreError::NotFound { what: "execution", id: id.to_string() }.into());
    }
    show(session, &report);
    engine.close().await;
    Ok(ExitCode::from(u8::from(report.differing > 0)))
}

fn show(session: &Session, report: &VerifyReport) {
    if session.json() {
        let finding = |(id, finding): &(Uuid, Finding)| {
            let mut shape = json!(finding);
            shape["execution_id"] = json!(id);
            shape
        };
        let mut shape = json!(report);
        shape["differences"] = report.differences.iter().map(finding).collect();
        return out::json(&shape);
    }
    for (id, finding) in &report.differences {
        out::line(format!("execution {id}: {finding}"));
    }
    let VerifyReport { executions, events, decisions, unjudged, differing, .. } = report;
    let decided = if *decisions > 0 { format!(", {decisions} decisions") } else { String::new() };
    let folded =
        if *unjudged > 0 { format!(" ({unjudged} events only folded)") } else { String::new() };
    let differ = match differing {
        0 => "no difference".to_owned(),
        1 => "1 execution differs".to_owned(),
        n => format!("{n} executions differ"),
    };
    out::line(format!("{executions} executions, {events} events{decided}{folded}: {differ}"));
    out::line(format!("states {}", report.states));
}

fn unreadable(path: &Path, error: impl std::fmt::Display) -> CliError {
    CliError::Usage(format!("{}: {error}", path.display()))
}

/// A recorded history, and the state beside it if there is one.
fn verify_file(session: &Session, path: &Path) -> Done {
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(path, e))?;
    let mut verifier = Verifier::new(None, true);
    let (mut events, mut hashes) = (0_u64, 0_u64);
    for (index, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let recorded =
            read_line(line).map_err(|e| unreadable(path, format!("line {}: {e}", index + 1)))?;
        events += 1;
        hashes += u64::from(recorded.found.state_hash.is_some());
        verifier.event(recorded.found);
    }
    if events == 0 {
        return Err(unreadable(path, "it holds no event"));
    }
    let verdict = verifier.end();
    let beside = state_beside(path, &verdict.state)?;
    let differs = verdict.finding.is_some() || beside.as_ref().is_some_and(|c| !c.is_empty());
    if session.json() {
        out::json(&json!({
            "file": path, "events": events, "decisions": verdict.decisions,
            "unjudged": verdict.unjudged, "state_hashes": hashes, "difference": verdict.finding,
            "state_file": beside.as_ref().map(|changes| json!({"changes": changes})),
        }));
    } else {
        if let Some(finding) = &verdict.finding {
            out::line(finding.to_string());
        }
        for change in beside.iter().flatten().take(20) {
            out::line(super::state::change_line(change));
        }
        let state = if beside.is_some() { ", the state beside it" } else { "" };
        let end = if differs { "it differs" } else { "no difference" };
        let decisions = verdict.decisions;
        out::line(format!(
            "{events} events, {decisions} decisions, {hashes} state hashes{state}: {end}"
        ));
    }
    Ok(ExitCode::from(u8::from(differs)))
}

/// What differs in `NAME.state.json`, if it is there.
fn state_beside(path: &Path, state: &Execution) -> Result<Option<Vec<Change>>, CliError> {
    let beside: PathBuf = path.with_extension("state.json");
    let text = match std::fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&beside, error)),
    };
    let recorded: Value = serde_json::from_str(&text).map_err(|e| unreadable(&beside, e))?;
    Ok(Some(changes(&recorded, &json!(state))))
}

/// The code of a verification that could not look at everything.
pub(super) fn of_scan(error: &ScanError) -> u8 {
    super::error::of_store(&error.error)
}

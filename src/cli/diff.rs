//! `diff`: two branches, moments or executions side by side.

use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::engine::{Diff, Longhaul, Point};
use crate::replay::diff::{SideView, StageDiff, StageSide};
use clap::Args;
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// A branch (b1), a sequence (17), another execution (ID2), or a place in one (ID2:b1, ID2:17)
    pub(super) a: String,
    /// The same
    pub(super) b: String,
}

/// Prints where they part, stage by stage.
pub(super) async fn diff(session: &Session, args: &DiffArgs) -> Done {
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    let a = side(&engine, id, &args.a).await?;
    let b = side(&engine, id, &args.b).await?;
    let diff = engine.diff(a, b).await?;
    if session.json() {
        out::json(&diff);
    } else {
        print(&diff);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

/// `b1`, `17`, `ID2`, `ID2:b1`, `ID2:17`.
async fn side(engine: &Longhaul, id: Uuid, text: &str) -> Result<(Uuid, Point), CliError> {
    if let Some(point) = point(text) {
        return Ok((id, point));
    }
    let (other, point) = match text.split_once(':') {
        None => (text, Point::Newest),
        Some((other, rest)) => {
            let wrong = || {
                CliError::Usage(format!(
                    "`{text}`: what follows the colon must be a branch (b1) or a sequence (17)"
                ))
            };
            (other, point(rest).ok_or_else(wrong)?)
        }
    };
    Ok((engine.store().find_execution(other).await?, point))
}

/// A fragment of an id has six characters and more; no execution has so many branches.
fn point(text: &str) -> Option<Point> {
    let branch = text.strip_prefix('b').filter(|n| n.len() < 5).and_then(|n| n.parse().ok());
    branch.map(Point::Branch).or_else(|| text.parse().ok().map(Point::Sequence))
}

fn print(diff: &Diff) {
    let comparison = &diff.comparison;
    out::line(side_line("a", diff.a_execution, &comparison.a));
    out::line(side_line("b", diff.b_execution, &comparison.b));
    out::line(match &comparison.divergence {
        Some(found) => {
            let at = |sequence: Option<u64>| {
                sequence.map_or_else(|| "never".to_owned(), |n| format!("event {n}"))
            };
            let (a, b) = (at(found.a), at(found.b));
            format!("first divergence: stage `{}`, {} (a: {a}, b: {b})", found.stage, found.path)
        }
        None => "no stage came to anything else".to_owned(),
    });
    if !comparison.request.is_empty() {
        out::line("asked for");
        comparison.request.iter().for_each(|c| out::line(super::state::change_line(c)));
    }
    let rows: Vec<Vec<String>> = comparison.stages.iter().map(cells).collect();
    out::table(&["STAGE", "", "A", "B", "TIME A", "TIME B", "USD A", "USD B"], &rows);
    comparison.stages.iter().for_each(stage);
    if let Some(patch) = &diff.patch {
        out::line("from the commit of a to that of b");
        out::raw(patch);
    }
}

fn side_line(name: &str, id: Uuid, side: &SideView) -> String {
    let SideView { sequence, branch, status, active_ms, cost, .. } = side;
    let (time, usd) = (out::duration(*active_ms), cost.usd);
    format!("{name}  {id} b{branch}, event {sequence}, {status}, {time} active, {usd:.4} USD")
}

fn cells(stage: &StageDiff) -> Vec<String> {
    let word = |side: &Option<StageSide>| {
        let attempts = side.as_ref().and_then(|s| s.record.as_ref()).map_or(0, |r| r.attempts);
        let times = if attempts > 1 { format!(" x{attempts}") } else { String::new() };
        side.as_ref().map_or_else(|| "-".to_owned(), |s| format!("{}{times}", s.status))
    };
    let record = |side: &Option<StageSide>| side.as_ref().and_then(|s| s.record.clone());
    let time = |side| record(side).map_or_else(String::new, |r| out::duration(r.active_ms));
    let cost = |side| record(side).map_or_else(String::new, |r| format!("{:.4}", r.cost.usd));
    vec![
        stage.name.clone(),
        if stage.same { "=" } else { "!" }.to_owned(),
        word(&stage.a),
        word(&stage.b),
        time(&stage.a),
        time(&stage.b),
        cost(&stage.a),
        cost(&stage.b),
    ]
}

fn stage(stage: &StageDiff) {
    if stage.input.is_empty() && stage.outcome.is_empty() {
        return;
    }
    out::line(format!("stage `{}`", stage.name));
    let is_text = |path: &str| stage.texts.iter().any(|t| t.path == path);
    for change in stage.input.iter().chain(&stage.outcome).filter(|c| !is_text(&c.path)) {
        out::line(super::state::change_line(change));
    }
    for text in &stage.texts {
        out::line(format!("  {}:", text.path));
        out::raw(&text.unified);
    }
}

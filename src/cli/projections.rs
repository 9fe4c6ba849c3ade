//! `projections list|rebuild|verify`.

use super::args::{Projections, ProjectionsAction};
use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::projector::{ProjectionStatus, Verdict};
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

pub(super) async fn projections(session: &Session, args: &Projections) -> Done {
    match &args.action {
        ProjectionsAction::List => list(session).await,
        ProjectionsAction::Rebuild { name, all } => rebuild(session, name.as_deref(), *all).await,
        ProjectionsAction::Verify { name } => verify(session, name.as_deref()).await,
    }
}

async fn list(session: &Session) -> Done {
    let engine = session.open().await?;
    let list = engine.projections().await?;
    engine.close().await;
    if session.json() {
        out::json(&list);
        return Ok(ExitCode::SUCCESS);
    }
    let cells = |p: &ProjectionStatus| {
        let generation = p.generation.map_or_else(|| "-".to_owned(), |g| g.to_string());
        let (lag, seconds) = (p.lag_events.to_string(), format!("{:.0} s", p.lag_seconds));
        vec![p.name.clone(), p.state.to_owned(), generation, lag, seconds, said(p)]
    };
    let rows: Vec<Vec<String>> = list.iter().map(cells).collect();
    out::table(&["NAME", "STATE", "GENERATION", "LAG", "BEHIND", "SAID"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// What is worth knowing beside the figures.
fn said(projection: &ProjectionStatus) -> String {
    let building = projection.building.as_ref();
    let stalled = projection.stalled.as_ref().or(building.and_then(|b| b.stalled.as_ref()));
    let progress = building
        .map(|b| format!("generation {} is built: {} of {} events", b.generation, b.events, b.of));
    out::clipped(&stalled.map(|s| s.reason.clone()).or(progress).unwrap_or_default())
}

async fn rebuild(session: &Session, name: Option<&str>, all: bool) -> Done {
    if name.is_none() && !all {
        return Err(CliError::Usage("name a read model, or say --all".to_owned()));
    }
    let engine = session.open().await?;
    let names: Vec<String> = name.map(str::to_owned).into_iter().collect();
    let began = Instant::now();
    let events = engine.rebuild_projections(&names, 2, &out::note).await?;
    engine.close().await;
    let seconds = began.elapsed().as_secs_f64();
    if session.json() {
        out::json(&json!({"rebuilt": name.unwrap_or("all"), "events": events, "seconds": seconds}));
    } else {
        let what = name.map_or("all read models".to_owned(), |n| format!("read model `{n}`"));
        out::line(format!("{what} built anew and switched in {seconds:.1} s"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(session: &Session, name: Option<&str>) -> Done {
    let engine = session.open().await?;
    let verdicts = engine.verify_projections(name, &out::note).await?;
    engine.close().await;
    if session.json() {
        out::json(&verdicts);
    } else {
        verdicts.iter().for_each(tell);
    }
    let is_equal = verdicts.iter().all(|v| v.equal);
    Ok(ExitCode::from(if is_equal { 0 } else { 1 }))
}

fn tell(verdict: &Verdict) {
    let Verdict { name, rows, hash, events, .. } = verdict;
    if verdict.equal {
        out::line(format!(
            "{name}: {rows} rows equal those of {events} events folded anew ({hash})"
        ));
        return;
    }
    out::line(format!("{name}: differs from {events} events folded anew"));
    for difference in &verdict.differences {
        out::line(format!("  only {}: {} {}", difference.side, difference.table, difference.row));
    }
    out::line(format!("  `longhaul projections rebuild {name}` puts it right"));
}

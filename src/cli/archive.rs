//! `archive create|list|verify|drop|restore`: months of the log in files.

use super::args::{Archive, ArchiveAction};
use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::archive::{self, Manifest};
use crate::engine::{RetentionError, month_name};
use chrono::NaiveDate;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn archive(session: &Session, args: &Archive) -> Done {
    match &args.action {
        ArchiveAction::Create { month, before, to } => {
            create(session, month.as_deref(), before.as_deref(), to).await
        }
        ArchiveAction::List => list(session).await,
        ArchiveAction::Verify { path } => verify(session, path),
        ArchiveAction::Drop { month, from } => drop(session, month, from.as_deref()).await,
        ArchiveAction::Restore { path } => restore(session, path).await,
    }
}

/// A month as people write it, as its first day.
fn month(text: &str) -> Result<NaiveDate, CliError> {
    NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
        .map_err(|_| CliError::Usage(format!("`{text}` is no month; write it as in 2026-10")))
}

/// Every month is tried; one that is held does not stop the others.
async fn create(session: &Session, only: Option<&str>, before: Option<&str>, to: &Path) -> Done {
    let (only, before) = (only.map(month).transpose()?, before.map(month).transpose()?);
    let engine = session.open().await?;
    let months = match only {
        Some(month) => vec![month],
        None => {
            let known = engine.store().archives().await?;
            let is_new = |m: &NaiveDate| !known.iter().any(|a| a.month == *m);
            let over = engine.months_over(before).await?;
            over.into_iter().map(|r| r.month).filter(is_new).collect()
        }
    };
    let (mut written, mut held) = (Vec::new(), Vec::new());
    for month in months {
        match engine.archive_month(month, to).await {
            Ok(archive) => {
                if !session.json() {
                    out::line(format!("{}: {}", archive.place.display(), said(&archive.manifest)));
                }
                written.push(shape(&archive.manifest, &archive.place));
            }
            Err(error @ RetentionError::Held { .. }) if only.is_none() => {
                out::note(&error.to_string());
                held.push(json!({"month": month_name(month), "reason": error.to_string()}));
            }
            Err(error) => return Err(error.into()),
        }
    }
    engine.close().await;
    if session.json() {
        out::json(&json!({"archives": written, "held": held}));
    } else if written.is_empty() && held.is_empty() {
        out::line("there is no month to archive");
    }
    Ok(if held.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(4) })
}

async fn list(session: &Session) -> Done {
    let engine = session.open().await?;
    let archives = engine.store().archives().await?;
    let months = engine.store().months().await?;
    engine.close().await;
    let rows = months.iter().map(|range| {
        let known = archives.iter().find(|a| a.month == range.month);
        let status = match known {
            None => "here",
            Some(a) if a.dropped_at.is_some() => "archive only",
            Some(_) => "here, archived",
        };
        let number = |f: fn(&crate::store::ArchiveRow) -> i64| {
            known.map_or("-".to_owned(), |a| f(a).to_string())
        };
        let place = known.map_or("-".to_owned(), |a| a.place.clone());
        let name = month_name(range.month);
        let name = if range.since_ever { format!("{name} and before") } else { name };
        vec![name, status.to_owned(), number(|a| a.executions), number(|a| a.events), place]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if session.json() {
        let shape = |range: &crate::store::MonthRange| {
            let known = archives.iter().find(|a| a.month == range.month);
            json!({
                "month": month_name(range.month), "since_ever": range.since_ever,
                "archive": known.map(|a| json!({
                    "place": a.place, "executions": a.executions, "events": a.events,
                    "log_chunks": a.log_chunks, "archived_at": a.archived_at,
                    "archived_by": a.archived_by, "dropped_at": a.dropped_at,
                    "dropped_by": a.dropped_by, "restored_at": a.restored_at,
                })),
            })
        };
        out::json(&months.iter().map(shape).collect::<Vec<_>>());
    } else {
        out::table(&["MONTH", "EVENTS ARE", "EXECUTIONS", "EVENTS", "ARCHIVE"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// Needs no database.
fn verify(session: &Session, path: &Path) -> Done {
    let mut shapes = Vec::new();
    for place in archive::find(path).map_err(RetentionError::from)? {
        let archive = archive::verify(&place).map_err(RetentionError::from)?;
        if !session.json() {
            let place = archive.place.display();
            out::line(format!("{place}: verified: {}", said(&archive.manifest)));
        }
        shapes.push(shape(&archive.manifest, &archive.place));
    }
    if session.json() {
        out::json(&json!({"verified": shapes}));
    }
    Ok(ExitCode::SUCCESS)
}

async fn drop(session: &Session, text: &str, from: Option<&Path>) -> Done {
    let month = month(text)?;
    let engine = session.open().await?;
    let archive = engine.drop_month(month, from).await?;
    engine.close().await;
    if session.json() {
        out::json(&json!({"dropped": shape(&archive.manifest, &archive.place)}));
    } else {
        let place = archive.place.display();
        out::line(format!("the events of {text} are in {place} only: {}", said(&archive.manifest)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn restore(session: &Session, path: &Path) -> Done {
    let engine = session.open().await?;
    let archive = engine.restore_month(path).await?;
    engine.close().await;
    if session.json() {
        out::json(&json!({"restored": shape(&archive.manifest, &archive.place)}));
    } else {
        let m = &archive.manifest;
        out::line(format!("the events of {} are back: {}", m.month, said(m)));
    }
    Ok(ExitCode::SUCCESS)
}

fn said(m: &Manifest) -> String {
    let (executions, events, chunks) = (m.executions, m.events, m.log_chunks);
    format!("{executions} executions, {events} events, {chunks} chunks of output")
}

fn shape(m: &Manifest, place: &Path) -> Value {
    json!({
        "month": m.month, "place": place, "executions": m.executions, "events": m.events,
        "log_chunks": m.log_chunks, "first": m.first, "last": m.last,
    })
}

//! `logs`: what stages print.

use super::args::Logs;
use super::session::Session;
use super::{Done, out};
use crate::store::{LOG_PAGE, LogChunk};
use crate::workflow::state::Status;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Prints the logs; with `--follow` until the execution has ended.
pub(super) async fn logs(session: &Session, args: &Logs) -> Done {
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    let row = engine.store().execution_row(id).await?;
    if let Some(stage) = &args.stage {
        let state = engine.state(id).await?;
        if state.stage(stage).is_none() {
            let known = state.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
            let said = format!("the execution has no stage `{stage}`; its stages: {known}");
            return Err(super::CliError::Usage(said));
        }
    }
    let mut is_ended = has_ended(&row.status);
    let mut last: Option<LogChunk> = None;
    loop {
        let chunks = engine.store().logs(id, args.stage.as_deref(), last.as_ref()).await?;
        let is_full_page = chunks.len() >= LOG_PAGE;
        for chunk in chunks {
            print(session, last.as_ref(), &chunk);
            last = Some(chunk);
        }
        if is_full_page {
            continue;
        }
        if !args.follow || is_ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        // One more round after the end: the last chunks come with it.
        is_ended = has_ended(&engine.store().execution_row(id).await?.status);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

fn has_ended(status: &str) -> bool {
    Status::ALL.iter().any(|s| s.is_terminal() && s.as_str() == status)
}

fn print(session: &Session, last: Option<&LogChunk>, chunk: &LogChunk) {
    if session.json() {
        out::json_line(&json!({
            "stage": chunk.stage, "attempt": chunk.attempt, "chunk": chunk.chunk, "at": chunk.at,
            "content": chunk.content,
        }));
        return;
    }
    let is_new = last.is_none_or(|l| (&l.stage, l.attempt) != (&chunk.stage, chunk.attempt));
    if is_new {
        out::line(format!("== {}, attempt {}", chunk.stage, chunk.attempt));
    }
    out::raw(&chunk.content);
}

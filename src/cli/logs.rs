//! `logs`: what stages print.

use super::args::Logs;
use super::session::Session;
use super::{Done, out};
use crate::engine::Longhaul;
use crate::store::{LOG_PAGE, LogChunk, StoreError};
use crate::workflow::event::Event;
use crate::workflow::state::Status;
use serde_json::json;
use std::collections::HashMap;
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
    let mut branches = Branches::default();
    let mut is_ended = has_ended(&row.status);
    let mut last: Option<LogChunk> = None;
    loop {
        let chunks = engine.store().logs(id, args.stage.as_deref(), last.as_ref()).await?;
        let is_full_page = chunks.len() >= LOG_PAGE;
        for chunk in chunks {
            let branch = branches.of(&engine, &chunk).await?;
            print(session, last.as_ref(), &chunk, branch);
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

/// On which branch each attempt began.
#[derive(Default)]
struct Branches {
    seen: u64,
    of: HashMap<(String, u32), u32>,
}

impl Branches {
    /// The branch of a chunk's attempt; read on in the history only when the attempt is new.
    async fn of(&mut self, engine: &Longhaul, chunk: &LogChunk) -> Result<u32, StoreError> {
        let key = (chunk.stage.clone(), chunk.attempt as u32);
        while !self.of.contains_key(&key) {
            let page = engine.store().events(chunk.execution_id, self.seen, 1_000).await?;
            let Some(last) = page.last() else { break };
            self.seen = last.sequence;
            for stored in &page {
                if let Event::StageStarted { stage, attempt } = stored.happened()?.event {
                    self.of.insert((stage, attempt), stored.branch);
                }
            }
        }
        Ok(self.of.get(&key).copied().unwrap_or(1))
    }
}

fn print(session: &Session, last: Option<&LogChunk>, chunk: &LogChunk, branch: u32) {
    if session.json() {
        out::json_line(&json!({
            "stage": chunk.stage, "attempt": chunk.attempt, "branch": branch, "chunk": chunk.chunk, "at": chunk.at,
            "content": chunk.content,
        }));
        return;
    }
    let is_new = last.is_none_or(|l| (&l.stage, l.attempt) != (&chunk.stage, chunk.attempt));
    if is_new {
        let on = if branch > 1 { format!(", branch {branch}") } else { String::new() };
        out::line(format!("== {}, attempt {}{on}", chunk.stage, chunk.attempt));
    }
    out::raw(&chunk.content);
}

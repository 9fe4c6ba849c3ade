//! `history`: the events of an execution.

use super::args::History;
use super::follow::sentence;
use super::session::Session;
use super::{Done, out};
use crate::engine::Longhaul;
use crate::store::Stored;
use crate::view::history_line;
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use std::process::ExitCode;
use std::time::Duration;
use uuid::Uuid;

const PAGE: i64 = 1_000;

/// Prints the events; with `--follow` until the execution has ended.
pub(super) async fn history(session: &Session, args: &History) -> Done {
    let engine = session.open().await?;
    let id = engine.store().find_execution(&args.id).await?;
    let mut state = Execution::default();
    loop {
        let page = page(&engine, id, &state, args.follow).await?;
        for stored in &page {
            evolve(&mut state, &stored.happened()?);
            if args.branch.is_none_or(|b| b == stored.branch) {
                print(session, &state, stored)?;
            }
        }
        if page.is_empty() {
            if state.version == 0 {
                let id = args.id.clone();
                return Err(crate::store::StoreError::NotFound { what: "execution", id }.into());
            }
            if !args.follow || state.outcome.is_some() {
                engine.close().await;
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The next events. A follower outlasts a database that is away for a moment.
async fn page(
    engine: &Longhaul,
    id: Uuid,
    state: &Execution,
    follow: bool,
) -> Result<Vec<Stored>, super::CliError> {
    match engine.store().events(id, state.version, PAGE).await {
        Err(error) if follow && error.may_pass() && state.version > 0 => {
            out::note(&error.to_string());
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Vec::new())
        }
        other => Ok(other?),
    }
}

fn print(session: &Session, state: &Execution, stored: &Stored) -> Result<(), super::CliError> {
    if session.json() {
        out::json_line(&history_line(stored));
        return Ok(());
    }
    let happened = stored.happened()?;
    let text = sentence(state, &happened.event).unwrap_or_default();
    let (name, at) = (happened.event.name(), stored.at.format("%Y-%m-%d %H:%M:%S%.3f"));
    let first = text.lines().next().unwrap_or_default();
    out::line(format!("{:>5}  {at}  b{}  {name:<22} {first}", stored.sequence, stored.branch));
    Ok(())
}

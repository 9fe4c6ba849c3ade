//! The crash: a worker process of its own, SIGKILL in the midst of code generation, another worker.

use super::super::error::CliError;
use super::super::follow;
use super::super::session::Session;
use crate::engine::Longhaul;
use crate::view::ExecutionView;
use crate::workflow::state::StageState;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Carries out an execution with two worker processes, of which the first is killed.
pub(super) async fn carry_out_with_crash(
    session: &Session,
    engine: &Longhaul,
    id: Uuid,
) -> Result<ExecutionView, CliError> {
    let quiet = session.json();
    let mut first = start_worker(session)?;
    let (notes, read_notes) = mpsc::unbounded_channel();
    let following = tokio::spawn({
        let engine = engine.clone();
        async move { follow::follow_with(&engine, id, quiet, read_notes).await }
    });
    wait_for_code_generation(engine, id, &mut first).await?;
    let pid = first.id().unwrap_or_default();
    // SIGKILL: no handler runs, nothing is written, nothing is cleaned up.
    first
        .kill()
        .await
        .map_err(|e| CliError::OutOfReach(format!("worker {pid} cannot be killed: {e}")))?;
    let said = format!(
        "*** worker process {pid} killed (SIGKILL) in code_generation; another one starts ***"
    );
    // Nobody reads it when following has ended, and then its end is what counts.
    let _ = notes.send(said);
    let mut second = start_worker(session)?;
    let ended = following.await;
    stop(&mut second).await;
    ended.map_err(|e| CliError::OutOfReach(format!("following broke down: {e}")))?
}

fn start_worker(session: &Session) -> Result<Child, CliError> {
    let cannot =
        |e: std::io::Error| CliError::OutOfReach(format!("a worker cannot be started: {e}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(program);
    command.arg("worker").arg("--home").arg(session.home.root()).kill_on_drop(true);
    if let Some(file) = &session.globals.config {
        command.arg("--config").arg(file);
    }
    if let Some(url) = session.settings.database_url() {
        command.env("DATABASE_URL", url);
    }
    let quiet = std::process::Stdio::null;
    command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().map_err(cannot)
}

/// Waits until the agent is at work: its first line is in the log.
async fn wait_for_code_generation(
    engine: &Longhaul,
    id: Uuid,
    worker: &mut Child,
) -> Result<(), CliError> {
    loop {
        let state = engine.state(id).await?;
        let runs = state
            .stage("code_generation")
            .is_some_and(|s| matches!(s.state, StageState::Running { .. }));
        if runs && !engine.store().logs(id, Some("code_generation"), None).await?.is_empty() {
            return Ok(());
        }
        if state.outcome.is_some() {
            return Err(CliError::Refused(
                "the execution ended before it could be killed".to_owned(),
            ));
        }
        if let Ok(Some(status)) = worker.try_wait() {
            return Err(CliError::OutOfReach(format!("the worker ended by itself: {status}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// SIGTERM, and a while to let go.
async fn stop(worker: &mut Child) {
    if let Some(pid) = worker.id().and_then(|p| i32::try_from(p).ok()) {
        // SAFETY: the process is our child and has not been waited for, so that its id is its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
    // A worker that does not end by itself is killed when the handle is dropped.
    let _ = tokio::time::timeout(Duration::from_secs(10), worker.wait()).await;
}

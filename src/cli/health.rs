//! `health`: checks, each with its threshold.

use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::engine::{Check, CheckState, Health, OpenError};
use crate::store::StoreError;
use std::process::ExitCode;

/// Exit code 1 if a check fails; a database that is away is one that fails.
pub(super) async fn health(session: &Session) -> Done {
    let health = match session.open().await {
        Ok(engine) => {
            let health = engine.health().await;
            engine.close().await;
            health
        }
        Err(CliError::Open(OpenError::Store(error @ StoreError::Unreachable(_)))) => {
            Health::unreachable(&error.to_string())
        }
        Err(error) => return Err(error),
    };
    if session.json() {
        out::json(&health);
    } else {
        let cells = |c: &Check| {
            vec![c.name.to_owned(), c.state.as_str().to_owned(), out::clipped(&c.reason)]
        };
        let rows: Vec<Vec<String>> = health.checks.iter().map(cells).collect();
        out::table(&["CHECK", "STATE", "WHAT"], &rows);
    }
    Ok(ExitCode::from(u8::from(health.status == CheckState::Fail)))
}

//! Comparing branches, moments and executions.

use super::{HistoryError, Longhaul};
use crate::clients::git::{Mirror, Source};
use crate::replay::diff::{Comparison, Side, compare};
use crate::store::StoreError;
use crate::workflow::state::Execution;
use serde::Serialize;
use std::path::Path;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where a side of a comparison ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// With the last event of this branch.
    Branch(u32),
    /// With this event.
    Sequence(u64),
    /// With the newest event.
    Newest,
}

/// A comparison with what git says to it.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// The execution of the first side.
    pub a_execution: Uuid,
    /// The execution of the second.
    pub b_execution: Uuid,
    /// Both sides, and where they part.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// From the commit of the first side to that of the second, as a unified diff; none if they have
    /// the same, or if they are not known on this machine.
    pub patch: Option<String>,
}

/// Events that are read at once.
const PAGE: u64 = 2_000;

impl Longhaul {
    /// Compares two sides, each an execution up to a point.
    pub async fn diff(&self, a: (Uuid, Point), b: (Uuid, Point)) -> Result<Diff, HistoryError> {
        let (first, second) = tokio::try_join!(self.side(a.0, a.1), self.side(b.0, b.1))?;
        let comparison = compare(&first, &second);
        let patch = self.patch_between(&first.state, &second.state).await;
        Ok(Diff { a_execution: a.0, b_execution: b.0, comparison, patch })
    }

    async fn side(&self, id: Uuid, point: Point) -> Result<Side, HistoryError> {
        let upto = match point {
            Point::Sequence(sequence) => sequence,
            Point::Branch(_) | Point::Newest => u64::MAX,
        };
        let mut side = Side::default();
        'pages: while side.state.version < upto {
            let page = PAGE.min(upto - side.state.version);
            let events = self.store.events(id, side.state.version, page as i64).await?;
            for stored in &events {
                if matches!(point, Point::Branch(branch) if stored.branch > branch) {
                    break 'pages;
                }
                side.event(&stored.happened()?);
            }
            if (events.len() as u64) < page {
                break;
            }
        }
        let (version, branch) = (side.state.version, side.state.branch);
        let none = |said: String| Err(HistoryError::NoSuchMoment(said));
        match point {
            _ if version == 0 && upto > 0 => {
                Err(StoreError::NotFound { what: "execution", id: id.to_string() }.into())
            }
            Point::Sequence(sequence) if version != sequence || sequence == 0 => {
                none(format!("execution {id} has events 1 to {version}, not {sequence}"))
            }
            Point::Branch(asked) if branch != asked => {
                none(format!("execution {id} has branches b1 to b{branch}, not b{asked}"))
            }
            Point::Branch(_) | Point::Sequence(_) | Point::Newest => Ok(side),
        }
    }

    /// The patch between the newest work of two states, if both are known on this machine.
    async fn patch_between(&self, a: &Execution, b: &Execution) -> Option<String> {
        let (from, to) = (commit_of(a)?, commit_of(b)?);
        if from == to {
            return None;
        }
        let path = b.request.as_ref()?.repository.clone()?;
        let source = Source::locate(Path::new(&path)).await.ok()?;
        let repositories = self.home.repositories();
        if !repositories.join(format!("{}.git", source.key())).exists() {
            return None;
        }
        let mirror = Mirror::open(&repositories, &source, &CancellationToken::new()).await.ok()?;
        mirror.patch(&from, &to).await.ok()
    }
}

/// The commit of the newest code generation.
fn commit_of(state: &Execution) -> Option<String> {
    let definition = &state.request.as_ref()?.definition;
    let of_kind = definition.stages.iter().zip(state.stages.iter());
    let mut outputs = of_kind.filter(|(d, _)| d.kind == "code_generation").map(|(_, s)| s.output());
    outputs.next_back()??.get("commit")?.as_str().map(str::to_owned)
}

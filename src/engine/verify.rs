//! Proving what is stored: every stream folded by this program, its decisions made again.

use super::{HistoryError, Longhaul};
use crate::replay::canonical::state_digest;
use crate::replay::{
    Difference, Finding, Found, HeadFacts, Recorded, Verdict, Verifier, state_hash,
};
use crate::stages::Registry;
use crate::store::{Head, Page, Scan, ScanError, Scanned, Store, StoreError};
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use uuid::Uuid;

/// What is verified of each stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// That it can be read, is complete, folds to its row, and that its open stages have kinds that
    /// are known here.
    Readable,
    /// Also that every decision is made again as it was.
    Decisions,
}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Executions that were verified.
    pub executions: u64,
    /// Events that were folded.
    pub events: u64,
    /// Decisions that were made again and gave the same.
    pub decisions: u64,
    /// Events for which no command is known.
    pub unjudged: u64,
    /// Executions that differ.
    pub differing: u64,
    /// The first difference of each, at most 100.
    pub differences: Vec<(Uuid, Finding)>,
    /// SHA-256 over id, version and state hash of each execution in order, in hex: two programs that
    /// give the same fold everything to the same states.
    pub states: String,
}

/// Differences that are kept.
const KEPT: usize = 100;

/// One after another.
struct Run<'a> {
    depth: Depth,
    stages: &'a Registry,
    heads: VecDeque<Head>,
    current: Option<(Uuid, Verifier)>,
    /// Streams of which no row was seen; it may have come after the rows were read.
    rowless: Vec<Uuid>,
    report: VerifyReport,
    states: Sha256,
}

impl Longhaul {
    /// Verifies the executions of a scan; `progress` is told how far it is after each page. What
    /// differs is in the report; an error means that not everything was looked at.
    pub async fn verify(
        &self,
        scan: Scan,
        depth: Depth,
        progress: impl FnMut(&VerifyReport),
    ) -> Result<VerifyReport, ScanError> {
        verify(&self.store, &self.stages, scan, depth, progress).await
    }

    /// The lines of a recorded history with the hash of the state after each event.
    pub async fn record(&self, id: Uuid) -> Result<Vec<Recorded>, HistoryError> {
        let mut state = Execution::default();
        let mut lines = Vec::new();
        loop {
            let page = self.store.events(id, state.version, 2_000).await?;
            for stored in &page {
                let happened = stored.happened()?;
                evolve(&mut state, &happened);
                let state_hash = Some(state_hash(&state));
                let (sequence, branch) = (stored.sequence, stored.branch);
                let found = Found { sequence, branch, happened, hash: None, state_hash };
                lines.push(Recorded { found, actor: stored.actor.clone() });
            }
            if page.is_empty() {
                break;
            }
        }
        if lines.is_empty() {
            return Err(StoreError::NotFound { what: "execution", id: id.to_string() }.into());
        }
        Ok(lines)
    }
}

/// Verifies the executions of a scan with the stage kinds of this program.
pub(super) async fn verify(
    store: &Store,
    stages: &Registry,
    scan: Scan,
    depth: Depth,
    mut progress: impl FnMut(&VerifyReport),
) -> Result<VerifyReport, ScanError> {
    let (heads, states) = (VecDeque::new(), Sha256::new());
    let report = VerifyReport::default();
    let mut run = Run { depth, stages, heads, current: None, rowless: Vec::new(), report, states };
    let mut scanner = store.scan(scan);
    loop {
        let page = match scanner.next().await.and_then(|page| run.page(page)) {
            Ok(more) => more,
            Err(error) => return Err(run.ends_early(error, scan.from)),
        };
        if !page {
            if let Err(error) = run.look_for_rows(store).await {
                return Err(run.ends_early(error, scan.from));
            }
            run.report.states = hex::encode(run.states.finalize());
            return Ok(run.report);
        }
        progress(&run.report);
    }
}

impl Run<'_> {
    /// Takes a page; gives back whether there may be more.
    fn page(&mut self, page: Option<Page>) -> Result<bool, StoreError> {
        match page {
            None => return Ok(false),
            Some(Page::Heads(heads)) => self.heads.extend(heads),
            Some(Page::Events(events)) => {
                events.iter().try_for_each(|event| self.event(event))?;
            }
            Some(Page::Done) => {
                self.end_current();
                while !self.heads.is_empty() {
                    self.begin_next();
                    self.end_current();
                }
            }
        }
        Ok(true)
    }

    fn event(&mut self, scanned: &Scanned) -> Result<(), StoreError> {
        let id = scanned.execution_id()?;
        if self.current.as_ref().is_none_or(|(current, _)| *current != id) {
            self.end_current();
            // A row without events comes before; events without a row have none.
            while self.heads.front().is_some_and(|h| h.execution_id < id) {
                self.begin_next();
                self.end_current();
            }
            if self.heads.front().is_some_and(|h| h.execution_id == id) {
                self.begin_next();
            } else {
                self.rowless.push(id);
                self.current = Some((id, Verifier::new(None, self.judges())));
            }
        }
        self.report.events += 1;
        let Some((_, verifier)) = &mut self.current else { return Ok(()) };
        if verifier.is_over() {
            return Ok(());
        }
        let sequence = scanned.sequence()?;
        match scanned.happened() {
            Ok(happened) => verifier.event(Found {
                sequence,
                branch: scanned.branch()?,
                happened,
                hash: Some(scanned.hash()?.to_vec()),
                state_hash: None,
            }),
            Err(StoreError::Unreadable { reason, .. }) => verifier.unreadable(sequence, reason),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn judges(&self) -> bool {
        self.depth == Depth::Decisions
    }

    fn begin_next(&mut self) {
        let Some(head) = self.heads.pop_front() else { return };
        let id = head.execution_id;
        self.current = Some((id, Verifier::new(Some(facts(head)), self.judges())));
    }

    fn differs(&mut self, id: Uuid, finding: Finding) {
        self.report.differing += 1;
        if self.report.differences.len() < KEPT {
            self.report.differences.push((id, finding));
        }
    }

    fn end_current(&mut self) {
        let Some((id, verifier)) = self.current.take() else { return };
        let Verdict { state, finding, decisions, unjudged } = verifier.end();
        self.report.executions += 1;
        self.report.decisions += decisions;
        self.report.unjudged += unjudged;
        self.states.update(id.as_bytes());
        self.states.update(state.version.to_be_bytes());
        self.states.update(state_digest(&state));
        let unknown = || (self.depth == Depth::Readable).then(|| unknown_kind(self.stages, &state));
        if let Some(finding) = finding.or_else(|| unknown().flatten()) {
            self.differs(id, finding);
        }
    }

    /// A stream without a row is one that nobody can see or go on with.
    async fn look_for_rows(&mut self, store: &Store) -> Result<(), StoreError> {
        for id in std::mem::take(&mut self.rowless) {
            match store.execution_row(id).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => self.differs(
                    id,
                    Finding {
                        difference: Difference::Head,
                        sequence: 1,
                        expected: "a row in `executions`".to_owned(),
                        found: "none".to_owned(),
                    },
                ),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ends_early(&self, error: StoreError, from: Option<Uuid>) -> ScanError {
        let current = self.current.as_ref().map(|(id, _)| *id);
        let from = current.or_else(|| self.heads.front().map(|h| h.execution_id)).or(from);
        ScanError { error, from, executions: self.report.executions, events: self.report.events }
    }
}

fn facts(head: Head) -> HeadFacts {
    HeadFacts {
        version: head.version as u64,
        hash: head.head_hash,
        status: head.status,
        branch: head.branch as u32,
        progress: head.progress,
        started_at: head.started_at,
        finished_at: head.finished_at,
    }
}

/// A stage that is not done and whose kind nobody here can perform.
fn unknown_kind(stages: &Registry, state: &Execution) -> Option<Finding> {
    let definition = &state.request.as_ref()?.definition;
    let open = definition.stages.iter().zip(&state.stages).filter(|(_, s)| !s.state.is_done());
    let unknown = open.into_iter().find(|(d, _)| stages.get(&d.kind).is_none())?.0;
    let known = stages.kinds().into_keys().collect::<Vec<_>>().join(", ");
    Some(Finding {
        difference: Difference::Kind,
        sequence: state.version,
        expected: format!("one of {known}"),
        found: format!("`{}` of stage `{}`", unknown.kind, unknown.name),
    })
}

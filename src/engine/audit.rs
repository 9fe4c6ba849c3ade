//! Verifying what is stored: every stream against its chain, its head, its lane.
//!
//! Walks the streams in the order of their ids with the memory of a page. A lost connection ends it
//! with the position to go on from, never with a verdict.

use super::Longhaul;
use crate::audit::heads::HeadLine;
use crate::audit::stream::{Broken, Fault, StreamCheck};
use crate::audit::{Head, Kind};
use crate::store::{AuditEvent, LAST_ID, LaneGap, StoreError};
use serde_json::{Value, json};
use std::iter::Peekable;
use std::vec::IntoIter;
use uuid::Uuid;

/// What is verified.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only this execution, and the task that it belongs to.
    pub only: Option<Uuid>,
    /// Begin behind this stream; where an earlier run was cut off.
    pub after: Option<(Kind, Uuid)>,
    /// What a checkpoint saw, sorted by kind and id: each of these heads must still be in its chain.
    pub seen: Vec<HeadLine>,
    /// Only streams whose head is not the one in `seen`.
    pub changed: bool,
}

/// What was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditTotal {
    /// Streams of executions.
    pub executions: u64,
    /// Streams of tasks.
    pub tasks: u64,
    /// Events of both, and entries of the audit log.
    pub events: u64,
}

/// A verification that could not be finished.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {} executions and {} tasks were checked and the rest was not; {}",
        total.executions, total.tasks, resume(*.after))]
pub struct AuditError {
    /// What went wrong.
    #[source]
    pub error: StoreError,
    /// The last stream that was checked to its end.
    pub after: Option<(Kind, Uuid)>,
    /// How far it came.
    pub total: AuditTotal,
}

fn resume(after: Option<(Kind, Uuid)>) -> String {
    after.map_or_else(
        || "begin again".to_owned(),
        |(kind, id)| format!("go on with --after {}:{id}", kind.as_str()),
    )
}

/// Is told of faults as they are found, and of the total after each page.
pub trait Watch: Send {
    /// A stream is broken.
    fn broken(&mut self, broken: &Broken);
    /// So much is done.
    fn progress(&mut self, total: AuditTotal);
    /// An event was read; before it is judged.
    fn event(&mut self, _kind: Kind, _event: &AuditEvent) {}
}

/// A verification under way.
struct Walk<'a> {
    engine: &'a Longhaul,
    watch: &'a mut dyn Watch,
    total: AuditTotal,
    /// The last stream that was checked to its end.
    done: Option<(Kind, Uuid)>,
    /// Heads of a checkpoint whose streams have not been reached.
    seen: Peekable<IntoIter<HeadLine>>,
    /// Ranges of executions whose events lie in archives only.
    given_up: Vec<(Uuid, Uuid)>,
}

impl Longhaul {
    /// Recomputes the chains of the streams in `scope` and holds them against their heads.
    pub async fn audit_verify(
        &self,
        scope: &Scope,
        watch: &mut dyn Watch,
    ) -> Result<AuditTotal, AuditError> {
        let total = AuditTotal::default();
        let seen = scope.seen.clone().into_iter().peekable();
        let mut walk =
            Walk { engine: self, watch, total, done: scope.after, seen, given_up: Vec::new() };
        match walk.scope(scope).await {
            Ok(()) => Ok(walk.total),
            Err(error) => Err(AuditError { error, after: walk.done, total: walk.total }),
        }
    }

    /// Reads the streams in `scope` out to `watch`, and verifies them on the way. That it was done is
    /// recorded first, with the reason.
    pub async fn audit_export(
        &self,
        scope: &Scope,
        reason: &str,
        watch: &mut dyn Watch,
    ) -> Result<AuditTotal, AuditError> {
        let motive = self.motive(reason);
        let what = scope.only.map_or_else(|| "all".to_owned(), |id| id.to_string());
        let data = json!({"scope": what, "reason": motive.reason, "source": motive.source});
        let recorded = self.record_action("EventsExported", &data).await;
        recorded.map_err(|error| AuditError {
            error,
            after: scope.after,
            total: AuditTotal::default(),
        })?;
        self.audit_verify(scope, watch).await
    }

    /// Records what an operator did that belongs to no execution.
    pub(super) async fn record_action(&self, name: &str, data: &Value) -> Result<(), StoreError> {
        self.store.record_action(name, data, &self.actor, self.clock.now()).await
    }

    /// Holes in the lanes, by which a reader would notice that an event is gone.
    pub async fn audit_lanes(&self) -> Result<Vec<LaneGap>, StoreError> {
        self.store.lane_gaps().await
    }
}

impl Walk<'_> {
    async fn scope(&mut self, scope: &Scope) -> Result<(), StoreError> {
        self.given_up = self.engine.store.given_up().await?;
        if let Some(id) = scope.only {
            let row = self.engine.store.execution_row(id).await?;
            self.range(Kind::Execution, before(id), id).await?;
            return self.range(Kind::Task, before(row.task_id), row.task_id).await;
        }
        for kind in Kind::ALL {
            let start = match scope.after {
                Some((begun, _)) if kind < begun => continue,
                Some((begun, id)) if kind == begun => id,
                _ => Uuid::nil(),
            };
            if scope.changed {
                for id in self.changed(kind, start, &scope.seen).await? {
                    self.range(kind, before(id), id).await?;
                }
            } else {
                self.range(kind, start, LAST_ID).await?;
            }
        }
        Ok(())
    }

    /// Streams whose head is not the one that the checkpoint saw, and those that have none any more.
    async fn changed(
        &self,
        kind: Kind,
        after: Uuid,
        seen: &[HeadLine],
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut changed = Vec::new();
        let mut seen = seen.iter().filter(|s| s.kind == kind && s.stream > after).peekable();
        let mut heads = self.engine.store.read_heads().await?;
        let mut position = after;
        loop {
            let page = heads.page(kind, position).await?;
            let Some(last) = page.last() else { break };
            position = last.0;
            for (stream, version, hash) in page {
                while let Some(gone) = seen.next_if(|s| s.stream < stream) {
                    changed.push(gone.stream);
                }
                let known = seen.next_if(|s| s.stream == stream);
                if known.is_none_or(|s| (s.version, s.hash) != (version, hash)) {
                    changed.push(stream);
                }
            }
        }
        changed.extend(seen.map(|s| s.stream));
        Ok(changed)
    }

    /// Forgets the heads of a checkpoint up to a stream.
    fn skip_to(&mut self, kind: Kind, after: Uuid) {
        while self.seen.next_if(|s| s.place() <= (kind, after)).is_some() {}
    }

    /// The checkpoint's head of a stream. Heads before it belong to streams that are gone.
    fn seen_of(&mut self, kind: Kind, stream: Uuid) -> Option<Head> {
        self.gone_before(kind, stream);
        self.seen.next_if(|s| s.place() == (kind, stream)).map(|s| s.head())
    }

    fn gone_before(&mut self, kind: Kind, stream: Uuid) {
        while let Some(gone) = self.seen.next_if(|s| s.place() < (kind, stream)) {
            self.gone(gone);
        }
    }

    /// No event is left of a stream that the checkpoint saw.
    fn gone(&mut self, head: HeadLine) {
        let is_in = |range: &(Uuid, Uuid)| range.0 <= head.stream && head.stream < range.1;
        if head.kind == Kind::Execution && self.given_up.iter().any(is_in) {
            return;
        }
        let check = StreamCheck::new(head.kind, head.stream, Some(head.head()));
        if let Some(broken) = check.end(None) {
            self.watch.broken(&broken);
        }
    }

    /// Checks the streams behind `after` up to `last`.
    async fn range(&mut self, kind: Kind, after: Uuid, last: Uuid) -> Result<(), StoreError> {
        self.skip_to(kind, after);
        let mut position = (after, u64::MAX);
        let mut open: Option<(StreamCheck, Option<Head>)> = None;
        loop {
            let page = self.engine.store.audit_events(kind, position, last).await?;
            for event in &page.events {
                self.watch.event(kind, event);
                position = (event.stream, event.sequence);
                if open.as_ref().is_some_and(|(check, _)| check.stream() != event.stream) {
                    self.close(kind, open.take());
                }
                if open.is_none() {
                    let seen = self.seen_of(kind, event.stream);
                    open = Some((StreamCheck::new(kind, event.stream, seen), None));
                }
                if let Some((check, head)) = &mut open {
                    check.event(event);
                    *head = head_of(event);
                }
                self.total.events += 1;
            }
            self.watch.progress(self.total);
            if page.is_last {
                self.close(kind, open.take());
                self.gone_before(kind, last);
                if let Some(head) = self.seen.next_if(|s| s.place() == (kind, last)) {
                    self.gone(head);
                }
                return self.empty(kind, after, last).await;
            }
        }
    }

    fn close(&mut self, kind: Kind, open: Option<(StreamCheck, Option<Head>)>) {
        let Some((check, head)) = open else { return };
        let stream = check.stream();
        match kind {
            Kind::Execution => self.total.executions += 1,
            Kind::Task => self.total.tasks += 1,
            Kind::Log => {}
        }
        if let Some(broken) = check.end(head) {
            self.watch.broken(&broken);
        }
        self.done = Some((kind, stream));
    }

    /// Streams that have a head and nothing else.
    async fn empty(&mut self, kind: Kind, after: Uuid, last: Uuid) -> Result<(), StoreError> {
        let mut position = after;
        loop {
            let ids = self.engine.store.empty_streams(kind, position, last).await?;
            let Some(end) = ids.last().copied() else { return Ok(()) };
            for stream in ids {
                let fault = Fault::NoEvents;
                self.watch.broken(&Broken { kind, stream, sequence: 1, fault });
            }
            position = end;
        }
    }
}

fn head_of(event: &AuditEvent) -> Option<Head> {
    event.head.map(|(version, hash)| Head { version, hash })
}

/// The id before this one: a range that begins behind it holds this one.
fn before(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}

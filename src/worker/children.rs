//! Children: executions that other executions ask for. How they begin, how a parent learns of their
//! end, and what becomes of them when it ends.
//!
//! Whoever ends an execution tells its parent and ends its children. If it is cut off before that,
//! the parent looks by itself, and a sweep finds the children: nothing depends on this being done.

use super::Shared;
use crate::clock::Clock;
use crate::stages::{ChildState, ChildWish, Children, Relation, end_signal};
use crate::store::{Append, AppendError, NewExecution, OnParentEnd, Store, StoreError};
use crate::workflow::command::Command;
use crate::workflow::decide::apply;
use crate::workflow::event::{Motive, Parent, Request};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::state::{Execution, Outcome};
use async_trait::async_trait;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How deeply children may have children.
const DEPTH_MAX: u32 = 16;
/// How often a command is decided anew because somebody else appended first.
const CONFLICTS_MAX: usize = 50;
/// Between two looks for children whose parent ended without a word.
const SWEEP: Duration = Duration::from_secs(30);

/// Makes the request of a child: finds its workflow, judges it, pins its settings.
#[async_trait]
pub trait ChildRequests: Send + Sync {
    /// The request of the child that `wish` asks for, without its parent; else what is wrong.
    async fn request(&self, wish: &ChildWish, parent: &Request) -> Result<Request, Failure>;
}

/// For workers that nobody gave a way to make requests.
pub(super) struct NoRequests;

#[async_trait]
impl ChildRequests for NoRequests {
    async fn request(&self, _: &ChildWish, _: &Request) -> Result<Request, Failure> {
        let said = "this worker cannot start children; run one that an engine made";
        Err(Failure::new(ErrorKind::Permanent, said))
    }
}

/// The children of one stage.
pub(super) struct StageChildren {
    pub(super) shared: Arc<Shared>,
    pub(super) parent: Uuid,
    pub(super) stage: String,
}

#[async_trait]
impl Children for StageChildren {
    async fn start(&self, wish: ChildWish) -> Result<(), Failure> {
        let store = &self.shared.store;
        let id = wish.execution_id;
        if store.execution_row(id).await.is_ok() {
            return Ok(());
        }
        let parent = store.load(self.parent).await.map_err(away)?.state.request;
        let Some(parent) = parent else { return Err(away("the parent has no request")) };
        let depth = parent.parent.as_ref().map_or(1, |p| p.depth + 1);
        if depth > DEPTH_MAX && wish.relation != Relation::Successor {
            let said =
                format!("a child of a child, {DEPTH_MAX} deep: does a workflow start itself?");
            return Err(Failure::new(ErrorKind::Permanent, said));
        }
        let mut request = self.shared.child_requests.request(&wish, &parent).await?;
        let on_end = match wish.relation {
            Relation::Child => Some(OnParentEnd::Cancel),
            Relation::FreeChild => Some(OnParentEnd::Abandon),
            Relation::Successor => None,
        };
        if let Some(on_end) = on_end {
            request.parent =
                Some(Parent { execution_id: self.parent, stage: self.stage.clone(), depth });
            store.link_child(id, self.parent, &self.stage, on_end).await.map_err(away)?;
        } else {
            request.continues = Some(self.parent);
        }
        let actor = format!("execution:{}", self.parent);
        let new = NewExecution { execution_id: id, request };
        match store.request_execution(&new, &actor, self.shared.clock.now()).await {
            Ok(_) => Ok(()),
            // Another attempt was quicker, or our answer was lost.
            Err(_) if store.execution_row(id).await.is_ok() => Ok(()),
            Err(error) => Err(away(error)),
        }
    }

    async fn look(&self, child: Uuid) -> Result<ChildState, Failure> {
        let state = self.shared.store.load(child).await.map_err(away)?.state;
        let error = match &state.outcome {
            Some(Outcome::Failed { error, .. }) => Some(error.clone()),
            Some(Outcome::Completed | Outcome::Cancelled) | None => None,
        };
        let outputs = state.stages.outputs().iter().map(|(s, o)| (s.to_owned(), o.clone()));
        let outputs = outputs.collect::<serde_json::Map<_, _>>().into();
        Ok(ChildState { status: state.status(), outputs, cost: state.cost, error })
    }
}

fn away(error: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::Transient, format!("the child cannot be reached: {error}"))
}

/// What follows from the end of an execution for its parent and its children. Whatever fails here is
/// made good later; it is logged and no more.
pub(crate) async fn after_end(store: &Store, clock: &dyn Clock, id: Uuid, state: &Execution) {
    if state.outcome.is_none() {
        return;
    }
    if let Err(error) = tell_parent(store, clock, id, state).await {
        tracing::warn!(execution.id = %id, %error, "its parent is not told yet that it ended");
    }
    let has_children =
        |request: &Request| request.definition.stages.iter().any(|s| s.kind == "child");
    if state.request.as_deref().is_some_and(has_children) {
        match store.living_children(id).await {
            Ok(children) => cancel_all(store, clock, &children).await,
            Err(error) => {
                tracing::warn!(execution.id = %id, %error, "its children live on for now")
            }
        }
    }
}

async fn tell_parent(
    store: &Store,
    clock: &dyn Clock,
    id: Uuid,
    state: &Execution,
) -> Result<(), StoreError> {
    let Some(parent) = state.request.as_ref().and_then(|r| r.parent.as_ref()) else {
        return Ok(());
    };
    store.settle_child(id).await?;
    let signal = Command::Signal {
        name: end_signal(id),
        payload: json!({"status": state.status().as_str()}),
        key: Some(format!("{}:{}", end_signal(id), state.version)),
        motive: motive(format!("execution {id} has ended")),
    };
    give(store, clock, parent.execution_id, &signal).await.map(drop)
}

async fn cancel_all(store: &Store, clock: &dyn Clock, children: &[Uuid]) {
    for child in children {
        let cancel = Command::Cancel { motive: motive("its parent has ended".to_owned()) };
        match give(store, clock, *child, &cancel).await {
            // A child that nobody works on ends at once, and its children with it.
            Ok(Some(state)) => later(store, clock, *child, &state).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(execution.id = %child, %error, "not cancelled yet"),
        }
    }
}

fn later<'a>(
    store: &'a Store,
    clock: &'a dyn Clock,
    id: Uuid,
    state: &'a Execution,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(after_end(store, clock, id, state))
}

fn motive(reason: String) -> Motive {
    Motive { reason, source: "worker".to_owned() }
}

/// Gives a command to an execution that is not ours. None: the domain says no, which is all right: it
/// has ended, or is ending.
async fn give(
    store: &Store,
    clock: &dyn Clock,
    id: Uuid,
    command: &Command,
) -> Result<Option<Execution>, StoreError> {
    for _ in 0..CONFLICTS_MAX {
        let mut loaded = store.load(id).await?;
        let now = clock.now();
        let Ok(happened) = apply(&mut loaded.state, now, command) else { return Ok(None) };
        if happened.is_empty() {
            return Ok(None);
        }
        let before = loaded.head_hash;
        let append = Append::new(id, &loaded.state, &happened, before, "worker", now)?;
        match store.append(append).await {
            Ok(()) => return Ok(Some(loaded.state)),
            Err(AppendError::Conflict { .. } | AppendError::Fenced(_)) => {}
            Err(AppendError::Store(error)) => return Err(error),
            Err(error @ AppendError::NotFound(_)) => {
                return Err(StoreError::Refused(error.to_string()));
            }
        }
    }
    Err(StoreError::Refused(format!("execution {id} changes too fast")))
}

/// The sweep beside the work; ends with this.
pub(super) struct Sweep(JoinHandle<()>);

impl Sweep {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Sweep(tokio::spawn(async move {
            let mut look = tokio::time::interval(SWEEP);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                match shared.store.orphans().await {
                    Ok(orphans) => {
                        cancel_all(&shared.store, shared.clock.as_ref(), &orphans).await;
                    }
                    Err(error) => tracing::warn!(%error, "orphans cannot be looked for"),
                }
            }
        }))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! One execution's stream as its worker writes it: decide, advance, append, and again after a
//! conflict.
//!
//! Whether to let go of the execution is decided here too, in the same append: when nothing runs and
//! nothing can start, the lease goes and the queue entry comes with it.

use super::Shared;
use super::gate::Gate;
use crate::store::{Append, AppendError, Claimed, Disposition, Loaded, StoreError};
use crate::workflow::command::{Command, Refusal};
use crate::workflow::decide::apply;
use crate::workflow::event::Happened;
use crate::workflow::next::{Wake, advance_where, wake_beside};
use crate::workflow::state::Execution;
use std::sync::Arc;
use uuid::Uuid;

/// Whether new attempts may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Take every action that is possible.
    Advance,
    /// Start nothing; let go as soon as nothing runs.
    LetGo,
}

/// Why a commit changed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The domain says no; the state is as it was.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The execution is not ours any more, or we cannot know: stop working on it.
    #[error("the execution is lost: {0}")]
    Lost(String),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        CommitError::Lost(error.to_string())
    }
}

/// The stream of an execution that we hold.
pub(super) struct Stream {
    shared: Arc<Shared>,
    claimed: Claimed,
    actor: String,
    loaded: Loaded,
    gate: Gate,
    is_released: bool,
}

impl Stream {
    /// Loads the execution that was claimed.
    pub(super) async fn open(
        shared: Arc<Shared>,
        claimed: Claimed,
        worker: Uuid,
    ) -> Result<Self, StoreError> {
        let loaded = shared.store.load(claimed.execution_id).await?;
        Ok(Stream::of(shared, claimed, worker, loaded))
    }

    /// The stream as its submitter has left it.
    pub(super) fn of(shared: Arc<Shared>, claimed: Claimed, worker: Uuid, loaded: Loaded) -> Self {
        let actor = format!("worker:{worker}");
        let gate = Gate::new(Arc::clone(&shared), claimed, worker, &loaded.state);
        Stream { shared, claimed, actor, loaded, gate, is_released: false }
    }

    pub(super) fn state(&self) -> &Execution {
        &self.loaded.state
    }

    /// Whether the last append let go of the execution.
    pub(super) fn is_released(&self) -> bool {
        self.is_released
    }

    /// Decides `wish` and takes what follows from it, as `mode` allows. What asks for permits begins in
    /// an append of its own, when they are held; what ended gives its own back first.
    pub(super) async fn commit(
        &mut self,
        wish: Option<&Command>,
        mode: Mode,
    ) -> Result<Vec<Happened>, CommitError> {
        wish.into_iter().for_each(|wish| self.gate.ended(wish));
        let mut happened = self.write(wish, mode).await?;
        if let Some(wish) = wish {
            self.gate.report(&self.loaded.state, wish).await;
        }
        self.gate.settle(&self.loaded.state).await;
        let may_ask = mode == Mode::Advance && !self.is_released;
        if may_ask && self.gate.ask(&self.loaded.state).await? {
            happened.extend(self.write(None, mode).await?);
            // What was granted and did not begin after all is given back.
            self.gate.settle(&self.loaded.state).await;
        }
        if self.is_released {
            self.gate.left().await;
        }
        Ok(happened)
    }

    /// When to look again although nothing was heard.
    pub(super) fn asks_again_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.gate.asks_again_at()
    }

    /// Decides `wish`, takes what follows from it as `mode` allows, and makes all of it durable in
    /// one append. Somebody else's append in between is loaded, and the wish decided anew.
    async fn write(
        &mut self,
        wish: Option<&Command>,
        mode: Mode,
    ) -> Result<Vec<Happened>, CommitError> {
        loop {
            let before = self.loaded.head_hash;
            let now = self.shared.clock.now();
            let state = &mut self.loaded.state;
            let mut happened = wish.map(|c| apply(state, now, c)).transpose()?.unwrap_or_default();
            let gate = &self.gate;
            if mode == Mode::Advance {
                let may_begin = |state: &Execution, stage: &str| gate.admits(state, stage);
                happened.extend(advance_where(state, now, &may_begin)?);
            }
            let is_held_back = |stage: &str| gate.holds_back(state, stage);
            let may_go = mode == Mode::LetGo || wake_beside(state, now, &is_held_back) != Wake::Now;
            let release = may_go && !state.is_anything_running();
            if happened.is_empty() && !release {
                return Ok(happened);
            }
            let disposition = if release { Disposition::Release } else { Disposition::Keep };
            let id = self.claimed.execution_id;
            let append = Append::new(id, state, &happened, before, &self.actor, now)?
                .as_worker(self.claimed.fence, disposition);
            let append = if release { gate.queue(append, state, now) } else { append };
            let head_hash = append.head_hash;
            match self.shared.store.append(append).await {
                Ok(()) => {
                    self.loaded.head_hash = head_hash;
                    self.is_released = release;
                    return Ok(happened);
                }
                Err(AppendError::Conflict { .. }) => self.reload().await?,
                Err(error) => return Err(CommitError::Lost(error.to_string())),
            }
        }
    }

    /// Loads what others have appended.
    pub(super) async fn reload(&mut self) -> Result<(), StoreError> {
        self.loaded = self.shared.store.load(self.claimed.execution_id).await?;
        Ok(())
    }
}

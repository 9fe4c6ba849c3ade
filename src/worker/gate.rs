//! What stands between a stage that could begin and its beginning: its worker's offer, and keys.
//!
//! A stage that asks for nothing passes without a look at the database. One that asks for keys begins
//! in an append of its own, after the permits are held; one that does not get them waits without a
//! worker, unless something else of its execution still runs.

use super::Shared;
use crate::store::{Append, Claimed, StoreError, Wish};
use crate::workflow::next::{Wake, begins, next, wake_beside};
use crate::workflow::resources::{demanded_keys, need};
use crate::workflow::state::Execution;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A stage that waits for a key looks again by itself after this: the last resort, when nobody woke it.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(5);

/// While its execution is held anyway, a stage that waits looks again after this.
const LOOK_AGAIN_HELD: TimeDelta = TimeDelta::seconds(1);

/// How often permits are asked for again when the database does not answer.
const ACQUIRE_TRIES: u32 = 20;
const ACQUIRE_PAUSE: Duration = Duration::from_millis(500);

/// A stage that was turned away.
struct TurnedAway {
    keys: Vec<String>,
    at: DateTime<Utc>,
}

/// The gate of one execution that we hold.
pub(super) struct Gate {
    shared: Arc<Shared>,
    claimed: Claimed,
    worker: Uuid,
    /// Whether any stage of the workflow asks for a key.
    has_demands: bool,
    /// Whether somebody held the execution before: what they took for it is to be given back.
    is_taken_over: bool,
    /// Stages that hold permits.
    granted: BTreeSet<String>,
    turned_away: BTreeMap<String, TurnedAway>,
}

impl Gate {
    pub(super) fn new(
        shared: Arc<Shared>,
        claimed: Claimed,
        worker: Uuid,
        state: &Execution,
    ) -> Self {
        let mut gate = Gate {
            shared,
            claimed,
            worker,
            has_demands: false,
            is_taken_over: false,
            granted: BTreeSet::new(),
            turned_away: BTreeMap::new(),
        };
        let stages = state.request.iter().flat_map(|r| &r.definition.stages);
        gate.has_demands = stages.into_iter().any(|s| {
            s.resources
                .keys
                .as_ref()
                .map_or_else(|| !gate.default_keys(&s.kind).is_empty(), |keys| !keys.is_empty())
        });
        gate.is_taken_over = gate.has_demands && state.worker.is_some();
        gate
    }

    fn default_keys(&self, kind: &str) -> &'static [&'static str] {
        self.shared.stages.get(kind).map_or(&[], |executor| executor.keys())
    }

    /// The keys that a stage asks for, sorted.
    fn keys(&self, state: &Execution, stage: &str) -> Vec<String> {
        if !self.has_demands {
            return Vec::new();
        }
        let kind = state.policy(stage).map_or("", |p| p.kind.as_str());
        demanded_keys(state, stage, self.default_keys(kind))
    }

    fn fits(&self, state: &Execution, stage: &str) -> bool {
        state.policy(stage).is_none_or(|p| p.resources.is_met_by(&self.shared.offer))
    }

    /// Whether a stage may begin here and now.
    pub(super) fn admits(&self, state: &Execution, stage: &str) -> bool {
        self.fits(state, stage)
            && (self.granted.contains(stage) || self.keys(state, stage).is_empty())
    }

    /// Whether it is known that a stage cannot begin here for now.
    pub(super) fn holds_back(&self, state: &Execution, stage: &str) -> bool {
        self.turned_away.contains_key(stage) || !self.fits(state, stage)
    }

    /// When a stage that was turned away asks again, while its execution is held.
    pub(super) fn asks_again_at(&self) -> Option<DateTime<Utc>> {
        self.turned_away.values().map(|t| t.at + LOOK_AGAIN_HELD).min()
    }

    /// Gives back what stages hold that do not run any more.
    pub(super) async fn settle(&mut self, state: &Execution) {
        if !self.has_demands {
            return;
        }
        let now = self.shared.clock.now();
        if self.is_taken_over {
            match self.shared.store.release_former(self.claimed, now).await {
                Ok(()) => self.is_taken_over = false,
                Err(error) => {
                    tracing::warn!(%error, "permits of a lost worker are given back later")
                }
            }
        }
        let running: Vec<String> =
            state.stages.running().map(|i| state.stages[i].name.clone()).collect();
        if self.granted.iter().all(|stage| running.contains(stage)) {
            return;
        }
        match self.shared.store.release(self.claimed, &running, now).await {
            Ok(()) => self.granted.retain(|stage| running.contains(stage)),
            Err(error) => tracing::warn!(%error, "permits are given back later"),
        }
    }

    /// Asks for what stages need that could begin now. Says whether any got an answer.
    pub(super) async fn ask(&mut self, state: &Execution) -> Result<bool, StoreError> {
        if !self.has_demands {
            return Ok(false);
        }
        let now = self.shared.clock.now();
        let actions = next(state, now);
        let could: Vec<&str> = actions.iter().filter_map(begins).collect();
        self.turned_away
            .retain(|stage, t| could.contains(&stage.as_str()) && now < t.at + LOOK_AGAIN_HELD);
        let priority = state.request.as_ref().map_or(0, |r| r.priority);
        let mut is_answered = false;
        for stage in could {
            if self.granted.contains(stage) || self.holds_back(state, stage) {
                continue;
            }
            let keys = self.keys(state, stage);
            if keys.is_empty() {
                continue;
            }
            is_answered = true;
            let (claimed, worker) = (self.claimed, self.worker);
            let wish = Wish { claimed, worker, stage, keys: &keys, priority };
            if self.acquire(&wish).await? {
                self.granted.insert(stage.to_owned());
            } else {
                self.turned_away.insert(stage.to_owned(), TurnedAway { keys, at: now });
            }
        }
        Ok(is_answered)
    }

    /// An answer that was lost may have granted it; who asks again is told so.
    async fn acquire(&self, wish: &Wish<'_>) -> Result<bool, StoreError> {
        let mut tries = 0;
        loop {
            match self.shared.store.acquire(wish, self.shared.clock.now()).await {
                Err(error) if error.may_pass() && tries < ACQUIRE_TRIES => {
                    tracing::warn!(%error, stage = wish.stage, "permits are asked for again");
                }
                answer => return answer,
            }
            tries += 1;
            tokio::time::sleep(ACQUIRE_PAUSE).await;
        }
    }

    /// The queue entry of an execution that is let go of while stages wait for keys.
    pub(super) fn queue(&self, append: Append, state: &Execution, now: DateTime<Utc>) -> Append {
        let Some(since) = self.turned_away.values().map(|t| t.at).min() else { return append };
        let waits = |stage: &str| self.turned_away.contains_key(stage);
        let last_resort = since + LOOK_AGAIN;
        let wake = match wake_beside(state, now, &waits) {
            Wake::Now => Wake::Now,
            Wake::At(due) => Wake::At(due.min(last_resort)),
            Wake::Never if state.outcome.is_some() || state.pause.is_some() => Wake::Never,
            Wake::Never => Wake::At(last_resort),
        };
        append.queued(wake, need(state, now, &waits))
    }

    /// After the execution was let go of: a key may have become free before it stood in the queue.
    pub(super) async fn left(&self) {
        let keys: Vec<String> =
            self.turned_away.values().flat_map(|t| t.keys.iter().cloned()).collect();
        if keys.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        if let Err(error) = self.shared.store.wake_waiters(Some(&keys), now).await {
            tracing::warn!(%error, "waiters are woken by the next sweep");
        }
    }
}

//! What stands between a stage that could begin and its beginning: its worker's offer, keys, and the
//! outside service that it asks.
//!
//! A stage that asks for nothing passes without a look at the database. One that asks for something
//! begins in an append of its own, after it has it; one that does not get it waits without a worker, unless something else of its execution still runs.

use super::Shared;
use crate::store::{Answer, Append, Claimed, StoreError, Wish};
use crate::workflow::command::Command;
use crate::workflow::failure::ErrorKind;
use crate::workflow::next::{Wake, begins, next, wake_beside};
use crate::workflow::resources::{demanded_keys, named_service, need};
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

/// How often the gate is asked again when the database does not answer.
const ASK_TRIES: u32 = 20;
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// No service is spared for longer than this at once.
const DAY_MS: i64 = 24 * 3_600_000;

/// A stage that was turned away.
struct TurnedAway {
    /// The keys that it wants; empty when it waits for a service.
    keys: Vec<String>,
    /// When it asks again while its execution is held.
    again: DateTime<Utc>,
    /// When its execution is taken up again at the latest.
    until: DateTime<Utc>,
}

/// The gate of one execution that we hold.
pub(super) struct Gate {
    shared: Arc<Shared>,
    claimed: Claimed,
    worker: Uuid,
    /// Whether any stage of the workflow asks for a key or a service.
    has_demands: bool,
    /// Whether somebody held the execution before: what they took for it is to be given back.
    is_taken_over: bool,
    /// Stages that may hold permits.
    holding: BTreeSet<String>,
    /// Stages that have all that they asked for.
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
            holding: BTreeSet::new(),
            granted: BTreeSet::new(),
            turned_away: BTreeMap::new(),
        };
        let stages = state.request.iter().flat_map(|r| &r.definition.stages);
        gate.has_demands = stages.into_iter().any(|s| {
            let own = s.resources.keys.as_ref().map(|keys| !keys.is_empty());
            own.unwrap_or_else(|| !gate.default_keys(&s.kind).is_empty())
                || gate.service(state, &s.name).is_some()
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

    /// The outside service that a stage asks.
    fn service(&self, state: &Execution, stage: &str) -> Option<String> {
        let named = named_service(state, stage);
        named.or_else(|| {
            let policy = state.policy(stage)?;
            let settings = &state.request.as_ref()?.settings;
            self.shared.stages.get(&policy.kind)?.service(settings, &policy.config)
        })
    }

    /// Whether a stage has to ask before it begins.
    fn asks(&self, state: &Execution, stage: &str) -> bool {
        self.has_demands
            && (!self.keys(state, stage).is_empty() || self.service(state, stage).is_some())
    }

    fn fits(&self, state: &Execution, stage: &str) -> bool {
        state.policy(stage).is_none_or(|p| p.resources.is_met_by(&self.shared.offer))
    }

    /// Whether a stage may begin here and now.
    pub(super) fn admits(&self, state: &Execution, stage: &str) -> bool {
        self.fits(state, stage) && (self.granted.contains(stage) || !self.asks(state, stage))
    }

    /// Whether it is known that a stage cannot begin here for now.
    pub(super) fn holds_back(&self, state: &Execution, stage: &str) -> bool {
        self.turned_away.contains_key(stage) || !self.fits(state, stage)
    }

    /// When a stage that was turned away asks again, while its execution is held.
    pub(super) fn asks_again_at(&self) -> Option<DateTime<Utc>> {
        self.turned_away.values().map(|t| t.again).min()
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
        self.granted.retain(|stage| running.contains(stage));
        if self.holding.iter().all(|stage| running.contains(stage)) {
            return;
        }
        match self.shared.store.release(self.claimed, &running, now).await {
            Ok(()) => self.holding.retain(|stage| running.contains(stage)),
            Err(error) => tracing::warn!(%error, "permits are given back later"),
        }
    }

    /// An attempt that ended has used up what it was granted: its stage asks anew.
    pub(super) fn ended(&mut self, command: &Command) {
        if let Command::Succeed { stage, .. }
        | Command::Fail { stage, .. }
        | Command::Wait { stage, .. }
        | Command::Interrupt { stage, .. } = command
        {
            self.granted.remove(stage);
        }
    }

    /// Tells the service of a stage how its attempt ended.
    pub(super) async fn report(&self, state: &Execution, command: &Command) {
        let (stage, failure) = match command {
            Command::Succeed { stage, .. } => (stage, None),
            Command::Fail { stage, error, .. } => (stage, Some(error)),
            _ => return,
        };
        let service = if self.has_demands { self.service(state, stage) } else { None };
        let Some(service) = service else { return };
        let now = self.shared.clock.now();
        let answer = match failure.map(|f| (f.kind, f.retry_after_ms)) {
            Some((ErrorKind::Transient | ErrorKind::Timeout, _)) => Answer::Failed,
            Some((ErrorKind::RateLimited, Some(ms))) => {
                let ms = i64::try_from(ms).unwrap_or(DAY_MS).min(DAY_MS);
                Answer::SlowDown(now + TimeDelta::milliseconds(ms))
            }
            None | Some((ErrorKind::Rejected | ErrorKind::RateLimited, _)) => Answer::Answered,
            // What was wrong before it was asked, or what nobody knows of, says nothing about it.
            Some((ErrorKind::Permanent | ErrorKind::Interrupted | ErrorKind::NeedsPerson, _)) => {
                return;
            }
        };
        if let Err(error) = self.shared.store.service_answered(&service, answer, now).await {
            tracing::warn!(%error, service, "how the service answered is not counted");
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
        self.turned_away.retain(|stage, t| could.contains(&stage.as_str()) && now < t.again);
        let priority = state.request.as_ref().map_or(0, |r| r.priority);
        let mut is_answered = false;
        for stage in could {
            if self.granted.contains(stage) || self.holds_back(state, stage) {
                continue;
            }
            if !self.asks(state, stage) {
                continue;
            }
            is_answered = true;
            let keys = self.keys(state, stage);
            let (claimed, worker) = (self.claimed, self.worker);
            let wish = Wish { claimed, worker, stage, keys: &keys, priority };
            let turned_away = self.try_pass(&wish, self.service(state, stage)).await?;
            if !keys.is_empty() {
                self.holding.insert(stage.to_owned());
            }
            match turned_away {
                None => drop(self.granted.insert(stage.to_owned())),
                Some(turned) => drop(self.turned_away.insert(stage.to_owned(), turned)),
            }
        }
        Ok(is_answered)
    }

    /// First the keys, because a token that is taken is gone; keys that are not needed yet are given
    /// back by `settle`. An answer that was lost may have granted keys; who asks again is told so.
    async fn try_pass(
        &self,
        wish: &Wish<'_>,
        service: Option<String>,
    ) -> Result<Option<TurnedAway>, StoreError> {
        let mut tries = 0;
        loop {
            match self.ask_store(wish, service.as_deref()).await {
                Err(error) if error.may_pass() && tries < ASK_TRIES => {
                    tracing::warn!(%error, stage = wish.stage, "the gate is asked again");
                }
                answer => return answer,
            }
            tries += 1;
            tokio::time::sleep(ASK_PAUSE).await;
        }
    }

    async fn ask_store(
        &self,
        wish: &Wish<'_>,
        service: Option<&str>,
    ) -> Result<Option<TurnedAway>, StoreError> {
        let now = self.shared.clock.now();
        let again = now + LOOK_AGAIN_HELD;
        if !wish.keys.is_empty() && !self.shared.store.acquire(wish, now).await? {
            let keys = wish.keys.to_vec();
            return Ok(Some(TurnedAway { keys, again, until: now + LOOK_AGAIN }));
        }
        let Some(service) = service else { return Ok(None) };
        let until = self.shared.store.take_token(service, wish, now).await?;
        Ok(until.map(|until| TurnedAway { keys: Vec::new(), again: until.max(again), until }))
    }

    /// The queue entry of an execution that is let go of while stages were turned away.
    pub(super) fn queue(&self, append: Append, state: &Execution, now: DateTime<Utc>) -> Append {
        let last_resort = self.turned_away.values().map(|t| t.until).min();
        let Some(last_resort) = last_resort else { return append };
        let waits = |stage: &str| self.turned_away.contains_key(stage);
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

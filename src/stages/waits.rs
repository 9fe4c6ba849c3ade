//! Waiting in the midst of a stage: for a signal, or for a moment.
//!
//! A wait that is not over yet never returns. It tells the worker, which records the wait, drops
//! what the stage was doing and lets go of the execution. When the wait is over, `run` is called
//! again from its beginning: recorded steps give their values, and waits that are over return at
//! once. So the code around a wait runs more than once; what must not belongs into a `step`.
//!
//! The first, second, third wait of a stage are told apart by their order, so that the order must be
//! the same in every run.

use super::{StageContext, Wait};
use crate::workflow::event::WaitReason;
use crate::workflow::failure::Failure;
use crate::workflow::state::Signal;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What the waits of one run have come to.
#[derive(Debug, Default)]
pub(super) struct Waits {
    counts: Mutex<Counts>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    sleeps: u32,
    /// Per name of a signal: waits so far, and signals given to them.
    signals: BTreeMap<String, (u32, usize)>,
    /// What the stage waits for now.
    open: Option<Wait>,
}

impl Waits {
    fn change<R>(&self, change: impl FnOnce(&mut Counts) -> R) -> R {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when the stage has begun to wait, with what it waits for.
    pub(super) async fn begun(&self) -> Wait {
        loop {
            if let Some(wait) = self.change(|c| c.open.clone()) {
                return wait;
            }
            self.begun.notified().await;
        }
    }
}

impl StageContext {
    /// Waits for the next signal of this name and gives it. The n-th wait for a name gets the n-th
    /// signal of that name, also when that came before. Holds no worker meanwhile; see the module.
    /// The stage's `wait_limit_ms` bounds each wait.
    pub async fn wait_signal(&self, name: &str) -> Result<Signal, Failure> {
        let (_, taken) = self.count_signal_wait(name);
        match self.take_signal(name, taken) {
            Some(signal) => Ok(signal),
            None => self.wait(name_reason(name), Some(name), None).await,
        }
    }

    /// The same, but not longer than until `at`: none if no signal has come by then. That is
    /// recorded (as step `wait:NAME:N`), and so stays so.
    pub async fn wait_signal_until(
        &self,
        name: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<Signal>, Failure> {
        self.wait_signal_for(name_reason(name), name, at).await
    }

    /// The same with a reason of its own.
    pub(super) async fn wait_signal_for(
        &self,
        reason: WaitReason,
        name: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<Signal>, Failure> {
        let (number, taken) = self.count_signal_wait(name);
        let key = format!("wait:{name}:{number}");
        if self.recorded(&key).is_some() {
            return Ok(None);
        }
        if let Some(signal) = self.take_signal(name, taken) {
            return Ok(Some(signal));
        }
        if self.clock().now() >= at {
            self.step(&key, async { Ok("nothing came".to_owned()) }).await?;
            return Ok(None);
        }
        self.wait(reason, Some(name), Some(at)).await
    }

    /// Returns when `at` has come. Holds no worker meanwhile; see the module. `wait_limit_ms` does
    /// not bound it.
    pub async fn sleep_until(&self, at: DateTime<Utc>) -> Result<(), Failure> {
        if self.clock().now() >= at {
            return Ok(());
        }
        let detail = format!("until {}", at.format("%Y-%m-%d %H:%M:%S UTC"));
        self.wait(WaitReason { kind: "timer".to_owned(), detail }, None, Some(at)).await
    }

    /// Returns `time` after it was first called. That moment is recorded (as step `sleep:N`), and is
    /// the same in every run.
    pub async fn sleep(&self, time: Duration) -> Result<(), Failure> {
        let number = self.waits().change(|c| {
            c.sleeps += 1;
            c.sleeps
        });
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::days(36_500));
        let until = async { Ok(self.clock().now() + time) };
        let at: DateTime<Utc> = self.step(&format!("sleep:{number}"), until).await?;
        self.sleep_until(at).await
    }

    /// The number of this wait for a signal, from 1, and how many were given out before it.
    fn count_signal_wait(&self, name: &str) -> (u32, usize) {
        self.waits().change(|c| {
            let (waits, taken) = c.signals.entry(name.to_owned()).or_default();
            *waits += 1;
            (*waits, *taken)
        })
    }

    fn take_signal(&self, name: &str, place: usize) -> Option<Signal> {
        let signal = self.input.signals.iter().filter(|s| s.name == name).nth(place)?;
        self.waits().change(|c| {
            let (_, taken) = c.signals.entry(name.to_owned()).or_default();
            *taken = place + 1;
        });
        Some(signal.clone())
    }

    /// Never returns: the worker drops the run.
    async fn wait<T>(
        &self,
        reason: WaitReason,
        signal: Option<&str>,
        wake_at: Option<DateTime<Utc>>,
    ) -> Result<T, Failure> {
        let memo: Value = self.input.memo.clone();
        let wait = Wait { reason, signal: signal.map(str::to_owned), wake_at, memo };
        self.waits().change(|c| c.open.get_or_insert(wait).clone());
        self.waits().begun.notify_one();
        std::future::pending().await
    }
}

fn name_reason(name: &str) -> WaitReason {
    WaitReason { kind: "signal".to_owned(), detail: format!("for signal `{name}`") }
}

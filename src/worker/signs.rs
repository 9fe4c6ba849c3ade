//! Signs of life of an attempt: its steps, its progress, its log. Passes them on, and knows when the
//! last one was.

use super::log_buffer::LogBuffer;
use super::recorder::ToDriver;
use crate::stages::{LogSink, Recorder};
use crate::workflow::failure::Failure;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The doors of an attempt, with somebody who looks at the clock when they are used.
pub(super) struct Signs {
    log: Arc<LogBuffer>,
    driver: ToDriver,
    last: Mutex<Instant>,
}

impl Signs {
    pub(super) fn new(log: Arc<LogBuffer>, driver: ToDriver) -> Self {
        Signs { log, driver, last: Mutex::new(Instant::now()) }
    }

    /// Returns once there was no sign for this long; never, if that is not bounded.
    pub(super) async fn silent_for(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            let due = *self.lock() + limit;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    fn note(&self) {
        *self.lock() = Instant::now();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for Signs {
    fn write(&self, text: &str) {
        self.note();
        self.log.write(text);
    }
}

/// The time that it takes to make a word durable is not the attempt's silence.
#[async_trait]
impl Recorder for Signs {
    async fn step(&self, key: &str, value: Value) -> Result<(), Failure> {
        let kept = self.driver.step(key, value).await;
        self.note();
        kept
    }

    async fn progress(&self, message: &str, fraction: Option<f64>) -> Result<(), Failure> {
        let kept = self.driver.progress(message, fraction).await;
        self.note();
        kept
    }
}

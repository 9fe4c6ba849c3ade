//! The way of an attempt's words to the driver, which alone appends.

use crate::stages::Recorder;
use crate::stages::StageOutcome;
use crate::store::LogChunk;
use crate::workflow::event::Cost;
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// What an attempt tells its driver.
pub(super) enum Message {
    /// A unit is done; answer when that is durable.
    Step { key: String, value: Value, answer: oneshot::Sender<Result<(), Failure>> },
    /// How far it is.
    Progress {
        message: String,
        fraction: Option<f64>,
        answer: oneshot::Sender<Result<(), Failure>>,
    },
    /// It has ended.
    Ended(Box<Ended>),
}

/// How an attempt ended.
pub(super) struct Ended {
    pub(super) result: Result<StageOutcome, Failure>,
    /// Whether we cut it off, and it has neither succeeded nor failed by itself.
    pub(super) cut_off: bool,
    /// Whether it waits in its midst, by `StageContext::wait_signal` or `sleep`: each such wait
    /// has the stage's wait limit to itself.
    pub(super) in_midst: bool,
    pub(super) cost: Cost,
    pub(super) log_digest: Option<String>,
    /// Log that could not be stored while it ran.
    pub(super) unsent: Vec<LogChunk>,
}

/// A message with the attempt it is from.
pub(super) struct FromAttempt {
    pub(super) stage: String,
    pub(super) attempt: u32,
    pub(super) message: Message,
}

/// The recorder that an attempt is given.
#[derive(Clone)]
pub(super) struct ToDriver {
    pub(super) stage: String,
    pub(super) attempt: u32,
    pub(super) driver: mpsc::Sender<FromAttempt>,
}

impl ToDriver {
    pub(super) async fn send(&self, message: Message) -> bool {
        let (stage, attempt) = (self.stage.clone(), self.attempt);
        self.driver.send(FromAttempt { stage, attempt, message }).await.is_ok()
    }

    async fn ask(
        &self,
        message: Message,
        answer: oneshot::Receiver<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let gone =
            || Failure::new(ErrorKind::Interrupted, "the worker has let go of the execution");
        if !self.send(message).await {
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Recorder for ToDriver {
    async fn step(&self, key: &str, value: Value) -> Result<(), Failure> {
        let (answer, receiver) = oneshot::channel();
        self.ask(Message::Step { key: key.to_owned(), value, answer }, receiver).await
    }

    async fn progress(&self, message: &str, fraction: Option<f64>) -> Result<(), Failure> {
        let (answer, receiver) = oneshot::channel();
        let message = message.to_owned();
        self.ask(Message::Progress { message, fraction, answer }, receiver).await
    }
}

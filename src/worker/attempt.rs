//! One attempt: the stage's code under its time limit, its log on the way to the database, its end.
//!
//! A panic in a stage is a failure of the attempt, not of the worker.

use super::Shared;
use super::children::StageChildren;
use super::log_buffer::LogBuffer;
use super::recorder::{Ended, Message, ToDriver};
use super::signs::Signs;
use crate::stages::{
    LogSink, Recorder, Sinks, StageContext, StageExecutor, StageInput, StageOutcome,
};
use crate::store::LogChunk;
use crate::workflow::event::Cost;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::fork::WOULD_HAVE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long an attempt that was told to end may take to do so.
/// Longer than a process group takes from SIGTERM to SIGKILL; with half a lease before it, shorter
/// than the rest of the lease.
const GRACE: Duration = Duration::from_secs(8);
/// How often the log goes to the database.
const FLUSH: Duration = Duration::from_millis(250);
/// How long storing a piece of log may take before it is put off.
const STORE_LOG: Duration = Duration::from_secs(2);
/// The largest output of a stage. Beyond it, a stage should keep a reference.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Everything that an attempt needs to run.
pub(super) struct Attempt {
    pub(super) shared: Arc<Shared>,
    pub(super) executor: Option<Arc<dyn StageExecutor>>,
    pub(super) kind: String,
    pub(super) input: StageInput,
    pub(super) steps: BTreeMap<String, Value>,
    pub(super) driver: ToDriver,
    /// Fires when the driver wants it to end.
    pub(super) stop: CancellationToken,
}

type Outcome = Result<StageOutcome, Failure>;

/// How the work came to its end.
struct Run {
    result: Outcome,
    /// Whether we cut it off, and it has neither succeeded nor failed by itself.
    cut_off: bool,
    /// Whether it waits in its midst.
    in_midst: bool,
}

impl Run {
    fn ended(result: Outcome) -> Self {
        Run { result, cut_off: false, in_midst: false }
    }
}

impl Attempt {
    /// Runs to its end and tells the driver how it ended.
    pub(super) async fn run(self) {
        let log = Arc::new(self.log_buffer().await);
        let (Run { result, cut_off, in_midst }, cost, mut unsent) = self.perform(&log).await;
        let (rest, log_digest) = log.finish();
        unsent.extend(rest);
        self.store_log(&mut unsent).await;
        let ended = Ended { result, cut_off, in_midst, cost, log_digest, unsent };
        let driver = self.driver.clone();
        // The driver adds an output next; it need not copy those that nobody reads any more.
        drop(self);
        // A driver that is gone has let go of the execution; there is nobody to tell.
        let _ = driver.send(Message::Ended(Box::new(ended))).await;
    }

    async fn perform(&self, log: &Arc<LogBuffer>) -> (Run, Cost, Vec<LogChunk>) {
        let Some(executor) = self.executor.clone() else {
            return (Run::ended(Err(self.unknown_kind())), Cost::default(), Vec::new());
        };
        if self.input.timeout.is_zero() {
            return (Run::ended(Err(self.timed_out())), Cost::default(), Vec::new());
        }
        let signs = Arc::new(Signs::new(Arc::clone(log), self.driver.clone()));
        let context = Arc::new(self.context(&signs));
        if self.input.what_if && !executor.honours_what_if() {
            context.log("not run in a what-if: this kind may do something to the outside");
            let would = json!({WOULD_HAVE: {"run": self.kind, "config": self.input.config}});
            return (Run::ended(Ok(StageOutcome::Done(would))), Cost::default(), Vec::new());
        }
        let work = tokio::spawn({
            let context = Arc::clone(&context);
            async move { executor.run(&context).await }
        });
        let mut unsent = Vec::new();
        let run = self.watch(work, &context, &signs, log, &mut unsent).await;
        (Run { result: run.result.and_then(check_output), ..run }, context.spent(), unsent)
    }

    /// Waits for the work, the time limit or the driver, and stores the log meanwhile.
    async fn watch(
        &self,
        mut work: JoinHandle<Outcome>,
        context: &StageContext,
        signs: &Signs,
        log: &Arc<LogBuffer>,
        unsent: &mut Vec<LogChunk>,
    ) -> Run {
        let limit = tokio::time::sleep(self.input.timeout);
        tokio::pin!(limit);
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut work => return Run::ended(self.joined(ended)),
                wait = context.wait_begun() => {
                    drop_work(work).await;
                    return Run { in_midst: true, ..Run::ended(Ok(StageOutcome::Wait(wait))) };
                }
                () = &mut limit => {
                    let finished = self.stop(work, context.cancelled()).await;
                    return Run::ended(finished.unwrap_or_else(|| Err(self.timed_out())));
                }
                () = signs.silent_for(self.input.inactivity) => {
                    let finished = self.stop(work, context.cancelled()).await;
                    return Run::ended(finished.unwrap_or_else(|| Err(self.gone_silent())));
                }
                () = self.stop.cancelled() => {
                    let finished = self.stop(work, context.cancelled()).await;
                    let cut_off = finished.is_none();
                    let result = finished.unwrap_or_else(|| Err(self::cut_off()));
                    return Run { cut_off, ..Run::ended(result) };
                }
                _ = flush.tick() => {
                    unsent.extend(log.drain());
                    self.store_log(unsent).await;
                }
            }
        }
    }

    /// Stores what it can; a database that does not answer must not hold up the time limit.
    async fn store_log(&self, unsent: &mut Vec<LogChunk>) {
        let write = self.shared.store.write_logs(unsent);
        if let Ok(Ok(())) = tokio::time::timeout(STORE_LOG, write).await {
            unsent.clear();
        }
    }

    /// Tells the work to end. What it managed to finish in the meantime counts.
    async fn stop(
        &self,
        mut work: JoinHandle<Outcome>,
        cancelled: &CancellationToken,
    ) -> Option<Outcome> {
        cancelled.cancel();
        match tokio::time::timeout(GRACE, &mut work).await {
            Ok(ended) => Some(self.joined(ended)).filter(Result::is_ok),
            Err(_) => {
                work.abort();
                None
            }
        }
    }

    fn joined(&self, ended: Result<Outcome, JoinError>) -> Outcome {
        ended.unwrap_or_else(|error| {
            let said = match error.try_into_panic() {
                Ok(panic) => panic_text(panic.as_ref()),
                Err(error) => error.to_string(),
            };
            let kind = &self.kind;
            Err(Failure::new(ErrorKind::Permanent, format!("stage kind `{kind}` panicked: {said}")))
        })
    }

    async fn log_buffer(&self) -> LogBuffer {
        let (id, stage) = (self.input.execution_id, self.input.stage.as_str());
        let limit = usize::try_from(self.input.settings.limits.log_kib).unwrap_or(4_096) * 1_024;
        let clock = Arc::clone(&self.shared.clock);
        let log = LogBuffer::new(id, stage, self.input.attempt, limit, clock);
        if self.input.resumed {
            log.continue_after(&self.log_so_far().await);
        }
        log
    }

    /// What this attempt wrote before it waited. Without it, new chunks would take the numbers of
    /// old ones, so that it is asked for until there is an answer.
    async fn log_so_far(&self) -> Vec<LogChunk> {
        let (id, stage) = (self.input.execution_id, self.input.stage.as_str());
        loop {
            match self.shared.store.attempt_log(id, stage, self.input.attempt).await {
                Ok(chunks) => return chunks,
                Err(_) if self.stop.is_cancelled() => return Vec::new(),
                Err(error) => tracing::warn!(%error, "the log so far cannot be read yet"),
            }
            tokio::time::sleep(FLUSH).await;
        }
    }

    fn context(&self, signs: &Arc<Signs>) -> StageContext {
        let sinks = Sinks {
            recorder: Arc::clone(signs) as Arc<dyn Recorder>,
            log: Arc::clone(signs) as Arc<dyn LogSink>,
            cancelled: CancellationToken::new(),
            clock: Arc::clone(&self.shared.clock),
            home: self.shared.home.clone(),
            children: Arc::new(StageChildren {
                shared: Arc::clone(&self.shared),
                parent: self.input.execution_id,
                stage: self.input.stage.clone(),
            }),
        };
        StageContext::new(self.input.clone(), sinks, self.steps.clone())
    }

    fn unknown_kind(&self) -> Failure {
        let known = self.shared.stages.kinds().into_keys().collect::<Vec<_>>().join(", ");
        let said = format!("this worker does not know stage kind `{}`", self.kind);
        let hint = "run a worker of a program that registers it, then retry";
        Failure::new(ErrorKind::Permanent, format!("{said}; it knows: {known}; {hint}"))
    }

    fn timed_out(&self) -> Failure {
        let seconds = self.input.timeout.as_secs_f64();
        let said = format!("stage `{}` took longer than its {seconds} s", self.input.stage);
        Failure::new(
            ErrorKind::Timeout,
            format!("{said}; raise `timeout_ms` or `total_ms` of the stage if it needs more"),
        )
    }

    fn gone_silent(&self) -> Failure {
        let seconds = self.input.inactivity.unwrap_or_default().as_secs_f64();
        let said = format!("stage `{}` gave no sign of life for {seconds} s", self.input.stage);
        let hint = "a step, progress or a line of log is one; or raise its `inactivity_ms`";
        Failure::new(ErrorKind::Timeout, format!("{said}; {hint}"))
    }
}

/// Ends the work where it stands, and returns when nothing of it runs any more.
async fn drop_work(work: JoinHandle<Outcome>) {
    work.abort();
    // How it ended does not matter: it told us before that it waits.
    let _ = work.await;
}

fn cut_off() -> Failure {
    Failure::new(ErrorKind::Interrupted, "the attempt was cut off")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn check_output(outcome: StageOutcome) -> Outcome {
    let StageOutcome::Done(output) = &outcome else { return Ok(outcome) };
    let size = serde_json::to_string(output).map_or(usize::MAX, |text| text.len());
    let wrong = if !(output.is_object() || output.is_null()) {
        "a stage's output must be a JSON object".to_owned()
    } else if size > OUTPUT_BYTES_MAX {
        format!("a stage's output may have {OUTPUT_BYTES_MAX} bytes, not {size}; keep a reference")
    } else {
        return Ok(outcome);
    };
    Err(Failure::new(ErrorKind::Permanent, wrong))
}

//! Drives one execution: performs what `next` allows, and reports outcomes as commands.
//!
//! It holds the state in memory while stages run; nothing of that matters after a crash. Each of its
//! appends proves the fence; the first one that fails to ends the driver.

use super::attempt::Attempt;
use super::children::after_end;
use super::commit::{CommitError, Mode, Stream};
use super::inputs::{Briefing, kind_of};
use super::recorder::{Ended, FromAttempt, Message, ToDriver};
use super::{Note, Shared, Stops};
use crate::stages::{Mapped, StageExecutor, StageOutcome, tidy_up};
use crate::store::{Begun, Claimed};
use crate::workflow::command::{Command, Refusal};
use crate::workflow::event::{Cost, Event, Happened};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::next::{Action, conclusions};
use crate::workflow::state::Outcome;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) struct Driver {
    shared: Arc<Shared>,
    worker: Uuid,
    claimed: Claimed,
    notes: mpsc::Receiver<Note>,
    stops: Stops,
    sender: mpsc::Sender<FromAttempt>,
    reports: mpsc::Receiver<FromAttempt>,
    /// Attempts under way, by stage and number: a stage may be reopened while an older attempt of it
    /// is still being cut off.
    running: HashMap<(String, u32), CancellationToken>,
    briefing: Option<Briefing>,
    /// Whether the log says already that the history grows long.
    has_warned: bool,
}

/// An execution that could not be worked on is not taken up again before this.
const GIVE_BACK_DELAY: Duration = Duration::from_secs(2);

/// Between two looks at the gate, whatever the clock says.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// How often, a second apart, the end of a log is tried to be stored.
const LATE_LOG_TRIES: u32 = 300;

/// What to do after something came in.
type Next = Result<(), CommitError>;

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        worker: Uuid,
        claimed: Claimed,
        notes: mpsc::Receiver<Note>,
        stops: Stops,
    ) -> Self {
        let (sender, reports) = mpsc::channel(64);
        let running = HashMap::new();
        Driver {
            shared,
            worker,
            claimed,
            notes,
            stops,
            sender,
            reports,
            running,
            briefing: None,
            has_warned: false,
        }
    }

    /// Drives until the execution is let go of or lost.
    pub(super) async fn run(mut self) {
        let id = self.claimed.execution_id;
        match Stream::open(Arc::clone(&self.shared), self.claimed, self.worker).await {
            Ok(mut stream) => {
                let claimed = self.take_over(&mut stream).await;
                self.see_through(stream, claimed).await;
            }
            Err(error) => {
                tracing::error!(execution.id = %id, %error, "the execution cannot be loaded");
                self.give_back().await;
            }
        }
    }

    /// Drives what its submitter has begun for us.
    pub(super) async fn run_begun(mut self, begun: Begun) {
        let shared = Arc::clone(&self.shared);
        let stream = Stream::of(shared, self.claimed, self.worker, begun.loaded);
        self.begin(&stream, &begun.happened);
        self.see_through(stream, Ok(())).await;
    }

    async fn see_through(mut self, mut stream: Stream, claimed: Next) {
        let id = self.claimed.execution_id;
        let driven = match claimed {
            Ok(()) => self.drive(&mut stream).await,
            Err(error) => Err(error),
        };
        let Err(error) = driven else {
            after_end(&self.shared.store, self.shared.clock.as_ref(), id, stream.state()).await;
            let state = stream.state();
            if state.outcome.is_some() || state.pause.is_some() {
                self.shared.local.ends.tell(id, state);
            }
            if state.outcome == Some(Outcome::Completed) {
                tidy_up(&self.shared.home, id).await;
            }
            return;
        };
        tracing::warn!(execution.id = %id, %error, "the execution is given up here");
        self.cut_off_all();
        self.wait_for_attempts().await;
        self.give_back().await;
    }

    /// Queues the execution again if it is still ours: nobody else would while this worker lives.
    async fn give_back(&self) {
        let is_over = || self.stops.lost.is_cancelled() || self.stops.halt.is_cancelled();
        while let Err(error) =
            self.shared.store.free_execution(self.claimed, self.not_before()).await
        {
            tracing::warn!(execution.id = %self.claimed.execution_id, %error, "not given back yet");
            if is_over() {
                return;
            }
            tokio::time::sleep(GIVE_BACK_DELAY).await;
        }
    }

    async fn take_over(&mut self, stream: &mut Stream) -> Next {
        let claim = Command::Claim { worker: self.worker, fence: self.claimed.fence };
        match self.commit(stream, Some(&claim)).await {
            // It ended before we began: there is nothing to do but to let go of it.
            Err(CommitError::Refused(_)) => stream.commit(None, Mode::LetGo).await.map(drop),
            other => other,
        }
    }

    async fn drive(&mut self, stream: &mut Stream) -> Next {
        while !stream.is_released() {
            if self.running.is_empty() {
                // Nothing runs, yet it was kept: a stop came in between. Let go of it.
                stream.commit(None, Mode::LetGo).await?;
                let kept =
                    || CommitError::Lost("nothing runs, and yet it was not let go of".to_owned());
                return if stream.is_released() { Ok(()) } else { Err(kept()) };
            }
            self.heed(stream);
            let stops = self.stops.clone();
            let again = self.patience(stream);
            tokio::select! {
                biased;
                () = stops.lost.cancelled() => return Err(CommitError::Lost("lease lost".to_owned())),
                Some(report) = self.reports.recv() => self.report(stream, report).await?,
                Some(Note::Version(version)) = self.notes.recv() => {
                    if version > stream.state().version {
                        stream.reload().await?;
                        self.briefing = None;
                        self.commit(stream, None).await?;
                    }
                }
                () = until(again) => self.commit(stream, None).await?,
                () = stops.halt.cancelled(), if self.is_any_going_on() => self.cut_off_all(),
            }
        }
        Ok(())
    }

    fn not_before(&self) -> DateTime<Utc> {
        self.shared.clock.now() + GIVE_BACK_DELAY
    }

    /// How long until a stage asks for its keys again; none if no stage waits for any.
    fn patience(&self, stream: &Stream) -> Option<Duration> {
        let at = stream.asks_again_at()?;
        let left = (at - self.shared.clock.now()).to_std().unwrap_or_default();
        Some(left.max(SHORTEST_LOOK))
    }

    fn mode(&self) -> Mode {
        if self.stops.drain.is_cancelled() { Mode::LetGo } else { Mode::Advance }
    }

    async fn commit(&mut self, stream: &mut Stream, wish: Option<&Command>) -> Next {
        let happened = tokio::select! {
            // Once the lease is lost, an answer of the database changes nothing any more.
            () = self.stops.lost.cancelled() => Err(CommitError::Lost("lease lost".to_owned())),
            happened = stream.commit(wish, self.mode()) => happened,
        }?;
        self.begin(stream, &happened);
        let state = stream.state();
        if state.is_history_long() && !std::mem::replace(&mut self.has_warned, true) {
            let (id, events, limit) =
                (self.claimed.execution_id, state.version, state.history_max());
            tracing::warn!(execution.id = %id, events, limit, "the history grows long");
        }
        Ok(())
    }

    /// Starts the attempts whose starts are durable now, and ends those that were cut off by what
    /// happened to another stage.
    fn begin(&mut self, stream: &Stream, happened: &[Happened]) {
        if self.briefing.is_none() {
            self.briefing = Some(Briefing::of(self.claimed.execution_id, stream.state()));
        }
        for h in happened {
            match &h.event {
                Event::StageStarted { stage, .. } => self.start(stream, stage, false),
                Event::StageResumed { stage, .. } => self.start(stream, stage, true),
                Event::StageInterrupted { stage, attempt, .. } => {
                    if let Some(stop) = self.running.get(&(stage.clone(), *attempt)) {
                        stop.cancel();
                    }
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, stream: &Stream, name: &str, resumed: bool) {
        let Some(stage) = stream.state().stage(name) else { return };
        let Some(briefing) = &self.briefing else { return };
        let driver = ToDriver {
            stage: name.to_owned(),
            attempt: stage.attempts,
            driver: self.sender.clone(),
        };
        let stop = CancellationToken::new();
        self.running.insert((name.to_owned(), stage.attempts), stop.clone());
        let now = self.shared.clock.now();
        match briefing.input(stream.state(), stage, resumed, now) {
            Ok(input) => {
                let kind = kind_of(stream.state(), name);
                let executor = self.executor(stream, name, &kind);
                let steps = stage.steps.clone();
                let shared = Arc::clone(&self.shared);
                let attempt = Attempt { shared, executor, kind, input, steps, driver, stop };
                tokio::spawn(attempt.run());
            }
            Err(error) => {
                let ended = Ended {
                    result: Err(error),
                    cut_off: false,
                    in_midst: false,
                    cost: Cost::default(),
                    log_digest: None,
                    unsent: Vec::new(),
                };
                tokio::spawn(async move { driver.send(Message::Ended(Box::new(ended))).await });
            }
        }
    }

    /// The code of a kind, for each item of a list if the stage wants it so.
    fn executor(&self, stream: &Stream, stage: &str, kind: &str) -> Option<Arc<dyn StageExecutor>> {
        let executor = self.shared.stages.get(kind)?;
        let mapped = stream.state().policy(stage).and_then(|s| Mapped::of(&executor, s));
        Some(mapped.map_or(executor, |m| Arc::new(m) as Arc<dyn StageExecutor>))
    }

    /// An execution that is to end, while something of it still runs.
    fn heed(&mut self, stream: &Stream) {
        if conclusions(stream.state()).contains(&Action::Halt) {
            self.cut_off_all();
        }
    }

    fn cut_off_all(&self) {
        self.running.values().for_each(CancellationToken::cancel);
    }

    fn is_any_going_on(&self) -> bool {
        self.running.values().any(|stop| !stop.is_cancelled())
    }

    async fn report(&mut self, stream: &mut Stream, report: FromAttempt) -> Next {
        let FromAttempt { stage, attempt, message } = report;
        match message {
            Message::Step { key, value, answer } => {
                let command = Command::RecordStep { stage, attempt, key, value };
                self.keep(stream, &command, answer).await
            }
            Message::Progress { message, fraction, answer } => {
                let command = Command::Progress { stage, attempt, message, fraction };
                self.keep(stream, &command, answer).await
            }
            Message::Ended(ended) => {
                self.running.remove(&(stage.clone(), attempt));
                self.ended(stream, stage, attempt, *ended).await
            }
        }
    }

    /// Makes a word of an attempt durable, and tells it so.
    async fn keep(
        &mut self,
        stream: &mut Stream,
        command: &Command,
        answer: oneshot::Sender<Result<(), Failure>>,
    ) -> Next {
        let result = self.commit(stream, Some(command)).await;
        let said = match &result {
            Ok(()) => Ok(()),
            // It would be refused again in the next attempt.
            Err(CommitError::Refused(full @ Refusal::TooLong { .. })) => {
                Err(Failure::new(ErrorKind::Permanent, full.to_string()))
            }
            Err(error) => Err(Failure::new(ErrorKind::Interrupted, error.to_string())),
        };
        // An attempt that is gone does not need its answer.
        let _ = answer.send(said);
        result.or_else(refused_is_harmless)
    }

    async fn ended(
        &mut self,
        stream: &mut Stream,
        stage: String,
        attempt: u32,
        ended: Ended,
    ) -> Next {
        if !ended.unsent.is_empty() {
            tokio::spawn(store_late(Arc::clone(&self.shared), ended.unsent.clone()));
        }
        let command = if ended.cut_off {
            let reason = self.why_cut_off(stream);
            Command::Interrupt { stage, attempt, reason, cost: ended.cost }
        } else {
            outcome(stage, attempt, ended)
        };
        self.commit(stream, Some(&command)).await.or_else(refused_is_harmless)
    }

    fn why_cut_off(&self, stream: &Stream) -> String {
        let said = if stream.state().cancel.is_some() {
            "the execution is cancelled"
        } else if self.stops.halt.is_cancelled() {
            "the worker shuts down"
        } else {
            "the execution ends"
        };
        said.to_owned()
    }

    /// After the execution is lost: attempts were told to end, and what they say is not heard; one
    /// that asks for a step to be kept learns from the dropped answer that nobody will.
    async fn wait_for_attempts(&mut self) {
        while !self.running.is_empty() {
            let Some(report) = self.reports.recv().await else { return };
            if matches!(report.message, Message::Ended(_)) {
                self.running.remove(&(report.stage, report.attempt));
            }
        }
    }
}

/// Waits this long; for ever if there is no such time.
async fn until(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Stores the end of a log when the database is back; the event that ends the attempt has its digest.
async fn store_late(shared: Arc<Shared>, chunks: Vec<crate::store::LogChunk>) {
    for _ in 0..LATE_LOG_TRIES {
        match shared.store.write_logs(&chunks).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the end of a log is stored later"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tracing::error!(chunks = chunks.len(), "the end of a log is lost: the database stayed away");
}

/// A late or repeated word of an attempt changes nothing and is no reason to stop.
fn refused_is_harmless(error: CommitError) -> Next {
    match error {
        CommitError::Refused(refusal) => {
            tracing::info!(%refusal, "a word of an attempt came too late");
            Ok(())
        }
        CommitError::Lost(_) => Err(error),
    }
}

fn outcome(stage: String, attempt: u32, ended: Ended) -> Command {
    let Ended { result, in_midst, cost, log_digest, .. } = ended;
    match result {
        Ok(StageOutcome::Done(output)) => {
            Command::Succeed { stage, attempt, output, cost, log_digest }
        }
        Ok(StageOutcome::Wait(wait)) => Command::Wait {
            stage,
            attempt,
            reason: wait.reason,
            signal: wait.signal,
            wake_at: wait.wake_at,
            memo: wait.memo,
            in_midst,
            cost,
        },
        Err(error) => {
            let jitter = rand::random::<f64>();
            Command::Fail { stage, attempt, error, cost, log_digest, jitter }
        }
    }
}

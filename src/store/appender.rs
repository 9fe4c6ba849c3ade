//! Group commit: appends that arrive while a batch is under way form the next batch.
//!
//! One task per lane, one connection and one transaction in flight. No lingering: a lone append goes
//! at once. A bounded channel pushes back on callers. The outcome of a batch whose answer was lost is
//! looked up by event id, never guessed.

use super::append::{Append, append_batch, outcomes};
use super::connections::{Connections, Session};
use super::error::{AppendError, StoreError, is_in_data, may_pass};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

const QUEUE_LENGTH: usize = 4_096;
const BATCH_EVENTS_MAX: usize = 1_000;
/// Every call has a deadline of its own: a network that swallows packets must not hold us for ever.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_DELAY: Duration = Duration::from_millis(100);

type Answer = oneshot::Sender<Result<(), AppendError>>;

struct Entry {
    append: Append,
    answer: Answer,
}

/// The write side of a store: lanes that batch.
#[derive(Clone)]
pub(super) struct Appender {
    lanes: Vec<mpsc::Sender<Entry>>,
}

impl Appender {
    /// Starts `count` lanes, beginning with lane number `first`. `patience` is how long an append
    /// tries while the database is away.
    pub(super) fn start(pool: &Connections, first: i16, count: usize, patience: Duration) -> Self {
        let lane = |offset: usize| {
            let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
            let number = (first + offset as i16) % 16;
            tokio::spawn(Lane { pool: pool.clone(), number, patience, held: None }.run(receiver));
            sender
        };
        Appender { lanes: (0..count.max(1)).map(lane).collect() }
    }

    /// Appends; durable when this returns `Ok`.
    pub(super) async fn append(&self, append: Append) -> Result<(), AppendError> {
        let (answer, outcome) = oneshot::channel();
        // The same execution always takes the same lane, so that its appends stay in order.
        let lane = (append.execution_id.as_u128() % self.lanes.len() as u128) as usize;
        let gone = || AppendError::Store(StoreError::Unreachable("the store is closed".to_owned()));
        self.lanes[lane].send(Entry { append, answer }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

struct Lane {
    pool: Connections,
    number: i16,
    patience: Duration,
    /// Kept from batch to batch: a pool asks the server before it hands one out, a trip for each append.
    held: Option<Session>,
}

impl Lane {
    async fn run(mut self, mut receiver: mpsc::Receiver<Entry>) {
        let mut waiting: Vec<Entry> = Vec::new();
        loop {
            if waiting.is_empty() && receiver.recv_many(&mut waiting, BATCH_EVENTS_MAX).await == 0 {
                return;
            }
            while let Ok(entry) = receiver.try_recv() {
                waiting.push(entry);
                if waiting.len() >= BATCH_EVENTS_MAX {
                    break;
                }
            }
            let batch = take_batch(&mut waiting);
            self.commit(batch).await;
        }
    }

    /// Sees a batch through: retries what may pass, splits what lies in the data, looks up losers.
    async fn commit(&mut self, batch: Vec<Entry>) {
        let deadline = Instant::now() + self.patience;
        let mut work = vec![batch];
        while let Some(batch) = work.pop() {
            match self.try_batch(&batch, deadline).await {
                Ok(mut results) => {
                    for entry in batch {
                        let missing = Err(AppendError::NotFound(entry.append.execution_id));
                        let result = results.remove(&entry.append.execution_id).unwrap_or(missing);
                        // A caller that went away does not need its answer.
                        let _ = entry.answer.send(result);
                    }
                }
                Err(error) if is_in_data(&error) && batch.len() > 1 => {
                    let mut left = batch;
                    let right = left.split_off(left.len() / 2);
                    work.extend([right, left]);
                }
                Err(error) => {
                    let said = StoreError::from(error);
                    for entry in batch {
                        let _ = entry.answer.send(Err(AppendError::Store(said.again())));
                    }
                }
            }
        }
    }

    async fn try_batch(
        &mut self,
        batch: &[Entry],
        deadline: Instant,
    ) -> Result<HashMap<Uuid, Result<(), AppendError>>, sqlx::Error> {
        let appends: Vec<&Append> = batch.iter().map(|e| &e.append).collect();
        let mut is_first = true;
        loop {
            let call = self.attempt(&appends, is_first);
            let error = match timeout_at(Instant::now() + CALL_TIMEOUT, call).await {
                Ok(Ok(results)) => return Ok(results),
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            if !may_pass(&error) || Instant::now() + RETRY_DELAY >= deadline {
                return Err(error);
            }
            tracing::warn!(lane = self.number, %error, "append is tried again");
            is_first = false;
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// After a lost answer the first thing is to look: what is in must not be sent again.
    async fn attempt(
        &mut self,
        appends: &[&Append],
        is_first: bool,
    ) -> Result<HashMap<Uuid, Result<(), AppendError>>, sqlx::Error> {
        // Dropped, and so closed or looked at, wherever this ends before its end.
        let mut connection = match self.held.take() {
            Some(session) => session,
            None => self.pool.acquire().await?,
        };
        let mut results = HashMap::new();
        let mut open: Vec<&Append> = appends.to_vec();
        if !is_first {
            results = outcomes(&mut connection, appends).await?;
            results.retain(|_, r| r.is_ok());
            open.retain(|a| !results.contains_key(&a.execution_id));
        }
        if open.is_empty() {
            self.held = Some(connection);
            return Ok(results);
        }
        let won = append_batch(&mut connection, self.number, &open).await?;
        results.extend(won.iter().map(|id| (*id, Ok(()))));
        open.retain(|a| !won.contains(&a.execution_id));
        if !open.is_empty() {
            results.extend(outcomes(&mut connection, &open).await?);
        }
        self.held = Some(connection);
        Ok(results)
    }
}

/// Takes what fits into one batch; a second append to the same execution waits for the next.
fn take_batch(waiting: &mut Vec<Entry>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut events = 0;
    let (batch, rest) = std::mem::take(waiting).into_iter().partition(|entry| {
        let size = entry.append.records.len().max(1);
        let fits = events == 0 || events + size <= BATCH_EVENTS_MAX;
        let taken = fits && seen.insert(entry.append.execution_id);
        events += if taken { size } else { 0 };
        taken
    });
    *waiting = rest;
    batch
}

//! Appends by many writers, through our store or through postgres-es's own repository.

use super::arena::{Arena, BenchError};
use super::times::{Times, round};
use super::workload::{six_stage, task};
use crate::clock::{Clock, SystemClock};
use crate::store::{Append, NewExecution, NewTask, RivalLog, Store};
use crate::workflow::command::Command;
use crate::workflow::decide::apply;
use crate::workflow::definition::Limits;
use crate::workflow::event::Request;
use crate::workflow::state::Execution;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// What `bench append` says.
#[derive(Clone, Debug, Serialize)]
pub struct Appends {
    /// Durable events a second.
    pub events_per_s: f64,
    /// One append, median.
    pub p50_ms: f64,
    /// One append, 99th percentile.
    pub p99_ms: f64,
    /// Bytes of the server's log over events.
    pub wal_bytes_per_event: f64,
    /// How many wrote at once.
    pub writers: usize,
}

/// Whose repository is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// Ours.
    Longhaul,
    /// The one of the crate postgres-es, on its own table.
    PostgresEs,
}

/// `writers` streams grow for `time`, one event an append. For postgres-es the best of several
/// numbers of writers is given, because it does worse with many.
pub async fn append(
    arena: &Arena,
    writers: usize,
    time: Duration,
    rival: Rival,
) -> Result<Appends, BenchError> {
    let store = arena.store().await?;
    match rival {
        Rival::Longhaul => ours(arena, &store, writers, time).await,
        Rival::PostgresEs => theirs(arena, writers, time).await,
    }
}

async fn ours(
    arena: &Arena,
    store: &Store,
    writers: usize,
    time: Duration,
) -> Result<Appends, BenchError> {
    let mut streams = Vec::with_capacity(writers);
    for _ in 0..writers.max(1) {
        streams.push(begin(store).await?);
    }
    let wal = arena.scratch().wal_bytes().await?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(grow(store.clone(), stream, begun + time));
    }
    collect(arena, tasks, begun, wal, writers).await
}

async fn collect(
    arena: &Arena,
    mut tasks: JoinSet<Result<(usize, Times), BenchError>>,
    begun: Instant,
    wal: u64,
    writers: usize,
) -> Result<Appends, BenchError> {
    let (mut events, mut times) = (0, Times::default());
    while let Some(done) = tasks.join_next().await {
        let (n, took) = done.map_err(|e| BenchError::Wrong(e.to_string()))??;
        events += n;
        times.extend(took);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let wal = arena.scratch().wal_bytes().await? - wal;
    Ok(Appends {
        events_per_s: round(events as f64 / seconds),
        p50_ms: times.percentile_ms(0.5),
        p99_ms: times.percentile_ms(0.99),
        wal_bytes_per_event: round(wal as f64 / events.max(1) as f64),
        writers,
    })
}

/// A stream with a running stage, and the hash of its last event.
struct Stream {
    id: Uuid,
    state: Execution,
    head_hash: [u8; 32],
}

async fn begin(store: &Store) -> Result<Stream, BenchError> {
    let now = SystemClock.now();
    let task = task(now).map_err(BenchError::Wrong)?;
    let task = serde_json::to_value(&task).map_err(|e| BenchError::Wrong(e.to_string()))?;
    let limits = Limits::default();
    let (id, task_id) = (Uuid::now_v7(), Uuid::now_v7());
    let request = Request {
        task_id,
        task,
        definition: six_stage().resolved(&limits),
        input: json!({}),
        settings: json!({}),
        repository: None,
        limits,
        priority: 5,
        origin: None,
        parent: None,
        continues: None,
    };
    let new = NewTask {
        task_id,
        idempotency_key: None,
        events: vec![("TaskCreated", json!({"source": "bench"}))],
    };
    let execution = NewExecution { execution_id: id, request };
    store.submit(&new, &execution, "bench", now).await?;
    let loaded = store.load(id).await?;
    let mut stream = Stream { id, state: loaded.state, head_hash: loaded.head_hash };
    let start = Command::Start { stage: "analysis".to_owned() };
    stream.append(store, &start).await?;
    Ok(stream)
}

impl Stream {
    async fn append(&mut self, store: &Store, command: &Command) -> Result<(), BenchError> {
        let now = SystemClock.now();
        let happened = apply(&mut self.state, now, command)
            .map_err(|refusal| BenchError::Wrong(refusal.to_string()))?;
        let append = Append::new(self.id, &self.state, &happened, self.head_hash, "bench", now)?;
        self.head_hash = append.head_hash;
        Ok(store.append(append).await?)
    }
}

async fn grow(
    store: Store,
    mut stream: Stream,
    until: Instant,
) -> Result<(usize, Times), BenchError> {
    let (mut events, mut times) = (0, Times::default());
    let command = progress();
    while Instant::now() < until {
        let begun = Instant::now();
        stream.append(&store, &command).await?;
        times.add(begun.elapsed());
        events += 1;
    }
    Ok((events, times))
}

/// One event of about 330 bytes of JSON, the size of a stage's transition.
fn progress() -> Command {
    Command::Progress {
        stage: "analysis".to_owned(),
        attempt: 1,
        message: "y".repeat(240),
        fraction: Some(0.5),
    }
}

/// Numbers of writers that are tried, besides the one that was asked for.
const RIVAL_WRITERS: [usize; 3] = [10, 20, 50];

async fn theirs(arena: &Arena, asked: usize, time: Duration) -> Result<Appends, BenchError> {
    let log = Arc::new(RivalLog::create(arena.scratch().url(), 50).await?);
    let mut best: Option<Appends> = None;
    for writers in RIVAL_WRITERS.into_iter().chain([asked.clamp(1, 100)]) {
        let wal = arena.scratch().wal_bytes().await?;
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            tasks.spawn(grow_theirs(Arc::clone(&log), begun + time));
        }
        let seen = collect(arena, tasks, begun, wal, writers).await?;
        if best.as_ref().is_none_or(|b| seen.events_per_s > b.events_per_s) {
            best = Some(seen);
        }
    }
    best.ok_or_else(|| BenchError::Wrong("nothing was measured".to_owned()))
}

async fn grow_theirs(log: Arc<RivalLog>, until: Instant) -> Result<(usize, Times), BenchError> {
    let (mut events, mut times) = (0, Times::default());
    let stream = Uuid::now_v7().to_string();
    let payload = json!({"type": "StageProgressed", "stage": "analysis", "attempt": 1,
        "message": "y".repeat(240), "fraction": 0.5});
    while Instant::now() < until {
        let begun = Instant::now();
        log.append(&stream, events + 1, payload.clone()).await?;
        times.add(begun.elapsed());
        events += 1;
    }
    Ok((events, times))
}

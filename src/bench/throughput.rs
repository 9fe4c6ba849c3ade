//! Many executions at once: how many stages a second become durable.

use super::arena::{Arena, BenchError};
use super::times::{Times, round};
use super::workload::{STAGES, task};
use crate::clock::{Clock, SystemClock};
use crate::engine::{Longhaul, Submission};
use crate::task::Task;
use crate::workflow::state::Status;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What `bench throughput` says.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    /// Executions that were completed.
    pub executions: usize,
    /// From the first submission to the last end.
    pub seconds: f64,
    /// Executions over seconds.
    pub executions_per_s: f64,
    /// Stages over seconds.
    pub stages_per_s: f64,
    /// From submission to end, median.
    pub p50_ms: f64,
    /// From submission to end, 99th percentile.
    pub p99_ms: f64,
    /// Bytes of the server's log over stages, submission and everything else included.
    pub wal_bytes_per_stage: f64,
    /// Row versions that were made dead, over a thousand stages.
    pub dead_tuples_per_1000_stages: f64,
    /// The largest size of this process, in MB; none where it cannot be told.
    pub memory_mb: Option<f64>,
}

/// Runs `executions` of `six-stage`, `concurrency` of them at a time, in one process.
pub async fn throughput(
    arena: &Arena,
    executions: usize,
    concurrency: usize,
) -> Result<Throughput, BenchError> {
    // Room beyond what is asked for: a slot is free again a moment after its end is told.
    let engine = arena.engine(concurrency * 2, None).await?;
    let stop = CancellationToken::new();
    let worker = engine.worker();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    // The first execution warms up: connections, plans, caches.
    let task = task(SystemClock.now()).map_err(BenchError::Wrong)?;
    one(&engine, &task).await?;
    let wal = arena.scratch().wal_bytes().await?;
    let dead = arena.scratch().dead_tuples().await?;
    let begun = Instant::now();
    let left = Arc::new(AtomicUsize::new(executions));
    let mut submitters = JoinSet::new();
    for _ in 0..concurrency.max(1) {
        submitters.spawn(submitter(engine.clone(), task.clone(), Arc::clone(&left)));
    }
    let mut times = Times::default();
    while let Some(done) = submitters.join_next().await {
        times.extend(done.map_err(|e| BenchError::Wrong(e.to_string()))??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let wal = arena.scratch().wal_bytes().await? - wal;
    stop.cancel();
    working.await.map_err(|e| BenchError::Wrong(e.to_string()))??;
    engine.close().await;
    let dead = arena.scratch().dead_tuples().await? - dead;
    let stages = (executions * STAGES.len()) as f64;
    Ok(Throughput {
        executions,
        seconds: round(seconds),
        executions_per_s: round(executions as f64 / seconds),
        stages_per_s: round(stages / seconds),
        p50_ms: times.percentile_ms(0.5),
        p99_ms: times.percentile_ms(0.99),
        wal_bytes_per_stage: round(wal as f64 / stages),
        dead_tuples_per_1000_stages: round(dead as f64 * 1_000.0 / stages),
        memory_mb: memory_mb(),
    })
}

/// Submits and waits, again and again, while there is something left to submit.
async fn submitter(
    engine: Longhaul,
    task: Task,
    left: Arc<AtomicUsize>,
) -> Result<Times, BenchError> {
    let mut times = Times::default();
    let take = |n: usize| n.checked_sub(1);
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
        let begun = Instant::now();
        one(&engine, &task).await?;
        times.add(begun.elapsed());
    }
    Ok(times)
}

/// One execution from its submission to its end.
pub(super) async fn one(engine: &Longhaul, task: &Task) -> Result<(), BenchError> {
    let submission = Submission { task: Some(task.clone()), ..Submission::default() };
    let ended = engine.submit_and_wait(submission).await?;
    if ended.status != Status::Completed {
        let said = format!("execution {} is {}", ended.execution_id, ended.status.as_str());
        return Err(BenchError::Wrong(said));
    }
    Ok(())
}

/// The largest resident size so far, as Linux tells it.
fn memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(round(kib / 1_000.0 * 1.024))
}

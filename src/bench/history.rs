//! One long execution: whether its last stages cost more than its first.

use super::arena::{Arena, BenchError};
use super::times::round;
use super::workload::{row, task};
use crate::clock::{Clock, SystemClock};
use crate::engine::Submission;
use crate::workflow::state::{Execution, Status};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What `bench history` says.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// From submission to end.
    pub seconds: f64,
    /// The first hundred stages, each, from its start to the next one's.
    pub first_100_ms_per_stage: f64,
    /// The last hundred.
    pub last_100_ms_per_stage: f64,
    /// Last over first.
    pub ratio: f64,
}

/// Runs one execution of `stages` stages in a row.
pub async fn history(arena: &Arena, stages: usize) -> Result<History, BenchError> {
    let long = row("long", (0..stages.max(2)).map(|n| format!("stage_{n}")));
    let engine = arena.engine(20, Some(long)).await?;
    let stop = CancellationToken::new();
    let worker = engine.worker();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let mut task = task(SystemClock.now()).map_err(BenchError::Wrong)?;
    super::throughput::one(&engine, &task).await?;
    task.workflow = "long".to_owned();
    let begun = Instant::now();
    let submission = Submission { task: Some(task), ..Submission::default() };
    let ended = engine.submit_and_wait(submission).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if ended.status != Status::Completed {
        return Err(BenchError::Wrong(format!("the execution is {}", ended.status.as_str())));
    }
    let state = engine.state(ended.execution_id).await?;
    stop.cancel();
    working.await.map_err(|e| BenchError::Wrong(e.to_string()))??;
    engine.close().await;
    let (first, last) = ends(&state);
    Ok(History {
        seconds: round(seconds),
        first_100_ms_per_stage: round(first),
        last_100_ms_per_stage: round(last),
        ratio: round(last / first.max(f64::MIN_POSITIVE)),
    })
}

/// Milliseconds a stage over the first and the last hundred.
fn ends(state: &Execution) -> (f64, f64) {
    let starts: Vec<DateTime<Utc>> = state.stages.iter().filter_map(|s| s.started_at).collect();
    let count = starts.len().saturating_sub(1).min(100);
    let between = |from: usize, to: usize| {
        let micros = (starts[to] - starts[from]).num_microseconds().unwrap_or(i64::MAX);
        micros as f64 / 1_000.0 / (to - from).max(1) as f64
    };
    if count == 0 {
        return (0.0, 0.0);
    }
    (between(0, count), between(starts.len() - 1 - count, starts.len() - 1))
}

//! One execution at a time: how long from submission to end, beside a single durable insert.

use super::arena::{Arena, BenchError};
use super::throughput::one;
use super::times::{Times, round};
use super::workload::task;
use crate::clock::{Clock, SystemClock};
use serde::Serialize;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// What `bench latency` says.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// From submission to end, median.
    pub p50_ms: f64,
    /// From submission to end, 99th percentile.
    pub p99_ms: f64,
    /// One durable insert of one row in the same run, median.
    pub insert_p50_ms: f64,
    /// `p50_ms` in such inserts.
    pub inserts: f64,
}

/// How often the insert is measured; between the executions, so that both see the same machine.
const INSERTS_PER_EXECUTION: usize = 5;

/// Runs `executions` of `six-stage`, one after the other.
pub async fn latency(arena: &Arena, executions: usize) -> Result<Latency, BenchError> {
    let engine = arena.engine(20, None).await?;
    let stop = CancellationToken::new();
    let worker = engine.worker();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    let task = task(SystemClock.now()).map_err(BenchError::Wrong)?;
    let mut probe = arena.scratch().probe().await?;
    for _ in 0..10 {
        one(&engine, &task).await?;
        probe.insert().await?;
    }
    let (mut times, mut inserts) = (Times::default(), Times::default());
    for _ in 0..executions {
        let begun = Instant::now();
        one(&engine, &task).await?;
        times.add(begun.elapsed());
        for _ in 0..INSERTS_PER_EXECUTION {
            let begun = Instant::now();
            probe.insert().await?;
            inserts.add(begun.elapsed());
        }
    }
    stop.cancel();
    working.await.map_err(|e| BenchError::Wrong(e.to_string()))??;
    engine.close().await;
    let (p50_ms, insert_p50_ms) = (times.percentile_ms(0.5), inserts.percentile_ms(0.5));
    Ok(Latency {
        p50_ms,
        p99_ms: times.percentile_ms(0.99),
        insert_p50_ms,
        inserts: round(p50_ms / insert_p50_ms.max(f64::MIN_POSITIVE)),
    })
}

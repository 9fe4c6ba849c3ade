//! `bench rebuild`: a made-up log through every read model, or folded to states only.

use super::arena::{Arena, BenchError};
use super::workload::{six_stage, task};
use crate::clock::{Clock, SystemClock};
use crate::projector::{BUILT_IN, Projector, install};
use crate::store::Scan;
use crate::workflow::definition::Limits;
use crate::workflow::event::{Event, Request};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Connections that rebuild side by side, as `projections rebuild --all` has them.
const JOBS: usize = 2;

/// What was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuild {
    /// Events in the log.
    pub events: u64,
    /// From the first event to the last read model switched, or to the last state folded.
    pub seconds: f64,
    /// Events of the log per second, all read models together.
    pub events_per_s: f64,
    /// Events per second of `COPY .. TO STDOUT (FORMAT binary)` of the same log, in the same run.
    pub copy_events_per_s: f64,
    /// The one as a share of the other.
    pub ratio: f64,
}

/// Rebuilds all read models from a log of so many events; `replay`: folds its streams to states.
///
/// # Errors
/// The database, or a log that did not come out as it was made.
pub async fn rebuild(arena: &Arena, events: u64, replay: bool) -> Result<Rebuild, BenchError> {
    let store = arena.store().await?;
    let clock = SystemClock;
    install(&store, None, clock.now()).await?;
    let made = store.make_up(events, &request()?, clock.now()).await?;
    // The first run brings the log into memory, for both.
    store.copy_out().await?;
    let (copy, _) = store.copy_out().await?;
    let began = Instant::now();
    let folded = if replay {
        let total = store.fold_all(Scan::default(), |_| {}).await;
        total.map_err(|e| BenchError::Wrong(e.to_string()))?.events
    } else {
        let names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        let projector = Projector::new(store.clone(), Arc::new(clock));
        let folded = projector.rebuild(&names, &[], JOBS, &|_| {}).await?;
        folded as u64 / BUILT_IN.len() as u64
    };
    let seconds = began.elapsed().as_secs_f64();
    store.close().await;
    if folded != made {
        return Err(BenchError::Wrong(format!("{folded} of {made} events were folded")));
    }
    let per_s = |seconds: f64| (made as f64 / seconds).round();
    let copy_events_per_s = per_s(copy.as_secs_f64());
    let ratio = (per_s(seconds) / copy_events_per_s * 1_000.0).round() / 1_000.0;
    Ok(Rebuild { events: made, seconds, events_per_s: per_s(seconds), copy_events_per_s, ratio })
}

/// The first event of each life: a request as it is recorded.
fn request() -> Result<String, BenchError> {
    let wrong = |e: serde_json::Error| BenchError::Wrong(e.to_string());
    let task = task(SystemClock.now()).map_err(BenchError::Wrong)?;
    let request = Request {
        task_id: Uuid::nil(),
        task: serde_json::to_value(task).map_err(wrong)?,
        definition: six_stage().resolved(&Limits::default()),
        input: json!({}),
        settings: json!({}),
        repository: None,
        limits: Limits::default(),
        priority: 5,
        origin: None,
        parent: None,
        continues: None,
    };
    serde_json::to_string(&Event::ExecutionRequested(Arc::new(request))).map_err(wrong)
}

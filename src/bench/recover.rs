//! A worker process is killed in the midst of its work: how long until all of it is done.

use super::arena::{Arena, BenchError, engine};
use super::times::round;
use super::workload::{STAGES, task};
use crate::clock::{Clock, SystemClock};
use crate::config::home::Home;
use crate::engine::{Longhaul, Submission};
use crate::workflow::event::Event;
use crate::workflow::state::{Execution, Status};
use serde::Serialize;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What `bench recover` says.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    /// From the start of the second process to the last end.
    pub recovery_seconds: f64,
    /// What the second process needs at the least: what was left, on all slots at once.
    pub ideal_seconds: f64,
    /// `recovery_seconds` over `ideal_seconds`.
    pub ratio: f64,
    /// Executions that were acknowledged and are not there.
    pub lost: usize,
    /// Executions that were completed.
    pub finished: usize,
    /// Stages that ran again although their result was recorded.
    pub stages_run_twice: usize,
    /// Stages that ran again because they were cut off.
    pub stages_cut_off: usize,
}

/// How it is done.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    /// How many executions.
    pub executions: usize,
    /// How long each stage naps.
    pub nap: Duration,
    /// Slots of the worker.
    pub slots: usize,
    /// The program to start, which understands `bench work`.
    pub program: PathBuf,
}

/// Submits, starts a worker process, kills it when a third of the stages are done, starts another,
/// and waits for the end.
pub async fn recover(arena: &Arena, options: &RecoveryOptions) -> Result<Recovery, BenchError> {
    let engine = arena.engine(options.slots, None).await?;
    let ids = submit_all(&engine, options.executions).await?;
    let stages = (ids.len() * STAGES.len()) as i64;
    let mut first = start(arena, options)?;
    wait_until(|| async { Ok(engine.store().count_events("StageSucceeded").await? * 3 >= stages) })
        .await?;
    first.kill().await.map_err(BenchError::machine("the first worker"))?;
    let left = left_over(&engine, &ids).await?;
    let begun = Instant::now();
    let mut second = start(arena, options)?;
    let count = ids.len() as i64;
    wait_until(|| async { Ok(engine.store().count_ended().await? >= count) }).await?;
    let took = begun.elapsed().as_secs_f64();
    second.kill().await.map_err(BenchError::machine("the second worker"))?;
    let ideal = left.seconds(options);
    let seen = judge(&engine, &ids).await?;
    engine.close().await;
    Ok(Recovery {
        recovery_seconds: round(took),
        ideal_seconds: round(ideal),
        ratio: round(took / ideal.max(f64::MIN_POSITIVE)),
        ..seen
    })
}

/// A worker of the workload, for the process that is killed; ends with `stop`.
pub async fn work(
    url: &str,
    home: Home,
    slots: usize,
    nap: Duration,
    stop: CancellationToken,
) -> Result<(), BenchError> {
    let engine = engine(url, home, slots, nap, None).await?;
    Ok(engine.worker().run(stop).await?)
}

async fn submit_all(engine: &Longhaul, executions: usize) -> Result<Vec<Uuid>, BenchError> {
    let task = task(SystemClock.now()).map_err(BenchError::Wrong)?;
    let mut ids = Vec::with_capacity(executions);
    for _ in 0..executions {
        let submission = Submission { task: Some(task.clone()), ..Submission::default() };
        ids.push(engine.submit(submission).await?.execution_id);
    }
    Ok(ids)
}

/// The URL may hold a password, so that it goes by the environment and not by the arguments.
fn start(arena: &Arena, options: &RecoveryOptions) -> Result<Child, BenchError> {
    Command::new(&options.program)
        .args(["bench", "work"])
        .args(["--slots", &options.slots.to_string()])
        .args(["--stage-ms", &options.nap.as_millis().to_string()])
        .env("DATABASE_URL", arena.scratch().url())
        .env("LONGHAUL_HOME", arena.home().root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(BenchError::machine("a worker process"))
}

async fn wait_until<F>(mut check: impl FnMut() -> F) -> Result<(), BenchError>
where
    F: Future<Output = Result<bool, BenchError>>,
{
    let deadline = Instant::now() + Duration::from_secs(600);
    while !check().await? {
        if Instant::now() > deadline {
            return Err(BenchError::Wrong("it was not done after 10 minutes".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Stages that are not done, in all and of the execution that is furthest behind.
struct Left {
    all: usize,
    longest: usize,
}

impl Left {
    /// No schedule is shorter than its longest row, nor than all of it on all slots.
    fn seconds(&self, options: &RecoveryOptions) -> f64 {
        let spread = self.all as f64 / options.slots.max(1) as f64;
        options.nap.as_secs_f64() * spread.max(self.longest as f64)
    }
}

async fn left_over(engine: &Longhaul, ids: &[Uuid]) -> Result<Left, BenchError> {
    let open =
        |state: &Execution| state.stages.iter().filter(|stage| !stage.state.is_done()).count();
    let loaded = engine.store().load_many(ids).await?;
    let open: Vec<usize> = loaded.iter().map(|l| open(&l.state)).collect();
    Ok(Left { all: open.iter().sum(), longest: open.into_iter().max().unwrap_or(0) })
}

async fn judge(engine: &Longhaul, ids: &[Uuid]) -> Result<Recovery, BenchError> {
    let mut seen = Recovery {
        recovery_seconds: 0.0,
        ideal_seconds: 0.0,
        ratio: 0.0,
        lost: 0,
        finished: 0,
        stages_run_twice: 0,
        stages_cut_off: 0,
    };
    for id in ids {
        let Ok(state) = engine.state(*id).await else {
            seen.lost += 1;
            continue;
        };
        seen.finished += usize::from(state.status() == Status::Completed);
        let mut done: HashSet<String> = HashSet::new();
        for stored in engine.store().events(*id, 0, i64::MAX).await? {
            match stored.happened()?.event {
                Event::StageSucceeded { stage, .. } => {
                    seen.stages_run_twice += usize::from(!done.insert(stage));
                }
                Event::StageStarted { stage, .. } => {
                    seen.stages_run_twice += usize::from(done.contains(&stage));
                }
                Event::StageInterrupted { .. } => seen.stages_cut_off += 1,
                _ => {}
            }
        }
    }
    Ok(seen)
}

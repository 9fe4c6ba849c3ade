//! The loop that keeps read models up to date.

use super::advance::{Step, StepError, step};
use super::generation::{self, Generation, distance};
use super::{Projector, deadline};
use crate::store::{Session, StoreError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How the loop behaves.
#[derive(Clone, Copy, Debug)]
pub struct ProjectorOptions {
    /// Between two looks at the log. Default 500 ms.
    pub poll: Duration,
    /// The share of time in which it works, at the most, as one part in so many. Default 3.
    pub share: u32,
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        ProjectorOptions { poll: Duration::from_millis(500), share: 3 }
    }
}

/// What a look at all read models did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Events taken, summed over the read models.
    pub events: i64,
    /// Read models that are not at the end: behind, stalled, or in another process's hands.
    pub behind: usize,
}

impl Projector {
    /// Works until `stop` fires. It has one connection of the pool at a time, and rests in between.
    pub async fn run(&self, options: ProjectorOptions, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let rest = match self.pass(&stop).await {
                Ok(pass) if pass.events > 0 => began.elapsed() * (options.share - 1).max(1),
                Ok(_) => options.poll,
                Err(error) => {
                    tracing::warn!(%error, "the read models wait for the database");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(rest.clamp(options.poll / 2, Duration::from_secs(10))) => {}
            }
        }
    }

    /// Makes steps until every read model has seen what was there at the beginning, or cannot go on.
    pub async fn catch_up(&self) -> Result<Pass, StoreError> {
        let stop = CancellationToken::new();
        let mut total = Pass::default();
        loop {
            let pass = self.pass(&stop).await?;
            total.events += pass.events;
            total.behind = pass.behind;
            if pass.events == 0 {
                return Ok(total);
            }
        }
    }

    /// One step of each generation in use; those that were built beside are switched when they are done.
    pub async fn pass(&self, stop: &CancellationToken) -> Result<Pass, StoreError> {
        let mut connection = self.connection().await?;
        let mut pass = Pass::default();
        let known =
            deadline(30, async { Ok::<_, StoreError>(generation::all(&mut connection).await?) });
        let known = known.await?;
        let heads = generation::heads(&mut connection).await?;
        for g in known.iter().filter(|g| g.state == "live" || g.state == "building") {
            if stop.is_cancelled() {
                break;
            }
            let is_at_end = g.target.is_none() && distance(&g.applied, &heads) == 0;
            if g.state == "live" && is_at_end && g.stalled_since.is_none() {
                continue;
            }
            if g.retry_at.is_some_and(|at| at > self.clock.now()) {
                pass.behind += 1;
                continue;
            }
            match self.step_of(&mut connection, g).await? {
                Step::Took(events) => {
                    // A step that only ends a way in pieces took nothing and still moved.
                    pass.events += events.max(1);
                    pass.behind += 1;
                }
                Step::Busy => pass.behind += 1,
                Step::AtEnd if g.state == "building" => {
                    self.switch(&mut connection, &g.name, g.generation).await?;
                }
                Step::AtEnd => {}
            }
        }
        Ok(pass)
    }

    /// A step of one generation. One that cannot go on is stalled, and takes nothing.
    async fn step_of(&self, connection: &mut Session, g: &Generation) -> Result<Step, StoreError> {
        let which = [(g.name.clone(), g.generation)];
        match deadline(400, step(connection, &which, self.sizes, self.clock.now())).await {
            Ok(step) => Ok(step),
            Err(StepError::Store(error)) => Err(error),
            Err(StepError::Fold { name, generation, reason }) => {
                tracing::warn!(projection = %name, generation, %reason, "a read model is stalled");
                let now = self.clock.now();
                generation::stalled(connection, &name, generation, &reason, now).await?;
                Ok(Step::Busy)
            }
        }
    }
}

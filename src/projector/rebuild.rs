//! Building read models anew beside the live ones, and switching when they are done.

use super::advance::{LIMITS, Step, StepError, near, step};
use super::file::File;
use super::generation::{self, Generation, distance};
use super::{Projector, deadline};
use crate::store::{Session, StoreError};
use sqlx::Executor;
use std::time::Duration;

type Which = Vec<(String, i32)>;

impl Projector {
    /// Folds the whole log anew into new generations of these read models and puts them in the place
    /// of the live ones. Those whose file is given are built from it, the others from the stored text.
    /// What was begun before, by whomever, is gone on with. `progress` is told in words; `jobs` is how
    /// many connections work. Gives back how many events were folded, summed over the read models.
    pub async fn rebuild(
        &self,
        names: &[String],
        files: &[File],
        jobs: usize,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<i64, StoreError> {
        let which = self.begin(names, files).await?;
        let jobs = jobs.clamp(1, which.len().max(1));
        let group = |job: usize| which.iter().skip(job).step_by(jobs).cloned().collect::<Which>();
        let working = (0..jobs).map(|job| self.build(group(job), progress));
        let mut events = 0;
        for built in join_all(working.collect()).await {
            events += built.map_err(|error| match error {
                StoreError::Unreachable(why) => StoreError::Unreachable(format!(
                    "{why}; the rebuild is not done, and the same command goes on where it stopped"
                )),
                other => other,
            })?;
        }
        Ok(events)
    }

    /// New generations, or those that are being built of the same text.
    async fn begin(&self, names: &[String], files: &[File]) -> Result<Which, StoreError> {
        let mut connection = self.connection().await?;
        generation::refuse_gaps(&mut connection).await?;
        let known = generation::all(&mut connection).await?;
        let mut which = Vec::new();
        for name in names {
            let of = |state: &str| known.iter().find(|g| g.name == *name && g.state == state);
            let given = files.iter().find(|f| f.name == *name).cloned();
            let stored = of("building").or(of("live")).map(Generation::file);
            let file = given
                .or(stored)
                .ok_or_else(|| StoreError::NotFound { what: "read model", id: name.clone() })?;
            let is_begun = |g: &&Generation| g.digest == file.digest() && g.stalled_since.is_none();
            if let Some(begun) = of("building").filter(is_begun) {
                which.push((name.clone(), begun.generation));
                continue;
            }
            let mut transaction = connection.begin().await?;
            transaction.execute(LIMITS).await?;
            if let Some(begun) = of("building") {
                generation::remove(&mut transaction, name, begun.generation).await?;
            }
            let number =
                generation::create(&mut transaction, &file, "building", self.clock.now()).await?;
            transaction.commit().await?;
            which.push((name.clone(), number));
        }
        Ok(which)
    }

    async fn build(
        &self,
        which: Which,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<i64, StoreError> {
        let mut connection = self.connection().await?;
        let mut done = 0;
        let total = distance(&[], &generation::heads(&mut connection).await?);
        loop {
            match self.build_step(&mut connection, &which).await? {
                Step::AtEnd => break,
                Step::Busy => tokio::time::sleep(Duration::from_millis(50)).await,
                Step::Took(events) => {
                    done += events;
                    let names =
                        which.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
                    progress(&format!("{done} of {total} events: {names}"));
                }
            }
        }
        for (name, generation) in &which {
            while !self.switch(&mut connection, name, *generation).await? {
                if self.build_step(&mut connection, &which[..]).await? == Step::Busy {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Ok(done * which.len() as i64)
    }

    /// A step of a rebuild: what does not work ends it, visibly.
    async fn build_step(
        &self,
        connection: &mut Session,
        which: &[(String, i32)],
    ) -> Result<Step, StoreError> {
        match deadline(400, step(connection, which, self.sizes, self.clock.now())).await {
            Ok(step) => Ok(step),
            Err(StepError::Store(error)) => Err(error),
            Err(StepError::Fold { name, generation, reason }) => {
                let now = self.clock.now();
                generation::stalled(connection, &name, generation, &reason, now).await?;
                Err(StoreError::Refused(format!("read model `{name}` cannot be built: {reason}")))
            }
        }
    }

    /// Puts a generation in the place of the live one, if it is near the end of the log: what is left
    /// is folded and the names change in one transaction. True when that has happened, by whomever.
    pub(super) async fn switch(
        &self,
        connection: &mut Session,
        name: &str,
        number: i32,
    ) -> Result<bool, StoreError> {
        let known = generation::all(connection).await?;
        let old = known.iter().find(|g| g.name == name && g.state == "live");
        let old = old.map(|g| g.generation);
        if old == Some(number) {
            return Ok(true);
        }
        let mut which = vec![(name.to_owned(), number)];
        which.extend(old.map(|old| (name.to_owned(), old)));
        let mut transaction = connection.begin().await?;
        transaction.execute(LIMITS).await?;
        let mut held = generation::lock(&mut transaction, &which).await?;
        held.retain(|g| g.generation != number || g.state == "building");
        if held.len() < which.len() {
            return Ok(false);
        }
        held.retain(|g| g.generation == number);
        let heads = generation::heads(&mut transaction).await?;
        let is_near = held
            .iter()
            .all(|g| g.target.is_none() && distance(&g.applied, &heads) <= self.sizes.near);
        if !is_near {
            return Ok(false);
        }
        let now = self.clock.now();
        near(&mut transaction, &mut held, &heads, now).await.map_err(StepError::into_store)?;
        for new in &held {
            generation::switch(&mut transaction, old, new).await?;
        }
        transaction.commit().await?;
        if let Some(old) = old {
            // Whoever still reads the old tables is not waited for: they are dropped the next time.
            if let Err(error) = self.drop_retired(connection, name).await {
                tracing::warn!(%error, projection = name, generation = old, "old tables stay for now");
            }
        }
        Ok(true)
    }

    async fn drop_retired(&self, connection: &mut Session, name: &str) -> Result<(), StoreError> {
        let known = generation::all(connection).await?;
        for g in known.iter().filter(|g| g.name == name && g.state == "retired") {
            let mut transaction = connection.begin().await?;
            transaction.execute("set local lock_timeout = '2s'").await?;
            generation::drop_tables(&mut transaction, name, g.generation).await?;
            transaction.commit().await?;
        }
        Ok(())
    }
}

/// Runs futures side by side to their end.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, result) in &mut waiting {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *result = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, result)| result).collect()
}

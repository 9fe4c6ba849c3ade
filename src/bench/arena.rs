//! A database of its own for a measurement, on the server that is to be measured.

use super::workload::{KIND, Nothing, six_stage};
use crate::config::home::Home;
use crate::config::settings::Settings;
use crate::engine::{Database, Longhaul, OpenError, ProcessError, SubmitError};
use crate::store::{AppendError, Connect, Scratch, Store, StoreError};
use crate::workflow::definition::Definition;
use std::time::Duration;

/// Why a measurement came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A submission was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// An execution could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An append was refused.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Files or processes of this machine.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        source: std::io::Error,
    },
    /// What was measured is not what should have been.
    #[error("the measurement went wrong: {0}")]
    Wrong(String),
}

impl BenchError {
    pub(super) fn machine(what: &'static str) -> impl FnOnce(std::io::Error) -> BenchError {
        move |source| BenchError::Machine { what, source }
    }
}

/// A database for one measurement. Goes with `close`; one that a crash left behind is called
/// `longhaul_bench_` and more.
pub struct Arena {
    scratch: Scratch,
    home: tempfile::TempDir,
}

impl Arena {
    /// Makes a database beside the one of `url`.
    ///
    /// # Errors
    /// A server that cannot be reached, that loses data, or where we may not create databases.
    pub async fn new(url: &str) -> Result<Self, BenchError> {
        let scratch = Scratch::create(url).await?;
        let home = tempfile::Builder::new()
            .prefix("longhaul-bench-")
            .tempdir()
            .map_err(BenchError::machine("a directory for the measurement"))?;
        Ok(Arena { scratch, home })
    }

    /// The scratch database, for figures about it.
    pub(super) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Where the workers of the measurement keep their files.
    pub(super) fn home(&self) -> Home {
        Home::at(self.home.path())
    }

    /// The bare store with its schema.
    pub(super) async fn store(&self) -> Result<Store, BenchError> {
        let store = Store::connect(&Connect::to(self.scratch.url())).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// An engine that knows the workload, and `more`.
    pub(super) async fn engine(
        &self,
        slots: usize,
        more: Option<Definition>,
    ) -> Result<Longhaul, BenchError> {
        engine(self.scratch.url(), self.home(), slots, Duration::ZERO, more).await
    }

    /// Removes the database.
    pub async fn close(self) -> Result<(), BenchError> {
        Ok(self.scratch.drop_database().await?)
    }
}

/// An engine over `url` with the stage kind of the workload.
pub(super) async fn engine(
    url: &str,
    home: Home,
    slots: usize,
    nap: Duration,
    more: Option<Definition>,
) -> Result<Longhaul, BenchError> {
    let ask = |name: &str| (name == "MAX_PARALLEL_TASKS").then(|| slots.to_string());
    let settings = Settings::read(&ask, None, &[]).map_err(|e| BenchError::Wrong(e.to_string()))?;
    let builder = Longhaul::builder()
        .database(Database::Url(url.to_owned()))
        .home(home)
        .config(settings)
        .actor("bench", "bench")
        .stage(KIND, Nothing { nap })
        .workflow(six_stage());
    let builder = more.into_iter().fold(builder, |b, definition| b.workflow(definition));
    Ok(builder.build().await?)
}

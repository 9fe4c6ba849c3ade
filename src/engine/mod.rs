//! The library's front door: build it, submit to it, steer it, work for it.
//!
//! Everything that the command line does goes through here. It owns the connection to the database,
//! the stage kinds and the settings; it decides nothing about executions.

mod archive;
mod audit;
mod builder;
mod checkpoint;
mod children;
mod compare;
mod database;
mod fork;
mod history;
mod operate;
mod projections;
mod report;
mod submit;
mod verify;
mod workflows;

pub use crate::monitor::{Check, CheckState, Figures, Health, Thresholds, Usage};
pub use crate::store::Metrics;
pub use archive::{RetentionError, month_name};
pub use audit::{AuditError, AuditTotal, Scope, Watch};
pub use builder::{Builder, Database};
pub use checkpoint::{
    AuditFiles, CheckpointError, Signed, make_key, read_checkpoint, read_key, read_public_key,
};
pub use compare::{Diff, Point};
pub use history::{HistoryError, Moment, StateAt};
pub use operate::{ProcessError, Rewind};
pub use submit::{Submission, SubmitError};
pub use verify::{Depth, VerifyReport};
pub use workflows::{WorkflowError, read_definition};

use crate::clock::Clock;
use crate::config::home::Home;
use crate::config::settings::Settings;
use crate::stages::Registry;
use crate::store::{Commands, Rate, Store, StoreError};
use crate::worker::{Local, Worker, WorkerOptions};
use crate::workflow::definition::Definition;
use crate::workflow::validate::Kinds;
use database::Keeper;
use std::sync::Arc;

/// Why the engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The embedded database.
    #[error(transparent)]
    Embedded(#[from] crate::embedded::EmbeddedError),
    /// The connection or the schema.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A workflow given to the builder.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
}

/// A durable workflow engine: a database, stage kinds, workflows, settings.
///
/// Cheap to clone; all clones share one connection pool. The embedded database, if there is one,
/// stops a few seconds after the last process that uses it has let go.
#[derive(Clone)]
pub struct Longhaul {
    store: Store,
    stages: Registry,
    clock: Arc<dyn Clock>,
    home: Home,
    settings: Arc<Settings>,
    /// Workflows of this program, besides the six and those registered in the database.
    workflows: Arc<Vec<Definition>>,
    /// The list of workflows of a moment ago.
    known: Arc<workflows::Known>,
    /// The stage kinds with their outputs, as definitions are judged by.
    kinds: Arc<Kinds>,
    actor: String,
    source: &'static str,
    keeper: Option<Arc<Keeper>>,
    /// What it shares with the workers of this process.
    local: Local,
    url: Arc<str>,
    commands: Arc<Commands>,
}

impl Longhaul {
    /// Begins to build an engine.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A worker with the settings in force; `Worker::run` works until it is told to stop.
    pub fn worker(&self) -> Worker {
        self.worker_with(self.worker_options())
    }

    /// A worker with options of its own.
    pub fn worker_with(&self, options: WorkerOptions) -> Worker {
        let (store, stages) = (self.store.clone(), self.stages.clone());
        let (clock, home) = (Arc::clone(&self.clock), self.home.clone());
        Worker::new(store, stages, clock, home, self.local.clone(), options)
            .with_child_requests(Arc::new(self.clone()))
    }

    /// The worker options that the settings ask for.
    pub fn worker_options(&self) -> WorkerOptions {
        let settings = &self.settings;
        WorkerOptions {
            slots: settings.number("MAX_PARALLEL_TASKS") as usize,
            lease: settings.duration("LONGHAUL_LEASE_MS"),
            heartbeat: settings.duration("LONGHAUL_HEARTBEAT_MS"),
            poll: settings.duration("LONGHAUL_POLL_MS"),
            drain: settings.duration("LONGHAUL_DRAIN_MS"),
            metrics_every: settings.duration("METRICS_INTERVAL"),
            health_every: settings.duration("HEALTH_CHECK_INTERVAL"),
            thresholds: Thresholds::of(settings),
            key_limits: settings.key_limits.clone(),
            rates: settings.rates.as_ref().map(|rates| {
                let rate = |(name, per_second, burst): &(String, f64, f64)| Rate {
                    name: name.clone(),
                    per_second: *per_second,
                    burst: *burst,
                };
                rates.iter().map(rate).collect()
            }),
            ..WorkerOptions::default()
        }
    }

    /// The event store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The stage kinds.
    pub fn stages(&self) -> &Registry {
        &self.stages
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where things lie on this machine.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Where the embedded database is, if it is embedded.
    pub fn embedded(&self) -> Option<&crate::embedded::Attachment> {
        self.keeper.as_deref().map(Keeper::attachment)
    }

    /// The way to the database. May hold a password: never for people.
    pub(crate) fn database_url(&self) -> &str {
        &self.url
    }

    /// Closes the connections and lets go of the embedded database.
    pub async fn close(self) {
        self.store.close().await;
    }
}

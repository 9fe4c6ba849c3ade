//! Building an engine: database, stage kinds, workflows, settings.

use super::database::Keeper;
use super::{Longhaul, OpenError};
use crate::clock::{Clock, SystemClock};
use crate::config::home::Home;
use crate::config::settings::{ConfigError, Settings};
use crate::embedded::{self, GuardianMode};
use crate::stages::{Registry, StageExecutor, builtin};
use crate::store::{Commands, Connect, Store};
use crate::worker::Local;
use crate::workflow::definition::Definition;
use std::sync::Arc;
use std::time::Duration;

/// Where the events live. A URL may hold a password, so that it is not shown.
#[derive(Clone)]
pub enum Database {
    /// A Postgres of version 15 or newer, by URL.
    Url(String),
    /// The embedded Postgres, in the home directory; its guardian runs in a process of its own
    /// (`Process`) or in a thread of this one (`InProcess`).
    Embedded(GuardianMode),
}

/// Collects what an engine is made of.
pub struct Builder {
    database: Option<Database>,
    home: Home,
    settings: Option<Settings>,
    stages: Registry,
    workflows: Vec<Definition>,
    clock: Arc<dyn Clock>,
    actor: String,
    source: &'static str,
    patience: Duration,
    connections: u32,
    progress: Box<dyn Fn(&str) + Send + Sync>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            database: None,
            home: Home::from_environment(),
            settings: None,
            stages: builtin(),
            workflows: Vec::new(),
            clock: Arc::new(SystemClock),
            actor: "library".to_owned(),
            source: "library",
            patience: Duration::from_secs(60),
            connections: 8,
            progress: Box::new(|_| {}),
        }
    }
}

impl Builder {
    /// Where the events live. Default: `DATABASE_URL`, else embedded with a guardian in a thread.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Where workspaces and the embedded database live. Default:
    /// `LONGHAUL_HOME`, else the platform's data directory.
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = home;
        self
    }

    /// Settings. Default: those of the environment.
    #[must_use]
    pub fn config(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Adds a stage kind, or replaces one that comes with the program.
    #[must_use]
    pub fn stage(mut self, kind: &str, executor: impl StageExecutor + 'static) -> Self {
        self.stages.register(kind, Arc::new(executor));
        self
    }

    /// Adds a workflow, or replaces one that comes with the program. Judged by `build`.
    #[must_use]
    pub fn workflow(mut self, definition: Definition) -> Self {
        self.workflows.push(definition);
        self
    }

    /// The clock. Default: that of the machine.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who acts, as events name them, and through which door. Default: `library`.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>, source: &'static str) -> Self {
        self.actor = actor.into();
        self.source = source;
        self
    }

    /// How long an append tries while the database is away. Default 60 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connections to the database at the most. Default 8.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Is told what happens while the embedded database is fetched and started.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Connects, brings the schema up to date, judges the workflows.
    pub async fn build(self) -> Result<Longhaul, OpenError> {
        let settings = match self.settings {
            Some(settings) => settings,
            None => {
                from_environment().map_err(|e| crate::store::StoreError::Refused(e.to_string()))?
            }
        };
        let database = self.database.unwrap_or_else(|| match settings.database_url() {
            Some(url) => Database::Url(url.to_owned()),
            None => Database::Embedded(GuardianMode::InProcess),
        });
        let (url, keeper) = match database {
            Database::Url(url) => (url, None),
            Database::Embedded(mode) => {
                let config = embedded::Config::for_home(Some(self.home.root()))?;
                let keeper = Keeper::start(&config, mode, self.progress.as_ref()).await?;
                (keeper.attachment().url("longhaul"), Some(Arc::new(keeper)))
            }
        };
        let connect = Connect {
            patience: self.patience,
            connections: self.connections,
            accept_data_loss: settings.switch("LONGHAUL_ACCEPT_DATA_LOSS"),
            ..Connect::to(url.clone())
        };
        let store = Store::connect(&connect).await?;
        store.migrate().await?;
        let directory = settings.text("LONGHAUL_PROJECTIONS").map(std::path::PathBuf::from);
        crate::projector::install(&store, directory.as_deref(), self.clock.now()).await?;
        let longhaul = Longhaul {
            commands: Arc::new(Commands::new(store.clone())),
            store,
            kinds: Arc::new(self.stages.kinds()),
            known: Arc::default(),
            stages: self.stages,
            clock: self.clock,
            home: self.home,
            settings: Arc::new(settings),
            workflows: Arc::new(self.workflows),
            actor: self.actor,
            source: self.source,
            keeper,
            local: Local::default(),
            url: url.into(),
        };
        for definition in longhaul.workflows.iter() {
            longhaul.judge(definition)?;
        }
        Ok(longhaul)
    }
}

fn from_environment() -> Result<Settings, ConfigError> {
    Settings::read(&|name| std::env::var(name).ok(), None, &[])
}

//! What every command starts from: settings, home, logging, and the way to the engine.

use super::args::Globals;
use super::error::CliError;
use super::out;
use crate::config::home::Home;
use crate::config::settings::Settings;
use crate::embedded::GuardianMode;
use crate::engine::{Builder, Database, Longhaul};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// The common ground of a command.
pub(super) struct Session {
    pub(super) globals: Globals,
    pub(super) settings: Settings,
    pub(super) home: Home,
}

impl Session {
    pub(super) fn new(globals: Globals) -> Result<Self, CliError> {
        let home = globals.home.as_ref().map_or_else(Home::of_platform, Home::at);
        let default_file = home.root().join("config.toml");
        let file = match &globals.config {
            Some(path) => Some(path.clone()),
            None => default_file.exists().then_some(default_file),
        };
        let flags: Vec<(&'static str, String)> =
            globals.database_url.iter().map(|url| ("DATABASE_URL", url.clone())).collect();
        let ask = |name: &str| std::env::var(name).ok();
        let settings = Settings::read(&ask, file.as_deref(), &flags)?;
        start_logging(&settings, globals.verbose)?;
        Ok(Session { globals, settings, home })
    }

    /// An engine for a command that looks or says something.
    pub(super) async fn open(&self) -> Result<Longhaul, CliError> {
        Ok(self.builder()?.patience(Duration::from_secs(10)).build().await?)
    }

    /// An engine for a worker: it outlasts a database that is away for a while.
    pub(super) async fn open_for_work(&self) -> Result<Longhaul, CliError> {
        let slots = self.settings.number("MAX_PARALLEL_TASKS") as u32;
        let builder = self.builder()?.patience(Duration::from_secs(300));
        Ok(builder.connections(8 + slots.min(24) / 4).build().await?)
    }

    fn builder(&self) -> Result<Builder, CliError> {
        let json = self.globals.json;
        Ok(Longhaul::builder()
            .database(self.database()?)
            .home(self.home.clone())
            .config(self.settings.clone())
            .actor(actor(), "cli")
            .progress(move |text| {
                if !json {
                    out::note(text);
                }
            }))
    }

    fn database(&self) -> Result<Database, CliError> {
        Ok(match self.settings.database_url() {
            Some(url) => Database::Url(url.to_owned()),
            None => Database::Embedded(guardian()?),
        })
    }

    /// Whether stdout is for JSON only.
    pub(super) fn json(&self) -> bool {
        self.globals.json
    }
}

/// The guardian of the embedded database is this program in a process of its own, so that the
/// database outlives the command that needed it first.
pub(super) fn guardian() -> Result<GuardianMode, CliError> {
    Ok(GuardianMode::this_program(["db", "guard"])?)
}

/// Who acts, as events name it.
fn actor() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    format!("{}@{host}", user.unwrap_or_else(|_| "somebody".to_owned()))
}

fn start_logging(settings: &Settings, verbose: u8) -> Result<(), CliError> {
    let level = match verbose {
        0 if settings.switch("ENABLE_DETAILED_LOGGING") => "longhaul=debug,warn",
        0 => "error",
        1 => "longhaul=info,warn",
        _ => "longhaul=debug,info",
    };
    let filter = settings.text("LONGHAUL_LOG").unwrap_or(level);
    let wrong = |e| {
        CliError::Usage(format!(
            "LONGHAUL_LOG=`{filter}` is no log filter: {e}; write for example longhaul=debug,sqlx=warn"
        ))
    };
    let filter = EnvFilter::try_new(filter).map_err(wrong)?;
    // A second call in one process (tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    Ok(())
}

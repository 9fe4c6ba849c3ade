//! One wait for Postgres to be ready: whom to tell what, when to start a guardian, when to give up.
//!
//! Is told what is seen and does not look itself. Never: silence towards a person for long, or a
//! guardian started in vain for ever.

use std::time::Instant;

use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::record::{Phase, Record};
use super::spawn::{GuardianMode, Spawned};

/// A guardian that ends without a word is tried again this often.
const GUARDIANS_MAX: u32 = 5;

/// One wait for Postgres: its patience, what was said, and the guardians that were started for it.
pub(super) struct Wait<'a> {
    config: &'a Config,
    mode: &'a GuardianMode,
    layout: &'a Layout,
    progress: &'a (dyn Fn(&str) + Sync),
    patience_from: Instant,
    said: String,
    noticed: Option<String>,
    guardian: Option<Spawned>,
    /// How many were started.
    guardians: u32,
}

impl<'a> Wait<'a> {
    pub(super) fn new(
        config: &'a Config,
        mode: &'a GuardianMode,
        layout: &'a Layout,
        progress: &'a (dyn Fn(&str) + Sync),
    ) -> Self {
        Wait {
            config,
            mode,
            layout,
            progress,
            patience_from: Instant::now(),
            said: String::new(),
            noticed: None,
            guardian: None,
            guardians: 0,
        }
    }

    /// There is a guardian: passes on what it says.
    pub(super) fn for_guardian(&mut self, record: Option<&Record>) -> Result<()> {
        if let Some(record) = record.filter(|record| is_news(record)) {
            self.notice(record);
            if record.message != self.said {
                self.said.clone_from(&record.message);
                (self.progress)(&record.message);
            }
            if record.has_own_limit {
                self.patience_from = Instant::now();
            }
        }
        self.check_patience()
    }

    /// Tells once what a person should know, if it is about a start that we waited for.
    pub(super) fn notice(&mut self, record: &Record) {
        let waited = self.guardians > 0 || !self.said.is_empty();
        if waited && record.notice != self.noticed {
            self.noticed.clone_from(&record.notice);
            self.noticed.iter().for_each(|text| (self.progress)(text));
        }
    }

    /// Starts a guardian, unless one that we started is about to take the lock.
    pub(super) fn without_guardian(&mut self) -> Result<()> {
        match self.guardian.as_ref().map(Spawned::ended) {
            Some(None) => {}
            Some(Some(ended)) => {
                ended?;
                // It ended in order: somebody else was faster, or asked it to stop.
                self.guardian = None;
            }
            None => self.start_guardian()?,
        }
        self.check_patience()
    }

    fn start_guardian(&mut self) -> Result<()> {
        if self.guardians == GUARDIANS_MAX {
            return Err(EmbeddedError::Guardian {
                message: format!(
                    "{GUARDIANS_MAX} of them ended one after the other without a reason; see `{}`",
                    self.layout.guardian_log().display()
                ),
            });
        }
        self.guardians += 1;
        self.guardian = Some(Spawned::start(self.mode, self.config, self.layout)?);
        Ok(())
    }

    fn check_patience(&self) -> Result<()> {
        let limit = self.config.start_deadline;
        if self.patience_from.elapsed() < limit {
            return Ok(());
        }
        let log = self.layout.postgres_log();
        Err(EmbeddedError::Deadline {
            what: format!(
                "the embedded Postgres has not become ready (last seen: {})",
                if self.said.is_empty() { "nothing" } else { &self.said }
            ),
            seconds: limit.as_secs(),
            hint: format!("it may still get there: try again, or look at `{}`", log.display()),
        })
    }
}

/// Whether the message tells something about this start: the last words of a former guardian, and
/// "ready" while nobody answers, do not.
fn is_news(record: &Record) -> bool {
    matches!(record.phase, Phase::Starting | Phase::Stopping)
}

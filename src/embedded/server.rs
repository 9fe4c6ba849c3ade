//! One run of `postgres`, as a direct child of the thread that starts it.
//!
//! Knows how it is started, asked and stopped. When to do that is the guardian's business. Never: a
//! value of this type dropped with its Postgres still running, or `pg_ctl`, whose server would be
//! nobody's child.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::binaries::Binaries;
use super::cluster::{self, NAME};
use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::{Layout, PORT};
use super::leash::Leash;
use super::pidfile;
use super::privilege::RunAs;
use super::process;
use super::sys::{self, Signal};
use super::wire;

const LOOK: Duration = Duration::from_millis(20);
/// A fast shutdown writes a checkpoint; after this long it is cut short and the next start
/// recovers.
const STOP_IN_ORDER: Duration = Duration::from_secs(30);
const STOP_AT_ONCE: Duration = Duration::from_secs(15);
/// How long one question may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
const LOG_BYTES_MAX: u64 = 16 << 20;

/// What every start needs and no start changes.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) config: &'a Config,
    pub(super) layout: &'a Layout,
    pub(super) run_as: RunAs,
    pub(super) binaries: Binaries,
    pub(super) socket_dir: PathBuf,
}

/// A running Postgres.
#[derive(Debug)]
pub(super) struct Server<'a> {
    site: &'a Site<'a>,
    child: Child,
    /// Where in the log this run begins.
    log_start: u64,
    ended: Option<ExitStatus>,
    /// Only where the kernel does not tie the child to us.
    leash: Option<Leash>,
}

impl<'a> Server<'a> {
    pub(super) fn spawn(site: &'a Site<'a>) -> Result<Self> {
        let path = site.layout.postgres_log();
        trim_log(&path);
        let mut log = site.layout.open_file(&path, true)?;
        let log_start = log.seek(SeekFrom::End(0));
        let log_start = log_start.map_err(EmbeddedError::io("read", &path))?;
        let program = site.binaries.program("postgres");
        let run = |error| EmbeddedError::io("run", &program)(error);
        let mut command = site.command(&program);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(run)?).stderr(log);
        let child = command.spawn().map_err(run)?;
        let mut server = Server { site, child, log_start, ended: None, leash: None };
        if !sys::PARENT_DEATH_SIGNAL {
            server.leash = Some(Leash::tie(server.pid())?);
        }
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let looked = self.child.try_wait();
            self.ended = looked.map_err(EmbeddedError::io("wait for", Path::new("postgres")))?;
            if self.ended.is_some() {
                self.leash = None;
            }
        }
        Ok(self.ended)
    }

    /// Whether a query has been answered.
    pub(super) fn is_ready(&self) -> bool {
        let data = self.site.layout.data();
        pidfile::says_ready(&data, self.pid()) && self.site.ask("select 1").is_ok()
    }

    /// What it wrote since it was started.
    pub(super) fn said(&self) -> String {
        process::tail(&self.site.layout.postgres_log(), self.log_start)
    }

    /// Whether it ended because the remains of an earlier one are not gone yet.
    pub(super) fn met_an_earlier_one(&self) -> bool {
        let said = self.said();
        said.contains("is still in use") || said.contains("already exists")
    }

    /// Ends it: in order, then at once, then by force. Returns when it is gone.
    pub(super) fn stop(&mut self) -> Result<()> {
        let steps = [
            (Signal::Interrupt, STOP_IN_ORDER),
            (Signal::Quit, STOP_AT_ONCE),
            (Signal::Kill, Duration::MAX),
        ];
        for (signal, patience) in steps {
            if self.exited()?.is_some() {
                break;
            }
            tracing::info!(pid = self.pid(), ?signal, "stopping Postgres");
            // It may have ended in between, and the next look shows it.
            let _ = sys::send(self.pid(), signal);
            let start = Instant::now();
            while self.exited()?.is_none() && start.elapsed() < patience {
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, pid = self.pid(), "Postgres could not be stopped");
        }
    }
}

impl Site<'_> {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-D").arg(self.layout.data());
        for (name, value) in self.settings() {
            let mut setting = OsString::from(format!("{name}="));
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        cluster::plain_environment(&mut command);
        command.current_dir(self.layout.root());
        // A Ctrl-C at the terminal is for the program; Postgres is stopped in order.
        command.process_group(0);
        self.run_as.apply(&mut command, Signal::Interrupt);
        command
    }

    /// What must hold whatever a file says, and last what the configuration adds.
    fn settings(&self) -> Vec<(&str, OsString)> {
        let path = |path: PathBuf| path.into_os_string();
        // A list of directories, so each is quoted.
        let socket_dir = self.socket_dir.to_string_lossy().replace('"', "\"\"");
        let mut settings = vec![
            ("config_file", path(self.layout.settings())),
            ("hba_file", path(self.layout.access())),
            ("ident_file", path(self.layout.identities())),
            ("listen_addresses", OsString::new()),
            ("unix_socket_directories", format!("\"{socket_dir}\"").into()),
            ("port", PORT.to_string().into()),
            ("fsync", "on".into()),
            ("full_page_writes", "on".into()),
        ];
        let more = self.config.settings.iter();
        settings.extend(more.map(|(name, value)| (name.as_str(), value.into())));
        settings
    }

    fn ask(&self, sql: &str) -> Result<Vec<String>> {
        wire::ask(&self.socket_dir, PORT, NAME, "postgres", sql, ANSWER)
    }

    /// Makes the program's own database if it is missing.
    pub(super) fn ensure_database(&self) -> Result<()> {
        let present = self.ask(&format!("select 1 from pg_database where datname = '{NAME}'"))?;
        if present.is_empty() {
            self.ask(&format!("create database {NAME}"))?;
        }
        Ok(())
    }
}

/// Keeps the log from growing for ever: the old text moves to a second file. Works while Postgres
/// writes, because it appends, so truncating is enough.
pub(super) fn trim_log(path: &Path) {
    let trim = || -> io::Result<()> {
        if fs::metadata(path)?.len() > LOG_BYTES_MAX {
            fs::copy(path, path.with_extension("log.1"))?;
            File::options().write(true).open(path)?.set_len(0)?;
        }
        Ok(())
    };
    match trim() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "the log could not be trimmed");
        }
        _ => {}
    }
}

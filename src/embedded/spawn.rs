//! How a guardian comes to be: a process of its own that outlives us, or a thread of this process.
//!
//! Both run the same function. Does not decide whether one is needed. Never: a guardian process
//! that shares our terminal, our session or our open files.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::guardian;
use super::layout::Layout;
use super::process;
use super::record::{Phase, Record};
use super::server::trim_log;
use super::sys;

/// Where the guardian runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardianMode {
    /// A process of its own: this program with these arguments, followed by those of
    /// [`Config::guard_arguments`]. It must call [`guard`](super::guard) with what
    /// [`Config::from_guard_arguments`] makes of the latter. Its output goes to `guardian.log`.
    Process {
        /// An absolute path, since it is started in `/`.
        program: PathBuf,
        /// What makes it a guardian, for example `db guard`.
        arguments: Vec<String>,
    },
    /// A thread of this process. Postgres then ends with this process, even while others use it;
    /// they start a guardian of their own.
    InProcess,
}

impl GuardianMode {
    /// A process of the running program, with these arguments before the configuration's.
    ///
    /// # Errors
    /// The system does not say what the running program is.
    pub fn this_program<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        // This link works even when the program's file was replaced by an upgrade meanwhile.
        let link = PathBuf::from("/proc/self/exe");
        let program = match link.exists() {
            true => link,
            false => std::env::current_exe()
                .map_err(EmbeddedError::io("find", Path::new("the running program")))?,
        };
        Ok(GuardianMode::Process {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
        })
    }
}

type Outcome = Arc<Mutex<Option<Result<()>>>>;

/// A guardian that this process has started.
#[derive(Debug)]
pub(super) struct Spawned {
    outcome: Outcome,
}

impl Spawned {
    pub(super) fn start(mode: &GuardianMode, config: &Config, layout: &Layout) -> Result<Self> {
        match mode {
            GuardianMode::Process { program, arguments } => {
                let (child, log_start) = start_process(program, arguments, config, layout)?;
                let layout = layout.clone();
                Spawned::on_thread(move || reap(child, &layout, log_start))
            }
            GuardianMode::InProcess => {
                let config = config.clone();
                Spawned::on_thread(move || guardian::run(&config))
            }
        }
    }

    fn on_thread(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let outcome = Outcome::default();
        let place = Arc::clone(&outcome);
        thread::Builder::new()
            .name("postgres-guardian".to_owned())
            .spawn(move || {
                let ended = work();
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
            })
            .map_err(EmbeddedError::io("start", Path::new("a thread")))?;
        Ok(Spawned { outcome })
    }

    /// How it ended, if it did; told once.
    pub(super) fn ended(&self) -> Option<Result<()>> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.take()
    }
}

fn start_process(
    program: &Path,
    arguments: &[String],
    config: &Config,
    layout: &Layout,
) -> Result<(Child, u64)> {
    let path = layout.guardian_log();
    trim_log(&path);
    let log = layout.open_file(&path, true)?;
    let log_start = log.metadata().map(|about| about.len()).unwrap_or_default();
    let run = |error| EmbeddedError::io("run", program)(error);
    let mut command = Command::new(program);
    // What `ps` shows, where the program may be only a link to itself.
    command.arg0("longhaul");
    command.args(arguments).args(config.guard_arguments());
    // Not in a directory that somebody may want to unmount or delete.
    command.current_dir("/").stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(run)?).stderr(log);
    sys::detach(&mut command);
    Ok((command.spawn().map_err(run)?, log_start))
}

/// Waits for the child, since nobody else would, and finds words for a bad end.
fn reap(mut child: Child, layout: &Layout, log_start: u64) -> Result<()> {
    let pid = child.id();
    let status = child.wait().map_err(EmbeddedError::io("wait for", Path::new("the guardian")))?;
    let last = Record::read(layout).filter(|record| record.guardian_pid == pid);
    match last {
        Some(record) if record.phase == Phase::Failed => {
            Err(EmbeddedError::Guardian { message: record.message })
        }
        _ if status.success() => Ok(()),
        _ => {
            layout.check_writable()?;
            let path = layout.guardian_log();
            let output = process::tail(&path, log_start);
            let path = path.display();
            Err(EmbeddedError::Guardian {
                message: format!(
                    "it ended with {status}; its last lines (from `{path}`):\n{output}"
                ),
            })
        }
    }
}

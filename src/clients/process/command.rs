//! What is to be run, and within which bounds; and why it could not be started.
//!
//! Knows nothing of processes that run.

use super::environment::Environment;
use super::leftovers::MARK;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program finds on its standard input.
#[derive(Debug)]
pub(super) enum Stdin {
    /// Nothing: end of file at once.
    Empty,
    /// These bytes, then end of file. A program that does not read them is no error.
    Bytes(Vec<u8>),
    /// An open file. Git gets the file that we hold locked, because the lock then lasts until git
    /// has ended, also when this process is killed in the midst of it.
    File(File),
}

/// A program to be run once.
#[derive(Debug)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) cwd: PathBuf,
    pub(super) env: Environment,
    pub(super) stdin: Stdin,
    pub(super) timeout: Duration,
    pub(super) grace: Duration,
    pub(super) output_limit_bytes: u64,
    pub(super) kept_bytes: usize,
    pub(super) is_gentle: bool,
    pub(super) mark: Option<PathBuf>,
}

impl Command {
    /// A program and its arguments, run without a shell in `cwd`. Without further calls: an empty
    /// environment, empty input, 10 minutes, 50 MB of output of which 4 MiB are kept.
    pub fn new(program: impl AsRef<OsStr>, cwd: impl AsRef<Path>) -> Self {
        Command {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            cwd: cwd.as_ref().to_owned(),
            env: Environment::default(),
            stdin: Stdin::Empty,
            timeout: Duration::from_secs(600),
            grace: Duration::from_secs(5),
            output_limit_bytes: 50_000_000,
            kept_bytes: 4 << 20,
            is_gentle: false,
            mark: None,
        }
    }

    /// A line for `sh -c`.
    pub fn shell(line: &str, cwd: impl AsRef<Path>) -> Self {
        Command::new("/bin/sh", cwd).args(["-c", line])
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// The whole environment; nothing is inherited besides.
    #[must_use]
    pub fn env(mut self, env: Environment) -> Self {
        self.env = env;
        self
    }

    /// Bytes for its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// A file as its standard input.
    #[must_use]
    pub fn stdin_file(mut self, file: File) -> Self {
        self.stdin = Stdin::File(file);
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long it has between SIGTERM and SIGKILL. Default 5 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How much it may print, in bytes, before it is ended.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit_bytes = bytes;
        self
    }

    /// How much of what it prints is kept, in bytes, half from its beginning.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        self.kept_bytes = bytes;
        self
    }

    /// Marks it, and all that it starts, as running for `directory`, so that `end_leftovers` finds
    /// them when this process is gone. Call it after `env`.
    #[must_use]
    pub fn marked(mut self, directory: &Path) -> Self {
        self.env = self.env.with(MARK, directory);
        self.mark = Some(directory.to_owned());
        self
    }

    /// Makes it end by SIGTERM when its future is dropped, and finish when this process is killed.
    /// For git, which takes its lock files with it when it is asked to go and cannot when it is not.
    #[must_use]
    pub fn gentle(mut self) -> Self {
        self.is_gentle = true;
        self
    }
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("the program `{program}` was not found; install it, give its full path, or mend PATH")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// It is there but must not be run.
    #[error(
        "the program `{program}` cannot be executed ({source}); check its mode (chmod +x) and its first line"
    )]
    NotExecutable {
        /// As it was asked for.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory that it should run in is not there.
    #[error("the directory {path} does not exist, so nothing can be run in it")]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Anything else that the system refused.
    #[error("the program `{program}` could not be run: {source}")]
    System {
        /// As it was asked for.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ProcessError {
    /// Sorts what the system said when `command` was to be started.
    pub(super) fn of_spawn(command: &Command, source: std::io::Error) -> Self {
        let program = command.program.to_string_lossy().into_owned();
        // The system says "not found" for the directory as well as for the program.
        if !command.cwd.is_dir() {
            return ProcessError::NoDirectory { path: command.cwd.clone() };
        }
        match source.kind() {
            std::io::ErrorKind::NotFound => ProcessError::NotFound { program },
            std::io::ErrorKind::PermissionDenied => ProcessError::NotExecutable { program, source },
            _ if source.raw_os_error() == Some(libc::ENOEXEC) => {
                ProcessError::NotExecutable { program, source }
            }
            _ => ProcessError::System { program, source },
        }
    }
}

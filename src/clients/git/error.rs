//! What can go wrong with git, in git's own words, with what to do about it.

use crate::clients::process::ProcessError;
use crate::workflow::failure::{ErrorKind, Failure};
use std::path::PathBuf;

/// Why something with git did not work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git itself is missing.
    #[error("git was not found; install git 2.38 or newer, or mend PATH")]
    Missing,
    /// Git is older than what we rely on.
    #[error(
        "git {found} is too old; install git 2.38 or newer (needed to merge without a worktree)"
    )]
    TooOld {
        /// Its version.
        found: String,
    },
    /// The path leads to no repository.
    #[error(
        "{path} is not a git repository ({words}); give the path of one, or make it one: `git init`, then commit"
    )]
    NotARepository {
        /// The path as it was given.
        path: PathBuf,
        /// What git, or the system, said.
        words: String,
    },
    /// The repository has no commit.
    #[error(
        "the repository {path} has no commit yet, so there is nothing to start from; commit something first"
    )]
    Empty {
        /// The repository.
        path: PathBuf,
    },
    /// No branch to start from can be told.
    #[error("{path}: {problem}; name the branch to start from with `--base`, one of: {branches}")]
    NoBase {
        /// The repository.
        path: PathBuf,
        /// Why not.
        problem: String,
        /// The branches there are.
        branches: String,
    },
    /// Git said no.
    #[error("`git {command}` failed in {place}: {words}")]
    Refused {
        /// The command and its arguments, shortened.
        command: String,
        /// The directory it worked on.
        place: PathBuf,
        /// What git said.
        words: String,
    },
    /// Git took too long.
    #[error(
        "`git {command}` did not end within {seconds} s in {place}; is the disk or the network very slow?"
    )]
    TimedOut {
        /// The command and its arguments, shortened.
        command: String,
        /// The directory it worked on.
        place: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// Git said more than we are ready to read.
    #[error(
        "`git {command}` printed over {limit_mb} MB in {place}; the change is too large to be judged"
    )]
    TooMuch {
        /// The command and its arguments, shortened.
        command: String,
        /// The directory it worked on.
        place: PathBuf,
        /// The limit.
        limit_mb: u64,
    },
    /// A lock is held for too long.
    #[error("{path} is locked by another process; look who holds it (`fuser {path}`)")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The wait for a lock was cut short.
    #[error("cancelled while waiting for {path}")]
    Cancelled {
        /// The lock file.
        path: PathBuf,
    },
    /// A commit that we made is nowhere to be found.
    #[error(
        "commit {commit} is neither in {mirror} nor in {source_path}; rewind to the stage that made it"
    )]
    CommitLost {
        /// The commit.
        commit: String,
        /// Our mirror.
        mirror: PathBuf,
        /// The user's repository.
        source_path: PathBuf,
    },
    /// The file system said no.
    #[error("{action} {path}: {source}")]
    Files {
        /// What was to be done, for example `cannot remove`.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program could not be run.
    #[error(transparent)]
    Process(ProcessError),
}

impl GitError {
    /// An error of the file system, for `map_err`.
    pub(super) fn files(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> GitError {
        let path = path.into();
        move |source| GitError::Files { action, path, source }
    }

    /// What git said, if it was git that said no.
    pub fn words(&self) -> Option<&str> {
        match self {
            GitError::Refused { words, .. } | GitError::NotARepository { words, .. } => Some(words),
            GitError::Missing
            | GitError::TooOld { .. }
            | GitError::Empty { .. }
            | GitError::NoBase { .. }
            | GitError::TimedOut { .. }
            | GitError::TooMuch { .. }
            | GitError::Busy { .. }
            | GitError::Cancelled { .. }
            | GitError::CommitLost { .. }
            | GitError::Files { .. }
            | GitError::Process(_) => None,
        }
    }

    /// Whether git says that objects are missing or cannot be read.
    pub(super) fn is_damage(&self) -> bool {
        const SIGNS: [&str; 7] = [
            "unable to read",
            "bad object",
            "corrupt",
            "missing blob",
            "not a valid object",
            "could not read",
            "failed to read object",
        ];
        self.words().is_some_and(|words| SIGNS.iter().any(|sign| words.contains(sign)))
    }

    fn kind(&self) -> ErrorKind {
        match self {
            GitError::Missing
            | GitError::TooOld { .. }
            | GitError::NotARepository { .. }
            | GitError::Empty { .. }
            | GitError::NoBase { .. }
            | GitError::TooMuch { .. }
            | GitError::CommitLost { .. } => ErrorKind::Permanent,
            GitError::Cancelled { .. } => ErrorKind::Interrupted,
            // We have waited for it. In a repository of the user only the user can know whether the
            // git that made the lock is still at work; git's words say which file it is.
            GitError::Refused { words, .. } if words.contains(".lock': File exists") => {
                ErrorKind::NeedsPerson
            }
            GitError::TimedOut { .. } => ErrorKind::Timeout,
            // A full disk, a lock of the user's own git, a directory that is being written: all of
            // them may pass, and the next attempt begins by setting things right.
            GitError::Refused { .. }
            | GitError::Busy { .. }
            | GitError::Files { .. }
            | GitError::Process(_) => ErrorKind::Transient,
        }
    }
}

impl From<ProcessError> for GitError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::NotFound { .. } => GitError::Missing,
            ProcessError::NotExecutable { .. }
            | ProcessError::NoDirectory { .. }
            | ProcessError::System { .. } => GitError::Process(error),
        }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Failure::new(error.kind(), error.to_string())
    }
}

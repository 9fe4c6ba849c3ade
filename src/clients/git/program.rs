//! One call of the `git` program.
//!
//! Every call says which repository, worktree and index it means, so that nothing an agent left in a
//! directory decides it; hooks, helpers and the configuration of the machine are off.

use super::error::GitError;
use super::lock::Lock;
use super::output::{Output, lock_file_in};
use crate::clients::process::{Captured, Command, Ended, Environment, capture};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Switched on or off for every call. `hooksPath` and `fsmonitor` would run programs, `gc` and
/// `maintenance` would go on in the background, `fsync` makes a commit outlive a power cut.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.fsync=committed,reference",
    "core.fsyncMethod=batch",
    "commit.gpgsign=false",
    "tag.gpgsign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "safe.directory=*",
    "submodule.recurse=false",
    "advice.addEmbeddedRepo=false",
];

/// Only for repositories that are ours: what the user set up for theirs does not apply.
const OWN_SETTINGS: &[&str] = &[
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.autocrlf=false",
    "core.safecrlf=false",
];

/// What git runs on the other side of a fetch between repositories of this machine: they may belong
/// to different users, and what is fetched may be on no branch.
pub const UPLOAD_PACK: &str =
    "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack";

/// Who our commits are by.
const NAME: &str = "Longhaul";
const EMAIL: &str = "longhaul@localhost";

/// How often a call is tried again that met a lock file.
const LOCK_TRIES: u32 = 60;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A repository as one or more calls see it.
#[derive(Clone, Debug)]
pub struct Git<'l> {
    git_dir: Option<PathBuf>,
    cwd: PathBuf,
    work_tree: Option<PathBuf>,
    index: Option<PathBuf>,
    excludes: Option<PathBuf>,
    lock: Option<&'l Lock>,
    is_own: bool,
    lock_tries: u32,
    timeout: Duration,
}

impl<'l> Git<'l> {
    /// A repository of ours by its git directory.
    pub fn own(git_dir: &Path) -> Git<'static> {
        Git { git_dir: Some(git_dir.to_owned()), is_own: true, ..Git::here(git_dir) }
    }

    /// A call of ours that is about no repository yet.
    pub(super) fn own_here(directory: &Path) -> Git<'static> {
        Git { is_own: true, ..Git::here(directory) }
    }

    /// The user's repository by its git directory; their configuration applies, their hooks do not.
    pub fn of_user(git_dir: &Path) -> Git<'static> {
        Git { git_dir: Some(git_dir.to_owned()), ..Git::here(git_dir) }
    }

    /// Whatever repository `directory` belongs to, if any.
    pub fn here(directory: &Path) -> Git<'static> {
        Git {
            git_dir: None,
            cwd: directory.to_owned(),
            work_tree: None,
            index: None,
            excludes: None,
            lock: None,
            is_own: false,
            lock_tries: LOCK_TRIES,
            timeout: Duration::from_secs(1_800),
        }
    }

    /// With a worktree and an index of its own.
    #[must_use]
    pub fn with_tree(mut self, work_tree: &Path, index: &Path) -> Self {
        self.cwd = work_tree.to_owned();
        self.work_tree = Some(work_tree.to_owned());
        self.index = Some(index.to_owned());
        self
    }

    /// With a file of patterns that are ignored besides those of the repository.
    #[must_use]
    pub(super) fn excluding(mut self, patterns: &Path) -> Self {
        self.excludes = Some(patterns.to_owned());
        self
    }

    /// Under a lock that no other process can hold meanwhile: a lock file that git finds in its way
    /// is then a dead one, and is removed.
    #[must_use]
    pub fn under<'m>(self, lock: &'m Lock) -> Git<'m> {
        Git { lock: Some(lock), ..self }
    }

    /// Gives up on lock files at once.
    #[cfg(test)]
    pub(super) fn impatient(self) -> Self {
        Git { lock_tries: 0, ..self }
    }

    /// Runs a call that must succeed.
    pub async fn run<S: AsRef<str>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output, GitError> {
        self.run_with(args, None).await
    }

    /// The same with input.
    pub async fn run_with<S: AsRef<str>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: Option<&[u8]>,
    ) -> Result<Output, GitError> {
        let args: Vec<String> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.ask(&args, input).await?;
        if output.code == 0 { Ok(output) } else { Err(self.refused(&args, &output)) }
    }

    /// The trimmed output of a call that must succeed.
    pub async fn text<S: AsRef<str>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String, GitError> {
        Ok(self.run(args).await?.text())
    }

    /// Whether a call that answers with its exit code says yes; 1 is no, anything else an error.
    pub async fn is_so<S: AsRef<str>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Result<bool, GitError> {
        let args: Vec<String> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.ask(&args, None).await?;
        match output.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(self.refused(&args, &output)),
        }
    }

    /// Runs a call; any exit code is an answer. Waits while another git holds a lock file.
    pub async fn ask(&self, args: &[String], input: Option<&[u8]>) -> Result<Output, GitError> {
        let mut tries = 0;
        loop {
            let output = self.call(args, input).await?;
            let in_the_way = lock_file_in(&output.stderr);
            let in_the_way = in_the_way.filter(|_| output.code != 0 && tries < self.lock_tries);
            let Some(path) = in_the_way else { return Ok(output) };
            tries += 1;
            if self.lock.is_some() {
                tracing::info!(path = %path.display(), "removing a lock file of a git that has died");
                // Somebody may have been quicker; the next try shows whether it is gone.
                let _ = std::fs::remove_file(&path);
            } else {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
        }
    }

    async fn call(&self, args: &[String], input: Option<&[u8]>) -> Result<Output, GitError> {
        let command = self.command(args, input)?;
        let captured = capture(command).await?;
        match captured {
            Captured { code: Some(code), ended_by: Ended::Itself, stdout, stderr } => {
                Ok(Output { code, stdout, stderr })
            }
            Captured { ended_by: Ended::Timeout, .. } => Err(GitError::TimedOut {
                command: shorten(args),
                place: self.cwd.clone(),
                seconds: self.timeout.as_secs(),
            }),
            Captured { ended_by: Ended::OutputLimit, .. } => Err(GitError::TooMuch {
                command: shorten(args),
                place: self.cwd.clone(),
                limit_mb: OUTPUT_BYTES_MAX / 1_000_000,
            }),
            Captured { ended_by: Ended::Itself | Ended::Cancelled, stderr, .. } => {
                let words = format!("it was ended by a signal {stderr}").trim_end().to_owned();
                Err(GitError::Refused { command: shorten(args), place: self.cwd.clone(), words })
            }
        }
    }

    fn command(&self, args: &[String], input: Option<&[u8]>) -> Result<Command, GitError> {
        let own: &[&str] = if self.is_own { OWN_SETTINGS } else { &[] };
        let settings = SETTINGS.iter().chain(own).flat_map(|setting| ["-c", *setting]);
        let mut command = Command::new("git", &self.cwd).args(settings);
        if let Some(excludes) = &self.excludes {
            let setting = format!("core.excludesFile={}", excludes.display());
            command = command.args(["-c", &setting]);
        }
        if let Some(git_dir) = &self.git_dir {
            command = command.args([Path::new("--git-dir"), git_dir]);
        }
        if let Some(work_tree) = &self.work_tree {
            command = command.args([Path::new("--work-tree"), work_tree]);
        }
        command = match (input, self.lock) {
            (Some(bytes), _) => command.stdin(bytes),
            (None, Some(lock)) => command.stdin_file(lock.share()?),
            (None, None) => command,
        };
        let limited = command.args(args).timeout(self.timeout).output_limit(OUTPUT_BYTES_MAX);
        Ok(limited.env(self.environment()).gentle())
    }

    fn environment(&self) -> Environment {
        let mut env = Environment::harmless(&[])
            .with("LC_ALL", "C")
            .with("GIT_TERMINAL_PROMPT", "0")
            .with("GIT_OPTIONAL_LOCKS", "0")
            .with("GIT_NO_REPLACE_OBJECTS", "1")
            .with("GIT_AUTHOR_NAME", NAME)
            .with("GIT_AUTHOR_EMAIL", EMAIL)
            .with("GIT_COMMITTER_NAME", NAME)
            .with("GIT_COMMITTER_EMAIL", EMAIL);
        if self.is_own {
            env = env
                .with("GIT_CONFIG_NOSYSTEM", "1")
                .with("GIT_CONFIG_GLOBAL", "/dev/null")
                .with("GIT_ATTR_NOSYSTEM", "1")
                .with("GIT_DEFAULT_REF_FORMAT", "files");
        }
        match &self.index {
            Some(index) => env.with("GIT_INDEX_FILE", index),
            None => env,
        }
    }

    fn refused(&self, args: &[String], output: &Output) -> GitError {
        let mut words = output.stderr.trim().to_owned();
        if words.is_empty() {
            words = format!("{} (exit code {})", output.text(), output.code);
        }
        let place = self.work_tree.as_ref().or(self.git_dir.as_ref()).unwrap_or(&self.cwd);
        GitError::Refused { command: shorten(args), place: place.clone(), words }
    }
}

/// What one call may print.
const OUTPUT_BYTES_MAX: u64 = 64_000_000;

fn shorten(args: &[String]) -> String {
    let line = args.join(" ");
    match line.char_indices().nth(120) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}

//! Our bare copy of a user's repository, one per repository and machine.
//!
//! Branches and tags are the user's; `refs/longhaul/` is ours: where each execution started, and its
//! newest commit. References change only under the mirror's lock; objects may be added at any time.
//! A mirror that git cannot use any more is made anew, and what is ours in it is saved if possible.

use super::commit::{self, EngineCommit};
use super::error::GitError;
use super::lock::Lock;
use super::program::{Git, UPLOAD_PACK};
use super::refs::{Expected, move_ref};
use super::remove::remove_tree;
use super::source::Source;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Our copy of a repository.
#[derive(Clone, Debug)]
pub struct Mirror {
    dir: PathBuf,
    lock_path: PathBuf,
    source: Source,
    cancelled: CancellationToken,
}

impl Mirror {
    /// The mirror of `source` under the directory `repositories`; made if it is not there or broken.
    pub async fn open(
        repositories: &Path,
        source: &Source,
        cancelled: &CancellationToken,
    ) -> Result<Mirror, GitError> {
        let mirror = Mirror {
            dir: repositories.join(format!("{}.git", source.key())),
            lock_path: repositories.join(format!("{}.lock", source.key())),
            source: source.clone(),
            cancelled: cancelled.clone(),
        };
        if !mirror.is_sound().await {
            let lock = mirror.lock().await?;
            // Whoever held the lock before us may have made it.
            if !mirror.is_sound().await {
                mirror.replace(&lock).await?;
            }
        }
        Ok(mirror)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The repository that it is a copy of.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Calls that read it or add objects.
    pub fn git(&self) -> Git<'static> {
        Git::own(&self.dir)
    }

    /// The right to change its references, waited for.
    pub async fn lock(&self) -> Result<Lock, GitError> {
        Lock::take(&self.lock_path, &self.cancelled).await
    }

    async fn is_sound(&self) -> bool {
        let asked = ["rev-parse", "--is-bare-repository"];
        self.dir.is_dir() && self.git().text(asked).await.is_ok_and(|said| said == "true")
    }

    /// Fetches the user's branches and tags. A mirror that cannot take them is replaced.
    pub async fn refresh(&self) -> Result<(), GitError> {
        let lock = self.lock().await?;
        let (heads, tags) = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*");
        let Err(error) = self.fetch(&lock, &["--prune", "--no-tags"], &[heads, tags]).await else {
            return Ok(());
        };
        tracing::warn!(%error, mirror = %self.dir.display(), "the mirror cannot be used; making it anew");
        self.replace(&lock).await.map_err(|_| error)
    }

    async fn fetch(&self, lock: &Lock, options: &[&str], refs: &[&str]) -> Result<(), GitError> {
        let source = self.source.git_dir.to_string_lossy();
        let fixed = ["fetch", "--quiet", "--no-write-fetch-head", "--update-shallow"];
        let from = ["--upload-pack", UPLOAD_PACK, &source];
        let args = fixed.iter().chain(options).chain(&from).chain(refs);
        self.git().under(lock).run(args).await.map(drop)
    }

    /// Makes sure that `commit` is here.
    pub async fn need(&self, commit: &str) -> Result<(), GitError> {
        if self.has(commit).await? {
            return Ok(());
        }
        self.refresh().await?;
        if !self.has(commit).await? {
            let lock = self.lock().await?;
            // It may hang on a reference that we do not copy; if not, it is lost.
            let _ = self.fetch(&lock, &["--no-tags"], &[commit]).await;
        }
        let lost = || GitError::CommitLost {
            commit: commit.to_owned(),
            mirror: self.dir.clone(),
            source_path: self.source.path().to_owned(),
        };
        if self.has(commit).await? { Ok(()) } else { Err(lost()) }
    }

    /// Whether `commit` is here, with its tree.
    pub async fn has(&self, commit: &str) -> Result<bool, GitError> {
        let asked = ["cat-file", "-e", &format!("{commit}^{{tree}}")].map(str::to_owned);
        Ok(self.git().ask(&asked, None).await?.code == 0)
    }

    /// The tree of a commit.
    pub async fn tree_of(&self, commit: &str) -> Result<String, GitError> {
        self.git().text(["rev-parse", "--verify", &format!("{commit}^{{tree}}")]).await
    }

    /// Makes it anew: into a directory beside it first, so that a crash leaves no half of it.
    pub async fn rebuild(&self) -> Result<(), GitError> {
        let lock = self.lock().await?;
        self.replace(&lock).await
    }

    async fn replace(&self, lock: &Lock) -> Result<(), GitError> {
        let (new, old) =
            (self.dir.with_extension("git.new"), self.dir.with_extension("git.damaged"));
        remove_tree(&new).await?;
        self.clone_to(&new, lock).await?;
        if self.dir.exists() {
            save_ours(&self.dir, &new, lock).await;
            remove_tree(&old).await?;
            std::fs::rename(&self.dir, &old).map_err(GitError::files("cannot move", &self.dir))?;
        }
        std::fs::rename(&new, &self.dir).map_err(GitError::files("cannot create", &self.dir))
    }

    async fn clone_to(&self, new: &Path, lock: &Lock) -> Result<(), GitError> {
        let parent = new.parent().unwrap_or(Path::new("/"));
        let (from, to) = (self.source.git_dir.to_string_lossy(), new.to_string_lossy());
        let git = Git::own_here(parent).under(lock);
        let call =
            |way| ["clone", "--quiet", "--bare", way, "--template=", "-u", UPLOAD_PACK, &from, &to];
        // Hard links are quick, but not possible across file systems or with unusual object stores.
        if git.run(call("--local")).await.is_err() {
            remove_tree(new).await?;
            git.run(call("--no-local")).await?;
        }
        let config = new.join("config");
        std::fs::write(&config, self.config()).map_err(GitError::files("cannot write", &config))
    }

    /// The whole configuration: nothing of the user's, no remote to push to.
    fn config(&self) -> String {
        let core = "\tfilemode = true\n\tbare = true\n";
        match self.source.object_format.as_str() {
            "sha1" => format!("[core]\n\trepositoryformatversion = 0\n{core}"),
            other => format!(
                "[core]\n\trepositoryformatversion = 1\n{core}[extensions]\n\tobjectformat = {other}\n"
            ),
        }
    }

    /// Where the execution started: a branch and its commit then.
    pub async fn base_of(&self, execution: Uuid) -> Result<Option<(String, String)>, GitError> {
        let prefix = format!("refs/longhaul/base/{execution}/");
        let asked = ["for-each-ref", "--format=%(objectname) %(refname)", &prefix];
        let said = self.git().text(asked).await?;
        let found = said.lines().next().and_then(|line| line.split_once(' '));
        Ok(found.and_then(|(commit, name)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), commit.to_owned()))
        }))
    }

    /// Notes where the execution starts, once; returns what was noted first.
    pub async fn keep_base(
        &self,
        execution: Uuid,
        branch: &str,
        commit: &str,
    ) -> Result<(String, String), GitError> {
        let lock = self.lock().await?;
        if let Some(noted) = self.base_of(execution).await? {
            return Ok(noted);
        }
        let name = format!("refs/longhaul/base/{execution}/{branch}");
        move_ref(&self.git().under(&lock), &name, commit, Expected::Absent).await?;
        Ok((branch.to_owned(), commit.to_owned()))
    }

    /// Makes `commit` the newest commit of the execution.
    pub async fn keep_work(&self, execution: Uuid, commit: &str) -> Result<(), GitError> {
        let lock = self.lock().await?;
        let name = format!("refs/longhaul/heads/{execution}");
        move_ref(&self.git().under(&lock), &name, commit, Expected::Anything).await.map(drop)
    }

    /// Keeps the commit of an attempt that was not accepted; returns the reference to it.
    pub async fn keep_try(
        &self,
        execution: Uuid,
        stage: &str,
        attempt: u32,
        commit: &str,
    ) -> Result<String, GitError> {
        let lock = self.lock().await?;
        let name = format!("refs/longhaul/tries/{execution}/{stage}-{attempt}");
        move_ref(&self.git().under(&lock), &name, commit, Expected::Anything).await?;
        Ok(name)
    }

    /// The commits that were made for the execution, newest first.
    pub async fn work_of(&self, execution: Uuid) -> Result<Vec<EngineCommit>, GitError> {
        let name = format!("refs/longhaul/heads/{execution}");
        if self.git().reference(&name).await?.is_none() {
            return Ok(Vec::new());
        }
        commit::list(&self.git(), &name, execution).await
    }

    /// Writes a commit; no reference points to it yet.
    pub async fn commit(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
    ) -> Result<String, GitError> {
        let parents = parents.iter().flat_map(|parent| ["-p", *parent]);
        let args = ["commit-tree", tree].into_iter().chain(parents).chain(["-F", "-"]);
        Ok(self.git().run_with(args, Some(message.as_bytes())).await?.text())
    }
}

/// Copies what is ours from a damaged mirror, as far as it can still be read.
async fn save_ours(damaged: &Path, new: &Path, lock: &Lock) {
    let from = damaged.to_string_lossy();
    let git = Git::own(new).under(lock);
    let asked = ["for-each-ref", "--format=%(refname)", "refs/longhaul"];
    let names = Git::own(damaged).text(asked).await.unwrap_or_default();
    for name in names.lines() {
        let refspec = format!("+{name}:{name}");
        if let Err(error) = git.run(["fetch", "--quiet", "--no-tags", &from, &refspec]).await {
            tracing::warn!(%error, reference = name, "could not be saved from the damaged mirror");
        }
    }
}

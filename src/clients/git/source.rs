//! The user's repository: where it is, and which branch a change starts from.
//!
//! It may be bare, a clone with somebody's work in it, a linked worktree, or a directory somewhere
//! inside one. Nothing here writes to it.

use super::error::GitError;
use super::program::Git;
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A repository of the user.
#[derive(Clone, Debug)]
pub struct Source {
    /// The directory that holds objects and branches, canonical; its identity.
    pub git_dir: PathBuf,
    /// The worktree that was named, unless the repository is bare.
    pub work_tree: Option<PathBuf>,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// What the user should know, for example that a parent directory is used.
    pub notes: Vec<String>,
}

impl Source {
    /// Finds the repository that `path` leads to.
    pub async fn locate(path: &Path) -> Result<Source, GitError> {
        let not_one = |words: String| GitError::NotARepository { path: path.to_owned(), words };
        let canonical = path.canonicalize().map_err(|e| not_one(e.to_string()))?;
        if !canonical.is_dir() {
            return Err(not_one("it is not a directory".to_owned()));
        }
        let git = Git::here(&canonical);
        let asked =
            ["rev-parse", "--show-object-format", "--is-inside-work-tree", "--git-common-dir"];
        let said = git.text(asked).await.map_err(|e| match e.words() {
            Some(words) => not_one(words.to_owned()),
            None => e,
        })?;
        let [format, in_tree, dir] = lines(&said).ok_or_else(|| not_one(said.clone()))?;
        let git_dir = canonical.join(dir).canonicalize().map_err(|e| not_one(e.to_string()))?;
        let work_tree = match in_tree {
            "true" => Some(PathBuf::from(git.text(["rev-parse", "--show-toplevel"]).await?)),
            _ => None,
        };
        let parent = note_of_parent(&canonical, work_tree.as_deref());
        let notes = parent.into_iter().chain(note_of_owner(&git_dir)).collect();
        Ok(Source { git_dir, work_tree, object_format: format.to_owned(), notes })
    }

    /// Calls on it.
    pub fn git(&self) -> Git<'static> {
        Git::of_user(&self.git_dir)
    }

    /// The path that people know it by.
    pub fn path(&self) -> &Path {
        self.work_tree.as_deref().unwrap_or(&self.git_dir)
    }

    /// A name for files of ours that belong to it: the same for every path that leads to it.
    pub fn key(&self) -> String {
        let digest = Sha256::digest(self.git_dir.as_os_str().as_encoded_bytes());
        hex::encode(&digest[..12])
    }

    /// The branch to start from: the one that was asked for, else the repository's own.
    pub async fn base_branch(&self, asked: Option<&str>) -> Result<String, GitError> {
        let branches = self.branches().await?;
        if branches.is_empty() {
            return Err(GitError::Empty { path: self.path().to_owned() });
        }
        let (problem, wanted) = match asked {
            Some(name) => (format!("there is no branch `{name}`"), Some(name.to_owned())),
            None => self.own_branch().await?,
        };
        match (wanted.filter(|name| branches.contains(name)), branches.as_slice()) {
            (Some(name), _) => Ok(name),
            // A bare repository often names `master` while only `main` was ever pushed.
            (None, [only]) if asked.is_none() => Ok(only.clone()),
            (None, _) => Err(self.no_base(problem, &branches)),
        }
    }

    async fn own_branch(&self) -> Result<(String, Option<String>), GitError> {
        // A linked worktree has a branch of its own, so the question goes to the named directory.
        let git = self.work_tree.as_ref().map_or_else(|| self.git(), |tree| Git::here(tree));
        let asked = ["symbolic-ref", "--quiet", "--short", "HEAD"].map(str::to_owned);
        let output = git.ask(&asked, None).await?;
        if output.code != 0 {
            return Ok(("no branch is checked out (HEAD is detached)".to_owned(), None));
        }
        let name = output.text();
        Ok((format!("its branch `{name}` has no commit"), Some(name)))
    }

    async fn branches(&self) -> Result<Vec<String>, GitError> {
        let asked = ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"];
        Ok(self.git().text(asked).await?.lines().map(str::to_owned).collect())
    }

    fn no_base(&self, problem: String, branches: &[String]) -> GitError {
        let mut listed: Vec<&str> = branches.iter().take(10).map(String::as_str).collect();
        if branches.len() > listed.len() {
            listed.push("...");
        }
        let path = self.path().to_owned();
        GitError::NoBase { path, problem, branches: listed.join(", ") }
    }

    /// The commit that a branch points to now.
    pub async fn tip(&self, branch: &str) -> Result<String, GitError> {
        self.git().text(["rev-parse", "--verify", &format!("refs/heads/{branch}^{{commit}}")]).await
    }

    /// The worktree in which `branch` is checked out, if there is one.
    pub async fn checkout_of(&self, branch: &str) -> Result<Option<PathBuf>, GitError> {
        let listing = self.git().run(["worktree", "list", "--porcelain", "-z"]).await?;
        let wanted = format!("branch refs/heads/{branch}");
        let mut current = None;
        for line in listing.fields() {
            if let Some(path) = line.strip_prefix("worktree ") {
                current = Some(PathBuf::from(path));
            } else if line == wanted {
                return Ok(current);
            }
        }
        Ok(None)
    }

    /// A fingerprint of what the user has in their worktree; none for a bare repository. Changes
    /// when anything in it does that `git status` would show.
    pub async fn fingerprint(&self) -> Result<Option<String>, GitError> {
        let Some(work_tree) = &self.work_tree else { return Ok(None) };
        // Without the branch: another execution that merges into it is no change of the user's work.
        let asked = ["status", "--porcelain=v1", "-z"];
        let status = Git::here(work_tree).run(asked).await?;
        Ok(Some(hex::encode(Sha256::digest(&status.stdout))))
    }
}

fn lines<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.lines().collect::<Vec<_>>().try_into().ok()
}

fn note_of_parent(named: &Path, top: Option<&Path>) -> Option<String> {
    let top = top.filter(|top| *top != named)?;
    let (named, top) = (named.display(), top.display());
    Some(format!("{named} lies inside the repository {top}; the whole repository is used"))
}

fn note_of_owner(git_dir: &Path) -> Option<String> {
    let owner = std::fs::metadata(git_dir).ok()?.uid();
    // A file that we make tells who we are.
    let we = tempfile::tempfile().and_then(|file| file.metadata()).ok()?.uid();
    let said = format!(
        "the repository belongs to user {owner}, and what is added to it will belong to user {we}"
    );
    (owner != we).then(|| format!("{said}; run as its owner if that is not wanted"))
}

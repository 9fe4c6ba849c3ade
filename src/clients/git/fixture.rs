//! Repositories for tests: real ones, made by git, in directories that vanish.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A user's repository.
pub(crate) struct Repo {
    root: TempDir,
    dir: PathBuf,
}

impl Repo {
    /// A clone with the branch `main` checked out, and a first commit of the given files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Repo {
        let repo = Repo::empty();
        repo.commit(files);
        repo
    }

    /// A repository without a commit.
    pub(crate) fn empty() -> Repo {
        let root = tempfile::tempdir().expect("directory");
        let dir = root.path().join("repo");
        std::fs::create_dir(&dir).expect("directory");
        let repo = Repo { root, dir };
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    /// A bare copy of it, beside it.
    pub(crate) fn bare(&self) -> PathBuf {
        let bare = self.beside("bare.git");
        let to = bare.to_string_lossy();
        self.git(&["clone", "--quiet", "--bare", ".", &to]);
        bare
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// A directory beside it, for whatever a test needs.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes files and commits them; returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        self.write(files);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "by the user"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Writes files; a path that ends in `!` is made executable.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        write(&self.dir, files);
    }

    /// A file as it is on a branch.
    pub(crate) fn show(&self, branch: &str, path: &str) -> String {
        self.git(&["show", &format!("{branch}:{path}")])
    }

    /// The output of a git call in it, which must succeed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git_in(&self.dir, args)
    }
}

/// Writes files below `dir`.
pub(crate) fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(path, content).expect("written");
    }
}

/// The output of a git call in `dir`, which must succeed.
pub(crate) fn git_in(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["GIT_AUTHOR", "GIT_COMMITTER"] {
        command
            .env(format!("{who}_NAME"), "A User")
            .env(format!("{who}_EMAIL"), "user@example.com");
    }
    let output = command.output().expect("git");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {}: {words}", dir.display());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

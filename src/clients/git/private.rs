//! The `.git` of a worktree, made for the agent and the tests in it.
//!
//! A repository of its own that borrows the mirror's objects: history, the branch, the base and the
//! tags are there (version numbers are often made from them), a remote is not. It is written anew at
//! each checkout, and nothing in it is ever read back.

use super::error::GitError;
use super::mirror::Mirror;
use super::remove::remove_tree;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What a checkout shows.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The commit.
    pub commit: &'a str,
    /// What is in the directory: the commit itself, or a tree that is to become the next one.
    pub content: &'a str,
    /// The branch that is checked out.
    pub branch: &'a str,
    /// The branch it started from, and the commit there.
    pub base: (&'a str, &'a str),
}

/// Writes `.git` into the worktree `tree`.
pub(super) async fn prepare(
    tree: &Path,
    index: &Path,
    mirror: &Mirror,
    head: &Head<'_>,
) -> Result<(), GitError> {
    let git_dir = tree.join(".git");
    remove_tree(&git_dir).await?;
    let asked = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"];
    let tags = mirror.git().text(asked).await?;
    let files = [
        ("HEAD", format!("ref: refs/heads/{}\n", head.branch)),
        ("config", config(&mirror.source().object_format)),
        ("packed-refs", packed_refs(head, &tags)),
        ("objects/info/alternates", format!("{}\n", mirror.dir().join("objects").display())),
        ("info/exclude", String::new()),
    ];
    for dir in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
        let dir = git_dir.join(dir);
        fs::create_dir_all(&dir).map_err(GitError::files("cannot create", &dir))?;
    }
    for (name, content) in files {
        let path = git_dir.join(name);
        fs::write(&path, content).map_err(GitError::files("cannot write", &path))?;
    }
    copy(index, &git_dir.join("index"))?;
    copy(&mirror.dir().join("shallow"), &git_dir.join("shallow"))
}

fn copy(from: &Path, to: &Path) -> Result<(), GitError> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(GitError::files("cannot write", to)(error))
        }
        // A mirror is rarely shallow, and an empty commit may have no index.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn config(object_format: &str) -> String {
    let (version, extension) = match object_format {
        "sha1" => (0, String::new()),
        other => (1, format!("[extensions]\n\tobjectformat = {other}\n")),
    };
    format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n{extension}\
         [user]\n\tname = Longhaul\n\temail = longhaul@localhost\n[commit]\n\tgpgsign = false\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
}

fn packed_refs(head: &Head<'_>, tags: &str) -> String {
    let (base, base_commit) = head.base;
    let mut text = format!("{} refs/heads/{}\n", head.commit, head.branch);
    if base != head.branch {
        let _ = writeln!(text, "{base_commit} refs/heads/{base}");
    }
    if !tags.is_empty() {
        let _ = writeln!(text, "{tags}");
    }
    text
}

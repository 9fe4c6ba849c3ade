//! Against the real git: users' repositories of every sort, and what agents and crashes leave.

mod mirror;
mod place;
mod source;

use super::fixture::{Repo, git_in};
use super::*;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A repository, its mirror, and a place to work in.
struct Bench {
    repo: Repo,
    home: TempDir,
    mirror: Mirror,
    place: Place,
    base: String,
}

const NEVER: fn() -> CancellationToken = CancellationToken::new;

async fn mirror_of(repo: &Repo, home: &TempDir) -> Mirror {
    let source = Source::locate(repo.path()).await.expect("source");
    Mirror::open(&home.path().join("repositories"), &source, &NEVER()).await.expect("mirror")
}

async fn bench() -> Bench {
    let repo =
        Repo::with(&[("a.txt", "one\n"), ("src/b.txt", "two\n"), (".gitignore", "cache/\n")]);
    let home = tempfile::tempdir().expect("home");
    let mirror = mirror_of(&repo, &home).await;
    let workspace = home.path().join("workspaces/x");
    let place = Place::enter(&workspace, "tree", &NEVER()).await.expect("place");
    let base = repo.git(&["rev-parse", "HEAD"]);
    let bench = Bench { repo, home, mirror, place, base };
    bench.checkout(&bench.base).await;
    bench
}

impl Bench {
    async fn checkout(&self, commit: &str) {
        let head =
            Head { commit, content: commit, branch: "longhaul/x", base: ("main", &self.base) };
        self.place.checkout(&self.mirror, &head).await.expect("checked out");
    }

    async fn capture(&self) -> String {
        self.place.capture(&self.mirror).await.expect("captured").expect("there")
    }

    fn tree(&self) -> PathBuf {
        self.place.dir().to_owned()
    }

    fn files(&self) -> String {
        git_in(&self.tree(), &["ls-files", "--others", "--cached", "--deduplicate"])
    }
}

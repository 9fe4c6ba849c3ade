//! The local forge against real repositories: said twice, done once; raced for; in the way of people.

use super::*;
use crate::clients::git::fixture::{Repo, git_in};
use crate::clients::git::{Head, Mirror, Place, Round, Source, branch_name, message};
use crate::workflow::failure::ErrorKind;
use serde_json::json;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A judge who notes what he was asked, and says what he was told to.
#[derive(Default)]
struct Bench {
    asked: Mutex<Vec<String>>,
    verdict: Option<Failure>,
}

#[async_trait]
impl Judge for Bench {
    async fn judge(&self, commit: &str) -> Result<(), Failure> {
        self.asked.lock().expect("lock").push(commit.to_owned());
        self.verdict.clone().map_or(Ok(()), Err)
    }
}

struct Court {
    home: TempDir,
    forge: Local,
    mirror: Mirror,
    base: String,
}

async fn court(path: &Path) -> Court {
    let home = tempfile::tempdir().expect("home");
    let source = Source::locate(path).await.expect("source");
    let never = CancellationToken::new();
    let mirror = Mirror::open(&home.path().join("r"), &source, &never).await.expect("mirror");
    let base = source.tip("main").await.expect("tip");
    Court { home, forge: Local::new(mirror.clone(), never), mirror, base }
}

impl Court {
    /// A commit of the execution `id` that writes one file.
    async fn work(&self, id: Uuid, file: &str, content: &str) -> String {
        let workspace = self.home.path().join(id.to_string());
        let place =
            Place::enter(&workspace, "tree", &CancellationToken::new()).await.expect("place");
        let head = Head {
            commit: &self.base,
            content: &self.base,
            branch: "x",
            base: ("main", &self.base),
        };
        place.checkout(&self.mirror, &head).await.expect("checked out");
        std::fs::write(place.dir().join(file), content).expect("written");
        let tree = place.capture(&self.mirror).await.expect("captured").expect("there");
        let round = Round { execution: id, stage: "code".to_owned(), branch: 1, repair_loop: 0 };
        let text = message("Work", "", &round, 1);
        self.mirror.commit(&tree, &[&self.base], &text).await.expect("committed")
    }

    async fn propose(&self, id: Uuid, head: &str) -> Result<ChangeRequest, Failure> {
        let branch = branch_name(id, "Work");
        let proposal =
            Proposal { execution: id, title: "Work", branch: &branch, base: "main", head };
        self.forge.propose(&proposal).await
    }

    async fn merge(
        &self,
        change: &ChangeRequest,
        id: Uuid,
        judge: &Bench,
    ) -> Result<Landing, Failure> {
        let patience = Duration::from_secs(60);
        self.forge.merge(&Merge { execution: id, title: "Work", change, patience }, judge).await
    }
}

fn landed(landing: Result<Landing, Failure>) -> (String, bool) {
    match landing {
        Ok(Landing::Landed { commit, was_before }) => (commit, was_before),
        other => panic!("{other:?}"),
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[tokio::test]
async fn proposing_and_merging_twice_is_once() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let bare = repo.bare();
    let court = court(&bare).await;
    assert_eq!(court.forge.find(id(1)).await, Ok(None));
    let head = court.work(id(1), "new.txt", "n\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    assert_eq!((change.number, change.head_sha.as_str()), (1, head.as_str()));
    assert!(change.url.starts_with("file://") && change.url.ends_with(&change.branch));
    assert_eq!(court.propose(id(1), &head).await, Ok(change.clone()));
    assert_eq!(court.forge.find(id(1)).await, Ok(Some(change.clone())));
    assert_eq!(git_in(&bare, &["rev-parse", &change.branch]), head);

    let judge = Bench::default();
    let (commit, was_before) = landed(court.merge(&change, id(1), &judge).await);
    assert!(!was_before && judge.asked.lock().expect("lock").is_empty());
    assert_eq!(landed(court.merge(&change, id(1), &judge).await), (commit.clone(), true));
    assert_eq!(git_in(&bare, &["rev-parse", "main"]), commit);
    assert_eq!(git_in(&bare, &["log", "--merges", "--format=%s", "main"]), "Merge #1: Work");
}

#[tokio::test]
async fn each_execution_has_one_change_which_may_be_updated() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let court = court(repo.path()).await;
    for (number, expected) in [(7, 1), (8, 2)] {
        let head = court.work(id(number), "new.txt", "n\n").await;
        assert_eq!(court.propose(id(number), &head).await.expect("proposed").number, expected);
    }
    let head = court.work(id(7), "new.txt", "better\n").await;
    let change = court.propose(id(7), &head).await.expect("proposed");
    assert_eq!((change.number, &change.head_sha), (1, &head));
    assert_eq!(repo.show(&change.branch, "new.txt"), "better");

    repo.git(&["checkout", "--quiet", &change.branch]);
    let newer = court.work(id(7), "new.txt", "even better\n").await;
    let held = court.propose(id(7), &newer).await.expect_err("checked out");
    assert!(
        held.kind == ErrorKind::NeedsPerson && held.message.contains("is checked out in"),
        "{held:?}"
    );
    repo.commit(&[("mine", "m")]);
    repo.git(&["checkout", "--quiet", "main"]);
    let theirs = court.propose(id(7), &newer).await.expect_err("not ours");
    assert!(
        theirs.kind == ErrorKind::NeedsPerson && theirs.message.contains("somebody else"),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn a_proposal_that_died_half_way_goes_on() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let court = court(repo.path()).await;
    let head = court.work(id(1), "new.txt", "n\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    for lost in
        ["refs/longhaul/changes/1/record", "refs/longhaul/changes/1/head", "refs/heads/BRANCH"]
    {
        repo.git(&["update-ref", "-d", &lost.replace("BRANCH", &change.branch)]);
        assert_eq!(court.propose(id(1), &head).await, Ok(change.clone()), "{lost}");
    }
    // Its number was given to somebody else between the two steps.
    let record =
        json!({"number": 1, "execution": id(2), "branch": "b", "base": "main", "title": "t"});
    let file = repo.beside("record");
    std::fs::write(&file, record.to_string()).expect("written");
    let blob = repo.git(&["hash-object", "-w", &file.to_string_lossy()]);
    repo.git(&["update-ref", &format!("refs/longhaul/executions/{}", id(2)), &blob]);
    let head = court.work(id(2), "new.txt", "n\n").await;
    assert_eq!(court.propose(id(2), &head).await.expect("proposed").number, 2);
    let names = repo.git(&["for-each-ref", "--format=%(refname)", "refs/longhaul/changes"]);
    assert_eq!(names.lines().filter(|name| name.ends_with("record")).count(), 2);
}

#[tokio::test]
async fn a_base_that_moved_on_is_judged_before_it_moves() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let bare = repo.bare();
    let court = court(&bare).await;
    let head = court.work(id(1), "new.txt", "n\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    repo.commit(&[("meanwhile.txt", "m\n")]);
    repo.git(&["push", "--quiet", &bare.to_string_lossy(), "main"]);
    let tip = git_in(&bare, &["rev-parse", "main"]);

    let verdict = Some(Failure::new(ErrorKind::Rejected, "red"));
    let strict = Bench { verdict, ..Bench::default() };
    let error = court.merge(&change, id(1), &strict).await.expect_err("judged");
    assert_eq!(
        (error.message.as_str(), git_in(&bare, &["rev-parse", "main"])),
        ("red", tip.clone())
    );

    let kind = Bench::default();
    let (commit, _) = landed(court.merge(&change, id(1), &kind).await);
    assert_eq!(*kind.asked.lock().expect("lock"), std::slice::from_ref(&commit));
    assert_eq!(git_in(&bare, &["rev-parse", "main^1", "main^2"]), format!("{tip}\n{head}"));
}

#[tokio::test]
async fn a_conflict_names_the_files_and_moves_nothing() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let court = court(repo.path()).await;
    let head = court.work(id(1), "a.txt", "ours\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    let tip = repo.commit(&[("a.txt", "theirs\n")]);
    let error = court.merge(&change, id(1), &Bench::default()).await.expect_err("conflict");
    assert_eq!(error.kind, ErrorKind::Rejected);
    assert_eq!(error.detail["merge"]["files"][0], "a.txt");
    assert_eq!(error.detail["merge"]["base_commit"], tip.as_str());
    assert_eq!(repo.git(&["rev-parse", "main"]), tip);
}

#[tokio::test]
async fn a_checked_out_base_moves_with_its_files_or_not_at_all() {
    let repo = Repo::with(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
    let court = court(repo.path()).await;
    let head = court.work(id(1), "a.txt", "agent\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    repo.write(&[("a.txt", "the user's\n")]);
    let error = court.merge(&change, id(1), &Bench::default()).await.expect_err("in the way");
    assert_eq!(error.kind, ErrorKind::NeedsPerson);
    assert!(
        error.message.contains("a.txt") && error.message.contains("commit or stash"),
        "{error:?}"
    );
    assert_eq!(repo.git(&["rev-parse", "main"]), court.base);

    repo.git(&["checkout", "--quiet", "a.txt"]);
    repo.write(&[("b.txt", "the user's\n")]);
    let (commit, _) = landed(court.merge(&change, id(1), &Bench::default()).await);
    assert_eq!(repo.git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(repo.git(&["status", "--porcelain"]), "M b.txt");
    assert_eq!(std::fs::read_to_string(repo.path().join("a.txt")).expect("read"), "agent\n");
}

#[tokio::test]
async fn hooks_of_the_user_are_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let ran = repo.beside("ran");
    for hook in ["post-merge", "reference-transaction", "pre-receive", "update", "post-checkout"] {
        let path = repo.path().join(".git/hooks").join(hook);
        std::fs::write(&path, format!("#!/bin/sh\ntouch {}\n", ran.display())).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let court = court(repo.path()).await;
    let head = court.work(id(1), "a.txt", "agent\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    landed(court.merge(&change, id(1), &Bench::default()).await);
    assert!(!ran.exists());
}

#[tokio::test]
async fn others_who_merge_are_waited_for() {
    let repo = Repo::with(&[("a.txt", "a\n")]);
    let court = court(repo.path()).await;
    let head = court.work(id(1), "a.txt", "agent\n").await;
    let change = court.propose(id(1), &head).await.expect("proposed");
    let path = court.mirror.dir().with_extension("merge.lock");
    let held =
        crate::clients::git::Lock::take(&path, &CancellationToken::new()).await.expect("taken");
    let merge =
        Merge { execution: id(1), title: "Work", change: &change, patience: Duration::ZERO };
    assert_eq!(court.forge.merge(&merge, &Bench::default()).await, Ok(Landing::Busy));
    drop(held);
    landed(court.merge(&change, id(1), &Bench::default()).await);
}

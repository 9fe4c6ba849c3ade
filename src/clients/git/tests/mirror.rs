//! Mirrors: commits, references, merges, damage, crowds.

use super::*;
use crate::clients::git::fixture::write;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

#[tokio::test]
async fn commits_are_found_again_by_their_round() {
    let bench = bench().await;
    let execution = Uuid::from_u128(1);
    let round =
        |branch, repair_loop| Round { execution, stage: "code".to_owned(), branch, repair_loop };
    let mut parent = bench.base.clone();
    for (branch, repair_loop) in [(1, 0), (1, 1), (2, 0)] {
        write(&bench.tree(), &[("a.txt", &format!("{branch}{repair_loop}\n"))]);
        let tree = bench.capture().await;
        let text = message("Title", "Body", &round(branch, repair_loop), 4);
        parent = bench.mirror.commit(&tree, &[&parent], &text).await.expect("committed");
        bench.mirror.keep_work(execution, &parent).await.expect("kept");
    }
    let work = bench.mirror.work_of(execution).await.expect("listed");
    assert_eq!(work.len(), 3, "the user's commits are not ours");
    assert_eq!(work[0].id, parent);
    assert!(work[0].is_of(&round(2, 0)) && work[1].is_of(&round(1, 1)));
    assert!(!work[0].is_of(&round(2, 1)) && work[2].is_on_branch(1));
    assert!(bench.mirror.work_of(Uuid::from_u128(2)).await.expect("listed").is_empty());
    let stat = bench.mirror.diff_stat(&bench.base, &parent).await.expect("stat");
    assert_eq!(stat, DiffStat { files: 1, insertions: 1, deletions: 1, binary_files: 0 });
}

#[tokio::test]
async fn the_base_is_noted_once() {
    let bench = bench().await;
    let id = Uuid::from_u128(1);
    let newer = bench.repo.commit(&[("c", "c")]);
    bench.mirror.refresh().await.expect("fetched");
    let noted = bench.mirror.keep_base(id, "main", &bench.base).await.expect("noted");
    assert_eq!(bench.mirror.keep_base(id, "other/name", &newer).await.expect("noted"), noted);
    assert_eq!(
        bench.mirror.base_of(id).await.expect("read"),
        Some(("main".to_owned(), bench.base.clone()))
    );
    assert_eq!(bench.mirror.base_of(Uuid::from_u128(2)).await.expect("read"), None);
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_and_keeps_our_commits() {
    let bench = bench().await;
    let execution = Uuid::from_u128(1);
    write(&bench.tree(), &[("a.txt", "work\n")]);
    let tree = bench.capture().await;
    let work = bench.mirror.commit(&tree, &[&bench.base], "m").await.expect("committed");
    bench.mirror.keep_work(execution, &work).await.expect("kept");
    std::fs::remove_file(bench.mirror.dir().join("HEAD")).expect("removed");
    std::fs::write(bench.mirror.dir().with_extension("git.new"), "half a clone").expect("written");
    let again = mirror_of(&bench.repo, &bench.home).await;
    assert!(again.has(&bench.base).await.expect("asked"));
    // Without HEAD git does not even read the old one; its objects are still beside it.
    assert!(bench.mirror.dir().with_extension("git.damaged").exists());

    let newer = bench.repo.commit(&[("c", "c")]);
    again.keep_work(execution, &bench.base).await.expect("kept");
    let object = format!("objects/{}/{}", &newer[..2], &newer[2..]);
    again.refresh().await.expect("fetched");
    let path = again.dir().join(object);
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, "").expect("written");
    bench.checkout(&newer).await;
    assert!(bench.tree().join("c").exists());
    let kept = again.git().reference(&format!("refs/longhaul/heads/{execution}")).await;
    assert_eq!(kept.expect("read"), Some(bench.base.clone()));
}

#[tokio::test]
async fn merges_need_no_worktree() {
    let bench = bench().await;
    let ours = bench.repo.commit(&[("new.txt", "n\n"), ("a.txt", "ours\n")]);
    bench.repo.git(&["checkout", "--quiet", "-b", "side", &bench.base]);
    let fine = bench.repo.commit(&[("other.txt", "o\n")]);
    let clash = bench.repo.commit(&[("a.txt", "theirs\n")]);
    bench.mirror.refresh().await.expect("fetched");
    let clean = merge_trees(&bench.mirror, &ours, &fine).await.expect("merged");
    let Merged::Clean { tree } = clean else { panic!("{clean:?}") };
    let listed = git_in(bench.mirror.dir(), &["ls-tree", "-r", "--name-only", &tree]);
    assert_eq!(listed, ".gitignore\na.txt\nnew.txt\nother.txt\nsrc/b.txt");
    let conflict = merge_trees(&bench.mirror, &ours, &clash).await.expect("merged");
    let Merged::Conflict { files, tree } = conflict else { panic!("no conflict") };
    assert_eq!(files, ["a.txt"]);
    let text = git_in(bench.mirror.dir(), &["show", &format!("{tree}:a.txt")]);
    assert!(text.contains("<<<<<<<") && text.contains("ours") && text.contains("theirs"));
}

#[tokio::test]
async fn references_move_by_compare_and_swap() {
    let bench = bench().await;
    let git = bench.repo.git(&["rev-parse", "--absolute-git-dir"]);
    let git = Git::of_user(std::path::Path::new(&git));
    let newer = bench.repo.commit(&[("c", "c")]);
    let name = "refs/longhaul/x";
    let cases = [
        (Expected::At(&bench.base), false),
        (Expected::Absent, true),
        (Expected::Absent, false),
        (Expected::At(&bench.base), false),
        (Expected::At(&newer), true),
        (Expected::Anything, true),
    ];
    for (expected, is_moved) in cases {
        let moved = move_ref(&git, name, &newer, expected).await.expect("asked");
        assert_eq!(moved, is_moved, "{expected:?}");
    }
}

#[tokio::test]
async fn a_lock_that_we_left_when_we_died_is_removed_and_no_other() {
    let bench = bench().await;
    let round =
        Round { execution: Uuid::nil(), stage: "code".to_owned(), branch: 1, repair_loop: 0 };
    let text = message("Title", "", &round, 1);
    let tree = bench.capture().await;
    let ours = bench.mirror.commit(&tree, &[&bench.base], &text).await.expect("committed");
    let git = bench.mirror.git().impatient();
    let lock = bench.mirror.dir().join("refs/longhaul/x.lock");
    std::fs::create_dir_all(lock.parent().expect("parent")).expect("made");
    for (content, is_dead) in [(ours.as_str(), true), (&bench.base, false), ("", false)] {
        std::fs::write(&lock, format!("{content}\n")).expect("written");
        let moved = move_ref(&git, "refs/longhaul/x", &tree, Expected::Anything).await;
        assert_eq!(moved.is_ok(), is_dead, "{content}: {moved:?}");
        assert_ne!(lock.exists(), is_dead);
    }
}

#[tokio::test]
async fn a_sha256_repository_works_too() {
    let dir = tempfile::tempdir().expect("directory");
    let init = ["init", "--quiet", "--object-format=sha256", "--initial-branch=main"];
    git_in(dir.path(), &init);
    write(dir.path(), &[("a.txt", "a")]);
    git_in(dir.path(), &["add", "--all"]);
    git_in(dir.path(), &["commit", "--quiet", "-m", "a"]);
    let base = git_in(dir.path(), &["rev-parse", "HEAD"]);
    let source = Source::locate(dir.path()).await.expect("source");
    let home = tempfile::tempdir().expect("home");
    let mirror = Mirror::open(home.path(), &source, &NEVER()).await.expect("mirror");
    mirror.refresh().await.expect("fetched");
    let place = Place::enter(&home.path().join("w"), "tree", &NEVER()).await.expect("place");
    let head = Head { commit: &base, content: &base, branch: "x", base: ("main", &base) };
    place.checkout(&mirror, &head).await.expect("checked out");
    assert_eq!(git_in(place.dir(), &["rev-parse", "HEAD"]), base);
    let captured = place.capture(&mirror).await.expect("captured");
    assert_eq!(captured, Some(mirror.tree_of(&base).await.expect("tree")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_at_once_share_one_mirror() {
    let repo = Repo::with(&[("a.txt", "one\n")]);
    let home = tempfile::tempdir().expect("home");
    let base = repo.git(&["rev-parse", "HEAD"]);
    let (repo, home) = (Arc::new(repo), Arc::new(home));
    let mut all = JoinSet::new();
    for number in 0..20 {
        let (repo, home, base) = (Arc::clone(&repo), Arc::clone(&home), base.clone());
        all.spawn(async move { one_of_many(&repo, &home, &base, number).await });
    }
    assert_eq!(all.join_all().await, vec![1; 20]);
}

/// Commits a file of its own; returns how many files the commit changes.
async fn one_of_many(repo: &Repo, home: &TempDir, base: &str, number: u128) -> usize {
    let mirror = mirror_of(repo, home).await;
    mirror.refresh().await.expect("fetched");
    let id = Uuid::from_u128(number);
    mirror.keep_base(id, "main", base).await.expect("noted");
    let workspace = home.path().join(format!("w/{number}"));
    let place = Place::enter(&workspace, "tree", &NEVER()).await.expect("place");
    let head = Head { commit: base, content: base, branch: "x", base: ("main", base) };
    place.checkout(&mirror, &head).await.expect("checked out");
    write(place.dir(), &[(&format!("{number}.txt"), "x")]);
    let tree = place.capture(&mirror).await.expect("captured").expect("there");
    let commit = mirror.commit(&tree, &[base], "m").await.expect("committed");
    mirror.keep_work(id, &commit).await.expect("kept");
    mirror.changes(base, &commit).await.expect("changes").len()
}

#[tokio::test]
async fn a_lock_is_waited_for_and_may_be_given_up() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("deep/lock");
    let held = Lock::take(&path, &NEVER()).await.expect("taken");
    let short = std::time::Duration::from_millis(50);
    assert!(Lock::take_within(&path, short, &NEVER()).await.expect("asked").is_none());
    let cancelled = NEVER();
    cancelled.cancel();
    let said = Lock::take(&path, &cancelled).await.expect_err("cancelled").to_string();
    assert!(said.contains("cancelled while waiting"), "{said}");
    drop(held);
    // A program that another test is starting may hold a copy of it for a moment.
    assert!(Lock::take(&path, &NEVER()).await.is_ok());
}

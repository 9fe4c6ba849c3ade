//! Against the real git: users' repositories of every sort, and what agents and crashes leave.

use super::fixture::{Repo, git_in, write};
use super::*;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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

#[tokio::test]
async fn a_worktree_is_a_repository_of_its_own_without_a_way_out() {
    let bench = bench().await;
    let tree = bench.tree();
    assert_eq!(git_in(&tree, &["status", "--porcelain", "--branch"]), "## longhaul/x");
    assert_eq!(git_in(&tree, &["rev-parse", "HEAD", "main"]), format!("{0}\n{0}", bench.base));
    assert_eq!(git_in(&tree, &["remote"]), "");
    write(&tree, &[("a.txt", "agent\n")]);
    git_in(&tree, &["stash"]);
    git_in(&tree, &["checkout", "--quiet", "-b", "mine"]);
    assert_eq!(bench.repo.git(&["branch", "--format=%(refname:short)"]), "main");
    let ours = git_in(bench.mirror.dir(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(ours, "refs/heads/main");
}

#[tokio::test]
async fn the_final_state_counts_whatever_the_agent_did_to_git() {
    let bench = bench().await;
    let tree = bench.tree();
    write(&tree, &[("new.txt", "n\n"), ("cache/big", "ignored\n")]);
    let expected = bench.capture().await;
    let ways: [&[&[&str]]; 4] = [
        &[&["add", "--all"], &["commit", "--quiet", "-m", "mine"]],
        &[
            &["checkout", "--quiet", "-b", "elsewhere"],
            &["commit", "--quiet", "-m", "x", "--allow-empty"],
        ],
        &[&["checkout", "--quiet", "--orphan", "nothing"]],
        &[&["config", "core.worktree", "/nonexistent"]],
    ];
    for calls in ways {
        for call in calls {
            git_in(&tree, call);
        }
        assert_eq!(bench.capture().await, expected, "{calls:?}");
    }
    std::fs::remove_dir_all(tree.join(".git")).expect("removed");
    assert_eq!(bench.capture().await, expected, "without .git");
    let changes = bench.mirror.changes(&bench.base, &expected).await.expect("changes");
    let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["new.txt"]);
}

#[tokio::test]
async fn a_checkout_sets_anything_right() {
    let bench = bench().await;
    let tree = bench.tree();
    let index = bench.place.dir().with_extension("index");
    let elsewhere = bench.home.path().join("elsewhere");
    write(&elsewhere, &[("precious.txt", "keep\n")]);
    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let harms: Vec<Harm<'_>> = vec![
        ("changed", Box::new(|| write(&tree, &[("a.txt", "x"), ("src/new.txt", "y")]))),
        ("removed", Box::new(|| std::fs::remove_dir_all(&tree).expect("removed"))),
        ("index damaged", Box::new(|| std::fs::write(&index, "rubbish").expect("written"))),
        (
            "index locked by a dead git",
            Box::new(|| {
                std::fs::write(index.with_extension("index.lock"), "").expect("written");
            }),
        ),
        (
            "file became directory",
            Box::new(|| {
                std::fs::remove_file(tree.join("a.txt")).expect("removed");
                write(&tree, &[("a.txt/deep/file", "x")]);
            }),
        ),
        (
            "nested repository",
            Box::new(|| {
                std::fs::create_dir_all(tree.join("inner")).expect("made");
                git_in(&tree.join("inner"), &["init", "--quiet"]);
            }),
        ),
        (
            "git replaced",
            Box::new(|| {
                std::fs::remove_dir_all(tree.join(".git")).expect("removed");
                symlink(&elsewhere, tree.join(".git")).expect("linked");
            }),
        ),
        (
            "worktree became a link",
            Box::new(|| {
                std::fs::remove_dir_all(&tree).expect("removed");
                symlink(&elsewhere, &tree).expect("linked");
            }),
        ),
    ];
    for (name, harm) in harms {
        harm();
        bench.checkout(&bench.base).await;
        assert_eq!(bench.files(), ".gitignore\na.txt\nsrc/b.txt", "{name}");
        assert_eq!(git_in(&tree, &["status", "--porcelain"]), "", "{name}");
        assert!(elsewhere.join("precious.txt").exists(), "{name}");
    }
    assert!(bench.place.capture(&bench.mirror).await.expect("captured").is_some());
}

#[tokio::test]
async fn caches_survive_a_checkout_unless_it_is_to_be_clean() {
    let bench = bench().await;
    write(&bench.tree(), &[("cache/x", "1")]);
    bench.checkout(&bench.base).await;
    assert!(bench.tree().join("cache/x").exists());
    let head = Head {
        commit: &bench.base,
        content: &bench.base,
        branch: "main",
        base: ("main", &bench.base),
    };
    bench.place.checkout_clean(&bench.mirror, &head).await.expect("checked out");
    assert!(!bench.tree().join("cache").exists());
}

#[tokio::test]
async fn what_reaches_out_of_the_worktree_is_seen() {
    let bench = bench().await;
    let tree = bench.tree();
    symlink("b.txt", tree.join("src/inside")).expect("linked");
    symlink("../../..", tree.join("src/outside")).expect("linked");
    symlink("/etc/hostname", tree.join("absolute")).expect("linked");
    symlink("src/..", tree.join("root")).expect("linked");
    symlink("root/../x", tree.join("sly")).expect("linked");
    std::fs::create_dir(tree.parent().expect("workspace").join("x")).expect("made");
    std::fs::create_dir(tree.join("inner")).expect("made");
    git_in(&tree.join("inner"), &["init", "--quiet"]);
    git_in(&tree.join("inner"), &["commit", "--quiet", "--allow-empty", "-m", "x"]);
    let captured = bench.capture().await;
    let changes = bench.mirror.changes(&bench.base, &captured).await.expect("changes");
    let outside = bench.mirror.outside(&changes, &tree).await.expect("looked");
    let said: Vec<String> = outside.iter().map(ToString::to_string).collect();
    let paths: Vec<&str> = said.iter().filter_map(|s| s.split('`').nth(1)).collect();
    assert_eq!(paths, ["absolute", "inner", "sly", "src/outside"], "{said:#?}");
}

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
    let kept = again.git().reference(&format!("refs/longhaul/work/{execution}")).await;
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
async fn users_repositories_of_every_sort_are_found() {
    let repo = Repo::with(&[("deep/er/file", "x")]);
    let top = Source::locate(repo.path()).await.expect("found");
    assert_eq!(top.base_branch(None).await.expect("base"), "main");
    assert!(top.notes.is_empty(), "{:?}", top.notes);

    let inside = Source::locate(&repo.path().join("deep/er")).await.expect("found");
    assert_eq!(inside.key(), top.key());
    assert!(inside.notes[0].contains("the whole repository is used"), "{:?}", inside.notes);

    let linked = repo.beside("linked");
    repo.git(&["worktree", "add", "--quiet", "-b", "side", &linked.to_string_lossy()]);
    let linked = Source::locate(&linked).await.expect("found");
    assert_eq!(linked.key(), top.key());
    assert_eq!(linked.base_branch(None).await.expect("base"), "side");
    let checkout = top.checkout_of("side").await.expect("asked").expect("checked out");
    assert_eq!(Some(checkout), linked.work_tree);
    assert_eq!(top.checkout_of("none").await.expect("asked"), None);

    let bare = repo.bare();
    git_in(&bare, &["symbolic-ref", "HEAD", "refs/heads/master"]);
    git_in(&bare, &["branch", "--quiet", "-D", "side"]);
    let bare = Source::locate(&bare).await.expect("found");
    assert_eq!(
        (bare.work_tree.clone(), bare.base_branch(None).await.expect("base")),
        (None, "main".to_owned())
    );
    assert_eq!(bare.fingerprint().await.expect("asked"), None);
    assert!(Source::locate(&repo.path().join(".git")).await.is_ok());
}

#[tokio::test]
async fn what_is_no_repository_to_start_from_says_what_to_do() {
    let plain = tempfile::tempdir().expect("directory");
    let refused =
        async |path: PathBuf| Source::locate(&path).await.expect_err("refused").to_string();
    let said = refused(plain.path().to_owned()).await;
    assert!(said.contains("is not a git repository") && said.contains("git init"), "{said}");
    let said = refused(plain.path().join("gone")).await;
    assert!(said.contains("No such file or directory"), "{said}");

    let no_base = async |repo: &Repo, asked: Option<&str>| {
        let source = Source::locate(repo.path()).await.expect("found");
        source.base_branch(asked).await.expect_err("refused").to_string()
    };
    let said = no_base(&Repo::empty(), None).await;
    assert!(said.contains("no commit yet") && said.contains("commit something first"), "{said}");
    let repo = Repo::with(&[("a", "a")]);
    repo.git(&["branch", "other"]);
    let said = no_base(&repo, Some("develop")).await;
    assert!(said.contains("no branch `develop`") && said.contains("main, other"), "{said}");
    repo.git(&["checkout", "--quiet", "--detach"]);
    let said = no_base(&repo, None).await;
    assert!(said.contains("detached") && said.contains("--base"), "{said}");
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

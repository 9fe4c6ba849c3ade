//! Worktrees: what agents do to them, and what is taken from them.

use super::*;
use crate::clients::git::fixture::write;
use std::os::unix::fs::symlink;

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
async fn caches_of_an_attempt_that_was_cut_off_are_not_used_again() {
    let Bench { home, mirror, place, base, repo: _repo } = bench().await;
    let workspace = home.path().join("workspaces/x");
    let head = Head { commit: &base, content: &base, branch: "x", base: ("main", &base) };
    write(place.dir(), &[("cache/x", "1")]);
    let mut place = place;
    for (is_settled, stays) in [(true, true), (false, false)] {
        if is_settled {
            place.settle().expect("settled");
        }
        drop(place);
        place = Place::enter(&workspace, "tree", &NEVER()).await.expect("place");
        place.checkout(&mirror, &head).await.expect("checked out");
        assert_eq!(place.dir().join("cache/x").exists(), stays);
    }
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
async fn what_nobody_wants_in_a_commit_is_left_out() {
    let bench = bench().await;
    write(
        &bench.tree(),
        &[
            ("target/CACHEDIR.TAG", "x"),
            ("target/debug/big", "x"),
            ("odd [name]/CACHEDIR.TAG", "x"),
            ("src/__pycache__/b.pyc", "x"),
            ("node_modules/left/index.js", "x"),
            ("-rf", "x"),
            ("two\nlines \"quoted\" ü.txt", "x"),
        ],
    );
    let captured = bench.capture().await;
    let changes = bench.mirror.changes(&bench.base, &captured).await.expect("changes");
    let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["-rf", "two\nlines \"quoted\" ü.txt"]);
    bench.checkout(&captured).await;
    assert!(bench.tree().join("target/debug/big").exists(), "but it stays as a cache");
    assert!(bench.tree().join("-rf").exists());
}

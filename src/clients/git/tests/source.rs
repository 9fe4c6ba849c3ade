//! Users' repositories of every sort.

use super::*;

#[tokio::test]
async fn users_repositories_of_every_sort_are_found() {
    let repo = Repo::with(&[("deep/er/file", "x")]);
    let top = Source::locate(repo.path()).await.expect("found");
    assert_eq!(top.base_branch(None).await.expect("base"), "main");
    assert_eq!(top.notes, [] as [&str; 0]);

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

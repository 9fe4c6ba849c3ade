//! The whole way of a change, alone and in a crowd.

use crate::clients::git::fixture::{Repo, git_in};
use crate::stages::fixture::*;
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_change_goes_from_analysis_to_the_base() {
    let mut world = world("echo new > new.txt; echo 'I did it'");
    let base = world.repo.git(&["rev-parse", "main"]);
    world.life.live(&["analysis"]).await.live(&CHAIN).await;
    let outputs = &world.life.outputs;
    let work = &outputs["code_generation"];
    assert_eq!(work["modified_files"], json!(["new.txt"]));
    assert_eq!(work["base_commit"], json!(base));
    assert_eq!(work["diff_stat"]["insertions"], 1);
    assert_eq!(outputs["testing"]["exit_code"], 0);
    assert_eq!(outputs["pr_creation"]["number"], 1);
    assert_eq!(outputs["pr_creation"]["head_sha"], work["commit"]);
    assert_eq!(outputs["validation"]["checks"][0]["conclusion"], "success");
    let version = outputs["deployment"]["version"].as_str().expect("version");
    assert_eq!(outputs["deployment"]["merged_into"], "main");
    assert_eq!(world.repo.git(&["rev-parse", "main"]), version);
    assert_eq!(world.repo.show("main", "new.txt"), "new");
    assert_eq!(world.repo.git(&["status", "--porcelain"]), "", "the user's checkout moved along");
    let message =
        world.repo.git(&["log", "-1", "--format=%B", work["commit"].as_str().expect("commit")]);
    assert!(message.starts_with("Add a file\n\nAdd a file.\n\nLonghaul-Execution: "), "{message}");
    assert!(world.life.log().contains("I did it"), "{}", world.life.log());
}

#[tokio::test]
async fn red_tests_go_back_and_the_next_round_builds_on_the_last() {
    let mut world = world("touch broken; echo one > work.txt");
    world.life.live(&["analysis", "code_generation"]).await;
    let failure = world.life.fails("testing").await;
    assert!(
        failure.detail["feedback"].as_str().expect("feedback").contains("testing"),
        "{failure:?}"
    );
    world.life.reopen("testing", &failure);
    world.agent(
        "cat \"$LONGHAUL_PROMPT_FILE\" > cache-prompt; mkdir -p cache; mv cache-prompt cache/; \
                 cat work.txt; rm broken; echo two >> work.txt",
    );
    world.life.live(&CHAIN).await;
    assert_eq!(world.repo.show("main", "work.txt"), "one\ntwo");
    let prompt =
        std::fs::read_to_string(world.life.tree().join("cache/cache-prompt")).expect("prompt");
    assert!(prompt.contains("Stage `testing` sent the work back"), "{prompt}");
    let ours = world.repo.git(&["rev-list", "--count", "--no-merges", "main"]);
    assert_eq!(ours, "3", "one commit of the user, one per round");
}

#[tokio::test]
async fn a_conflict_is_resolved_in_a_repair_loop() {
    let mut world = world("echo agent > a.txt");
    world.life.live(&["analysis", "code_generation", "testing", "pr_creation", "validation"]).await;
    world.repo.commit(&[("a.txt", "user\n")]);
    let failure = world.life.fails("deployment").await;
    assert_failure(
        &failure,
        crate::workflow::failure::ErrorKind::Rejected,
        &["conflicts", "a.txt"],
    );
    world.life.reopen("deployment", &failure);

    world.agent("true");
    let lazy = world.life.fails("code_generation").await;
    assert!(lazy.message.contains("conflict markers are left in: a.txt"), "{lazy:?}");
    world.life.attempt += 1;
    world.agent("grep -q '<<<<<<<' a.txt && echo both > a.txt");
    world.life.live(&CHAIN).await;
    assert_eq!(world.repo.show("main", "a.txt"), "both");
    let files = &world.life.outputs["code_generation"]["modified_files"];
    assert_eq!(*files, json!(["a.txt"]), "what came from the base is not part of the change");
}

#[tokio::test]
async fn a_rewind_starts_from_the_base_again() {
    let mut world = world("echo one > one.txt");
    world.life.live(&["analysis", "code_generation"]).await;
    world.life.outputs.remove("code_generation");
    (world.life.branch, world.life.attempt) = (2, 2);
    world.agent("echo two > two.txt");
    world.life.live(&CHAIN).await;
    assert_eq!(world.life.outputs["code_generation"]["modified_files"], json!(["two.txt"]));
}

#[tokio::test]
async fn a_fork_goes_on_from_the_work_of_another_execution() {
    let mut world = world("echo one > one.txt");
    world.life.live(&["analysis", "code_generation"]).await;
    let outputs = world.life.outputs.clone();
    let mut fork = Life::new(2, world.home.path(), world.repo.path(), &["test.command=sh test.sh"]);
    fork.outputs = outputs;
    fork.live(&["testing", "pr_creation", "validation", "deployment"]).await;
    world.life.live(&["testing", "pr_creation", "validation", "deployment"]).await;
    assert_eq!(fork.outputs["pr_creation"]["number"], 1);
    assert_eq!(world.life.outputs["pr_creation"]["number"], 2);
    let versions = [&fork, &world.life].map(|life| life.outputs["deployment"]["version"].clone());
    assert_eq!(versions[0], versions[1], "the same commit is merged once");
}

#[tokio::test]
async fn work_that_was_kept_by_a_rewind_or_a_fork_is_repaired_and_not_redone() {
    let mut world = world("echo one > one.txt; touch broken");
    world.life.live(&["analysis", "code_generation"]).await;
    let mut fork = Life::new(2, world.home.path(), world.repo.path(), &["test.command=sh test.sh"]);
    fork.outputs = world.life.outputs.clone();
    world.life.branch = 2;
    for life in [&mut world.life, &mut fork] {
        let failure = life.fails("testing").await;
        life.reopen("testing", &failure);
        life.settings["agent"] = json!({"command": agent("rm broken")});
        life.live(&["code_generation", "testing"]).await;
        assert_eq!(life.outputs["code_generation"]["modified_files"], json!(["one.txt"]));
    }
}

#[tokio::test]
async fn a_change_that_breaks_only_together_with_the_base_is_repaired_together_with_it() {
    let mut world = world("echo x > mine.txt");
    world.life.set(&["test.command=test ! -e mine.txt || test ! -e theirs.txt"]);
    world.life.live(&["code_generation", "testing", "pr_creation", "validation"]).await;
    world.repo.commit(&[("theirs.txt", "t\n")]);
    let failure = world.life.fails("deployment").await;
    world.life.reopen("deployment", &failure);
    world.agent("test -e theirs.txt && git mv mine.txt ours.txt");
    world.life.live(&CHAIN).await;
    assert_eq!(world.repo.git(&["ls-files", "*.txt"]), "a.txt\nours.txt\ntheirs.txt");
}

#[tokio::test]
async fn a_shallow_clone_is_enough() {
    let mut world = world("echo x > x.txt");
    world.repo.commit(&[("b.txt", "b")]);
    let shallow = world.repo.beside("shallow");
    let from = format!("file://{}", world.repo.path().display());
    world.repo.git(&["clone", "--quiet", "--depth=1", &from, &shallow.to_string_lossy()]);
    world.life.repository = Some(shallow.display().to_string());
    world.life.live(&["analysis"]).await.live(&CHAIN).await;
    assert_eq!(git_in(&shallow, &["show", "main:x.txt"]), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_who_both_think_it_is_theirs_do_it_once() {
    let world = world("sleep 0.3; echo x >> x.txt");
    let (home, path) = (world.home.path().to_owned(), world.repo.path().to_owned());
    let mut both = JoinSet::new();
    for attempt in 1..=2 {
        let mut life = Life::new(1, &home, &path, &["test.command=sh test.sh"]);
        life.settings["agent"] = world.life.settings["agent"].clone();
        life.attempt = attempt;
        both.spawn(async move {
            life.live(&CHAIN).await;
            life.outputs["deployment"]["version"].clone()
        });
    }
    let versions = both.join_all().await;
    assert_eq!(versions[0], versions[1]);
    assert_eq!(world.repo.show("main", "x.txt"), "x");
    assert_eq!(world.repo.git(&["rev-list", "--merges", "--count", "main"]), "1");
    let asked = ["for-each-ref", "--format=%(refname)", "refs/longhaul/changes/*/record"];
    assert_eq!(world.repo.git(&asked), "refs/longhaul/changes/1/record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_executions_at_once_do_not_disturb_each_other() {
    let repo = Repo::with(&[("a.txt", "a\n"), ("test.sh", "test -e a.txt\n")]);
    let bare = Arc::new(repo.bare());
    let home = Arc::new(tempfile::tempdir().expect("home"));
    let mut all = JoinSet::new();
    for number in 1..=20_u128 {
        let (bare, home) = (Arc::clone(&bare), Arc::clone(&home));
        all.spawn(async move {
            let line =
                format!("git stash list; git checkout -q -b work; echo {number} > {number}.txt");
            let mut life = Life::new(number, home.path(), &bare, &["test.command=sh test.sh"]);
            life.settings["agent"] = json!({"command": agent(&line)});
            life.timeout = std::time::Duration::from_secs(300);
            life.live(&CHAIN).await;
            let said = life.outputs["pr_creation"]["number"].as_u64().expect("number");
            (said, life.outputs["code_generation"]["modified_files"].clone(), number)
        });
    }
    let mut numbers = Vec::new();
    for (said, files, number) in all.join_all().await {
        numbers.push(said);
        assert_eq!(files, json!([format!("{number}.txt")]));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
    let merges = git_in(&bare, &["rev-list", "--merges", "--count", "main"]);
    assert_eq!(merges, "20");
    for number in 1..=20 {
        let content = git_in(&bare, &["show", &format!("main:{number}.txt")]);
        assert_eq!(content, number.to_string());
    }
}

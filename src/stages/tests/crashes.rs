//! What is done twice because nobody knows that it was done, and what a killed worker leaves.

use crate::clients::git::fixture::git_in;
use crate::stages::fixture::*;
use crate::workflow::failure::ErrorKind;
use serde_json::Value;
use std::time::{Duration, Instant};

#[tokio::test]
async fn each_effect_happens_once_though_each_stage_runs_thrice() {
    let mut world =
        world("echo x >> agent-runs; mkdir -p cache; echo x >> cache/runs; echo new > new.txt");
    for stage in CHAIN {
        let first = world.life.done(stage).await;
        // The worker dies before the outcome is recorded: the steps may be, the output is not.
        world.life.attempt += 1;
        let second = world.life.done(stage).await;
        world.life.attempt += 1;
        world.life.notes.steps.lock().expect("lock").clear();
        let third = world.life.done(stage).await;
        for output in [&second, &third] {
            for key in ["commit", "number", "url", "head_sha", "version", "branch", "deployment_id"]
            {
                assert_eq!(output.get(key), first.get(key), "{stage}.{key}");
            }
        }
        world.life.outputs.insert(stage.to_owned(), third);
        world.life.notes.steps.lock().expect("lock").clear();
    }
    assert_eq!(world.repo.show("main", "agent-runs"), "x", "the agent ran once");
    assert_eq!(world.repo.git(&["rev-list", "--merges", "--count", "main"]), "1");
    assert_eq!(world.repo.git(&["rev-list", "--count", "main"]), "3");
    let changes = world.repo.git(&["for-each-ref", "--format=%(refname)", "refs/longhaul/changes"]);
    assert_eq!(changes, "refs/longhaul/changes/1/head\nrefs/longhaul/changes/1/record");
}

#[tokio::test]
async fn a_worktree_that_a_crash_left_is_set_right() {
    let mut world =
        world("ls > cache-list; mkdir -p cache; mv cache-list cache/; echo new > new.txt");
    let failure = {
        let agent = world.life.settings["agent"].clone();
        world.agent("echo half > half.txt; exit 1");
        let failure = world.life.fails("code_generation").await;
        world.life.settings["agent"] = agent;
        failure
    };
    assert_failure(&failure, ErrorKind::Transient, &["exit code 1"]);
    assert!(world.life.log().contains("what it had changed is kept as refs/longhaul/tries/"));
    std::fs::write(world.life.tree().with_extension("index.lock"), "").expect("written");
    world.life.attempt += 1;
    let output = world.life.done("code_generation").await;
    assert_eq!(output["modified_files"], serde_json::json!(["new.txt"]));
    let seen = std::fs::read_to_string(world.life.tree().join("cache/cache-list")).expect("listed");
    assert!(!seen.contains("half.txt"), "{seen}");
}

#[tokio::test]
async fn agents_of_an_earlier_attempt_are_ended_first() {
    let mut world = world("true");
    let pid_file = world.home.path().join("pid");
    let line = format!("setsid sh -c 'echo $$ > {}; exec sleep 60' & sleep 60", pid_file.display());
    world.agent(&line);
    let context = world.life.context("code_generation");
    let executor = crate::stages::builtin().get("code_generation").expect("kind");
    let running = tokio::spawn(async move { executor.run(&context).await.map(drop) });
    let began = Instant::now();
    while !std::fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')) {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", world.life.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What a dying worker does at best; the daemon has left the group and lives on.
    running.abort();
    let _ = running.await;
    let pid = std::fs::read_to_string(&pid_file).expect("pid").trim().to_owned();
    assert!(std::path::Path::new("/proc").join(&pid).exists());
    world.life.attempt += 1;
    world.agent(&format!(
        "test ! -e /proc/{pid} || grep -q ') Z' /proc/{pid}/stat && echo alone > alone.txt"
    ));
    let output = world.life.done("code_generation").await;
    assert_eq!(output["modified_files"][0], "alone.txt");
    assert!(world.life.log().contains("processes that an earlier attempt had left"));
}

#[tokio::test]
async fn a_lost_mirror_and_a_lost_workspace_are_made_again() {
    let mut world = world("echo new > new.txt");
    world.life.live(&["code_generation", "testing", "pr_creation"]).await;
    std::fs::remove_dir_all(world.home.path()).expect("removed");
    world.life.live(&["validation", "deployment"]).await;
    assert_eq!(world.repo.show("main", "new.txt"), "new");
}

#[tokio::test]
async fn work_that_is_nowhere_any_more_is_said_to_be_lost() {
    let mut world = world("echo new > new.txt");
    world.life.live(&["code_generation"]).await;
    std::fs::remove_dir_all(world.home.path()).expect("removed");
    let failure = world.life.fails("testing").await;
    assert_failure(&failure, ErrorKind::Permanent, &["rewind to the stage that made it"]);
}

#[tokio::test]
async fn cancelling_ends_the_agent_soon() {
    let world = world("sleep 60");
    let began = Instant::now();
    let token = world.life.cancelled.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        token.cancel();
    });
    let failure = world.life.fails("code_generation").await;
    assert_eq!(failure.kind, ErrorKind::Interrupted);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_is_continued() {
    let mut world = world(
        "echo \"session: ${LONGHAUL_SESSION-none}\"; echo x >> x.txt; touch broken;
         echo '{\"session\": \"s-7\", \"cost_usd\": 0.5}' > \"$LONGHAUL_RESULT_FILE\"",
    );
    let context = world.life.context("code_generation");
    let executor = crate::stages::builtin().get("code_generation").expect("kind");
    assert!(executor.run(&context).await.is_ok());
    assert!((context.spent().usd - 0.5).abs() < f64::EPSILON);
    world.life.repair_loop = 1;
    world.life.feedback = Value::Null;
    world.life.done("code_generation").await;
    let log = world.life.log();
    assert!(log.contains("session: none") && log.contains("session: s-7"), "{log}");
    assert_eq!(git_in(&world.life.tree(), &["log", "--format=%s", "-1"]), "Add a file");
}

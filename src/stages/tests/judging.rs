//! How work is judged: tests, checks, merges.

use crate::stages::fixture::*;
use crate::workflow::failure::ErrorKind;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_changed_build_file_does_not_change_which_tests_are_run() {
    let make = "test:\n\t@test -e good\n";
    let world = world("printf 'test:\\n\\ttrue\\n' > Makefile; echo x > package.json");
    let mut life = world.life;
    world
        .repo
        .commit(&[("Makefile", make), ("package.json", "{\"scripts\": {\"test\": \"exit 3\"}}")]);
    life.settings["test"] = json!({});
    let before = life.done("analysis").await["test_command"].clone();
    life.live(&["code_generation"]).await;
    for analysed in [false, true] {
        if analysed {
            life.live(&["analysis"]).await;
        }
        let failure = life.fails("testing").await;
        let command = failure.detail.pointer("/results/command").cloned();
        assert!(command.is_none() || command == Some(before.clone()), "{failure:?}");
    }
}

#[tokio::test]
async fn tests_that_the_work_brings_judge_it_where_there_were_none() {
    let mut world = world("printf 'test:\\n\\texit 3\\n' > Makefile");
    world.life.settings["test"] = json!({});
    world.repo.git(&["rm", "--quiet", "test.sh"]);
    world.repo.commit(&[]);
    world.life.live(&["analysis", "code_generation"]).await;
    assert_eq!(world.life.outputs["analysis"]["test_command"], json!(null));
    let failure = world.life.fails("testing").await;
    assert_failure(&failure, ErrorKind::Rejected, &["make"]);
}

#[tokio::test]
async fn no_tests_are_a_matter_of_policy() {
    let mut world = world("echo x > x.txt");
    world.life.settings["test"] = json!({});
    world.repo.git(&["rm", "--quiet", "test.sh"]);
    world.repo.commit(&[]);
    world.life.live(&["analysis", "code_generation"]).await;
    let failure = world.life.fails("testing").await;
    assert_failure(
        &failure,
        ErrorKind::Rejected,
        &["no tests were found", "policy.no_tests=warn", "test.command"],
    );
    world.life.set(&["policy.no_tests=warn"]);
    world.life.live(&["testing", "pr_creation", "validation"]).await;
    assert_eq!(
        world.life.outputs["testing"]["warnings"][0],
        "no tests were found in the repository"
    );
    assert_eq!(world.life.outputs["validation"]["status"], "skipped");
}

#[tokio::test]
async fn what_may_pass_by_itself_is_tried_again_before_the_work_is_blamed() {
    let cases: [(&[&str], ErrorKind, &str); 2] = [
        (&["test.setup=exit 3"], ErrorKind::Transient, "setup failed: `exit 3`: exit code 3"),
        (&["test.command=sleep 60"], ErrorKind::Timeout, "raise `timeout_ms`"),
    ];
    for (settings, first, words) in cases {
        let mut world = world("echo x > x.txt");
        world.life.live(&["code_generation"]).await;
        world.life.set(settings);
        world.life.timeout = Duration::from_secs(2);
        let failure = world.life.fails("testing").await;
        assert_failure(&failure, first, &[words]);
        world.life.last_error = Some(failure);
        let failure = world.life.fails("testing").await;
        assert_failure(&failure, ErrorKind::Rejected, &[words]);
    }
}

#[tokio::test]
async fn a_missing_test_program_is_no_fault_of_the_work() {
    let mut world = world("echo x > x.txt");
    world.life.live(&["code_generation"]).await;
    world.life.set(&["test.command=no-such-runner --all"]);
    let failure = world.life.fails("testing").await;
    assert_failure(&failure, ErrorKind::Permanent, &["no-such-runner", "test.setup"]);
}

#[tokio::test]
async fn tests_run_on_the_commit_and_not_on_what_lies_around() {
    let mut world = world("echo x > x.txt");
    world.life.live(&["code_generation"]).await;
    std::fs::write(world.life.tree().join("broken"), "").expect("written");
    world.life.live(&["testing"]).await;
    let kept = world
        .life
        .home
        .join("workspaces")
        .join(world.life.id.to_string())
        .join("results/testing-1.json");
    assert!(kept.exists(), "the full result is kept");
}

#[tokio::test]
async fn validation_looks_at_the_proposed_commit_in_a_clean_checkout() {
    let mut world = world("mkdir -p cache; touch cache/cheat; echo x > x.txt");
    world.life.set(&["test.command=test -e cache/cheat"]);
    world.life.live(&["code_generation", "testing", "pr_creation"]).await;
    let failure = world.life.fails("validation").await;
    let head = world.life.outputs["pr_creation"]["head_sha"].clone();
    assert_eq!((failure.kind, &failure.detail["head_sha"]), (ErrorKind::Rejected, &head));
    assert_eq!(failure.detail["checks"][0]["conclusion"], "failure");

    world.life.set(&["validation.command=git status --porcelain > /tmp/$$; test ! -s /tmp/$$; rm /tmp/$$; git rev-parse HEAD"]);
    let output = world.life.done("validation").await;
    assert_eq!((&output["status"], &output["head_sha"]), (&json!("success"), &head));
    assert!(world.life.log().contains(head.as_str().expect("head")));
}

#[tokio::test]
async fn a_base_that_a_merge_would_break_does_not_move() {
    // Each side is green alone: the tests forbid that both files exist.
    let mut world = world("echo x > mine.txt");
    world.life.set(&["test.command=test ! -e mine.txt || test ! -e theirs.txt"]);
    world.life.live(&["code_generation", "testing", "pr_creation", "validation"]).await;
    let tip = world.repo.commit(&[("theirs.txt", "t\n")]);
    let failure = world.life.fails("deployment").await;
    assert_failure(&failure, ErrorKind::Rejected, &["merged with what came into `main` meanwhile"]);
    assert_eq!(world.repo.git(&["rev-parse", "main"]), tip);
}

#[tokio::test]
async fn a_deployment_is_verified_and_rolled_back() {
    let mut world = world("echo x > x.txt");
    let (live, ids) = (world.home.path().join("live"), world.home.path().join("ids"));
    let deploy = format!(
        "deploy.command=cp x.txt {}; echo $LONGHAUL_DEPLOYMENT_ID >> {}",
        live.display(),
        ids.display()
    );
    let rollback = format!("deploy.rollback=rm {}", live.display());
    world.life.set(&[&deploy, "deploy.verify=exit 1", &rollback, "deploy.environment=shop"]);
    world.life.live(&["code_generation", "testing", "pr_creation", "validation"]).await;
    let failure = world.life.fails("deployment").await;
    assert_failure(
        &failure,
        ErrorKind::Rejected,
        &["does not work on `shop`", "it was rolled back"],
    );
    assert!(!live.exists());

    let verify = format!("deploy.verify=test -e {}", live.display());
    world.life.set(&[&verify]);
    world.life.notes.steps.lock().expect("lock").clear();
    let output = world.life.done("deployment").await;
    assert_eq!((&output["environment"], &output["verified"]), (&json!("shop"), &json!(true)));
    let said = std::fs::read_to_string(&ids).expect("ids");
    let ids: Vec<&str> = said.lines().collect();
    assert_eq!(ids[0], ids[1], "the id is the same for each attempt");
    assert_eq!(output["deployment_id"], ids[0]);
}

#[tokio::test]
async fn a_deploy_line_sees_the_credentials_that_are_named() {
    let mut world = world("echo x > x.txt");
    world.life.set(&["deploy.command=test -n \"$CARGO_PKG_NAME\"", "deploy.merge=false"]);
    world.life.live(&["code_generation", "testing", "pr_creation"]).await;
    assert_failure(&world.life.fails("deployment").await, ErrorKind::Transient, &["deploy failed"]);
    world.life.set(&["deploy.env=[\"CARGO_PKG_NAME\"]"]);
    world.life.live(&["deployment"]).await;
}

#[tokio::test]
async fn deploying_without_merging_leaves_the_base_alone() {
    let mut world = world("echo x > x.txt");
    world.life.set(&["deploy.merge=false", "deploy.command=test -e x.txt"]);
    let base = world.repo.git(&["rev-parse", "main"]);
    world.life.live(&CHAIN).await;
    let outputs = &world.life.outputs;
    assert_eq!(outputs["deployment"]["version"], outputs["code_generation"]["commit"]);
    assert_eq!(outputs["deployment"]["merged_into"], json!(null));
    assert_eq!(world.repo.git(&["rev-parse", "main"]), base);
}

#[tokio::test]
async fn stages_out_of_order_say_what_is_missing() {
    let world = world("true");
    assert_failure(
        &world.life.fails("pr_creation").await,
        ErrorKind::Permanent,
        &["nothing to propose", "code_generation"],
    );
    assert_failure(
        &world.life.fails("validation").await,
        ErrorKind::Permanent,
        &["no change request", "pr_creation"],
    );
    assert_failure(
        &world.life.fails("deployment").await,
        ErrorKind::Permanent,
        &["no change request", "pr_creation"],
    );
    world.life.done("testing").await;
}

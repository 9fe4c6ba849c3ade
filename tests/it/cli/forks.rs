//! `fork`, `fork --what-if` and branches, on a real repository with the built binary.

use super::harness::{GOOD_AGENT, Program, Repository};
use serde_json::{Value, json};

fn change<'a>(stages: &'a Value, kind: &str) -> &'a Value {
    let found = stages.as_array().into_iter().flatten().find(|s| s["kind"] == kind);
    &found.unwrap_or_else(|| panic!("no stage of kind {kind}: {stages:#}"))["output"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_what_if_takes_another_way_and_touches_nothing() {
    let (program, repository) = (Program::new().await, Repository::new());
    let first = program
        .run(&[
            "run",
            "Fix the answer",
            "--json",
            "--workflow",
            "default",
            "--repo",
            &repository.text(),
            "--agent-command",
            GOOD_AGENT,
        ])
        .expect_code(0)
        .json();
    let id = first["execution_id"].as_str().expect("an id").to_owned();
    let (refs, history) =
        (repository.git(&["for-each-ref"]), program.run(&["history", &id, "--json"]).stdout);
    assert_eq!(repository.merges(), 1);

    let other = "agent.command=sh -c 'printf \"42\\n\" > answer; echo more > more'";
    let what_if = ["fork", &id, "--from", "code_generation", "--what-if", "--set", other, "--json"];
    let made = program.run(&what_if).expect_code(0).json();
    let fork = made["execution_id"].as_str().expect("an id").to_owned();
    assert_eq!(made["forked_from"], json!(id));
    let worker = program.start_worker();
    super::commands::wait_for(&program, &fork, "completed").await;
    assert_eq!(worker.terminate(), Some(0));

    let view = program.run(&["show", &fork, "--json"]).expect_code(0).json();
    let stages = &view["stages"];
    let of_first = &first["stages"];
    assert_eq!(change(stages, "analysis"), change(of_first, "analysis"), "carried over");
    let code = change(stages, "code_generation");
    assert_eq!(code["base_commit"], change(of_first, "code_generation")["base_commit"]);
    assert_ne!(code["commit"], change(of_first, "code_generation")["commit"]);
    let proposed = change(stages, "pr_creation");
    assert_eq!((&proposed["number"], &proposed["head_sha"]), (&Value::Null, &code["commit"]));
    assert_eq!(proposed["would_have"]["push"]["commit"], code["commit"]);
    assert_eq!(
        change(stages, "validation")["status"],
        "success",
        "the checks run, in its own place"
    );
    let deployed = change(stages, "deployment");
    assert_eq!(deployed["would_have"]["merge"]["into"], "main");
    assert_eq!(deployed["merged_into"], Value::Null);
    assert_eq!(view["origin"]["what_if"], json!(true));

    assert_eq!(repository.git(&["for-each-ref"]), refs, "no ref of the repository has changed");
    assert_eq!(program.run(&["history", &id, "--json"]).stdout, history);
    let plain = program.run(&["show", &fork]).expect_code(0).stdout;
    assert!(plain.contains(&format!("what-if of {id} after event")), "{plain}");
    program.run(&["replay", "verify", "--all"]).expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_shows_its_branch() {
    let (program, repository) = (Program::new().await, Repository::new());
    let view = program
        .run(&[
            "run",
            "Fix the answer",
            "--json",
            "--workflow",
            "bugfix",
            "--repo",
            &repository.text(),
            "--agent-command",
            GOOD_AGENT,
        ])
        .expect_code(0)
        .json();
    let id = view["execution_id"].as_str().expect("an id").to_owned();
    program.run(&["rewind", &id, "--from", "testing", "--keep-steps"]).expect_code(0);
    let worker = program.start_worker();
    super::commands::wait_for(&program, &id, "completed").await;
    assert_eq!(worker.terminate(), Some(0));
    let shown = program.run(&["show", &id]).expect_code(0).stdout;
    assert!(shown.contains(", branch 2"), "{shown}");
    let logs = program.run(&["logs", &id, "--stage", "testing"]).expect_code(0).stdout;
    assert!(logs.contains("== testing, attempt 1\n"), "{logs}");
    assert!(logs.contains("== testing, attempt 2, branch 2\n"), "{logs}");
    let lines = program.run(&["logs", &id, "--stage", "testing", "--json"]).json_lines();
    let on =
        |attempt: u64| lines.iter().find(|l| l["attempt"] == attempt).map(|l| l["branch"].clone());
    assert_eq!((on(1), on(2)), (Some(json!(1)), Some(json!(2))));
    let second = program.run(&["history", &id, "--branch", "2", "--json"]).json_lines();
    assert_eq!(second[0]["type"], "ExecutionRewound");
    let state = program.run(&["state", &id, "--json"]).json();
    assert_eq!(state["branch"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_cannot_be() {
    let program = Program::new().await;
    let engine = crate::history::engine_of(&program.database).await;
    let id = crate::worker::submit(&engine, "w").await.to_string();
    let said = program.run(&["fork", &id, "--from", "three"]).expect_code(4).stderr;
    assert!(said.contains("needs `two`, which is not done"), "{said}");
    program.run(&["fork", &id]).expect_code(2);
    program.run(&["fork", "0000000000", "--from", "one"]).expect_code(3);
    program.run(&["fork", &id, "--from", "one", "--set", "x"]).expect_code(2);
}

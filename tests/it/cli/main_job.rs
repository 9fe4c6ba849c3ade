//! The main job: a task becomes a merged change, through every stage, on a real repository.

use super::harness::{GOOD_AGENT, Program, Repository};
use serde_json::{Value, json};

fn stage<'a>(view: &'a Value, name: &str) -> &'a Value {
    let stages = view["stages"].as_array().expect("stages");
    stages.iter().find(|s| s["name"] == name).unwrap_or_else(|| panic!("no stage {name} in {view}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_becomes_a_merged_change() {
    let (program, repository) = (Program::new().await, Repository::new());
    let text = "Fix the answer: it must be 42, see `test.sh`";
    let arguments = [
        "run",
        text,
        "--json",
        "--workflow",
        "default",
        "--repo",
        &repository.text(),
        "--agent-command",
        GOOD_AGENT,
    ];
    let view = program.run(&arguments).expect_code(0).json();
    assert_eq!(view["status"], "completed", "{view:#}");
    assert_eq!(view["progress"], 1.0);
    assert_eq!(view["task"]["affected_files"], json!(["test.sh"]));
    assert_eq!(stage(&view, "code_generation")["output"]["modified_files"], json!(["answer"]));
    assert_eq!(stage(&view, "validation")["output"]["status"], "success");
    let merged =
        stage(&view, "deployment")["output"]["version"].as_str().expect("a commit").to_owned();
    assert_eq!(repository.git(&["rev-parse", "main"]), merged);
    assert_eq!(repository.on_main("answer"), "42");
    assert_eq!(repository.merges(), 1);
    assert_eq!(std::fs::read_to_string(repository.path().join("answer")).expect("a file"), "42\n");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");

    let workspace = program.database.home.path().join("workspaces");
    let workspace = workspace.join(view["execution_id"].as_str().expect("an id"));
    assert!(
        workspace.join("results").exists() && !workspace.join("tree").exists(),
        "caches go, results stay"
    );
    // What is gone can be made again: the same execution goes on from an earlier stage.
    program.run(&["rewind", "@last", "--from", "testing", "--reason", "look again"]).expect_code(0);
    let worker = program.start_worker();
    crate::support::eventually("it completes again", || async {
        let view = program.run(&["show", "@last", "--json"]).expect_code(0).json();
        (view["branch"] == 2 && view["status"] == "completed").then_some(())
    })
    .await;
    assert_eq!(worker.terminate(), Some(0));
    assert_eq!((repository.merges(), repository.git(&["rev-parse", "main"])), (1, merged));
}

#[tokio::test(flavor = "multi_thread")]
async fn red_tests_send_the_work_back_with_what_they_said() {
    let (program, repository) = (Program::new().await, Repository::new());
    let agent = program.file(
        "agent.sh",
        "if [ $LONGHAUL_LOOP = 0 ]; then echo 43 > answer; exit; fi\n\
         grep -q 'answer is 43' $LONGHAUL_PROMPT_FILE && grep -q 'answer is 43' && echo 42 > answer\n",
    );
    let arguments = [
        "run",
        "Fix the answer",
        "--json",
        "--workflow",
        "default",
        "--repo",
        &repository.text(),
        "--agent-command",
        &format!("sh {agent}"),
    ];
    let view = program.run(&arguments).expect_code(0).json();
    assert_eq!((view["loops"].as_u64(), view["status"].as_str()), (Some(1), Some("completed")));
    assert_eq!(stage(&view, "code_generation")["attempts"], 2);
    assert_eq!(repository.on_main("answer"), "42");
    let history = program.run(&["history", "@last", "--json"]).expect_code(0).json_lines();
    let reopened: Vec<&Value> = history.iter().filter(|l| l["type"] == "StageReopened").collect();
    assert_eq!(reopened.len(), 1);
    assert_eq!(reopened[0]["data"]["by"], "testing");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_never_gets_green_ends_failed_and_main_is_untouched() {
    let (program, repository) = (Program::new().await, Repository::new());
    let before = repository.git(&["rev-parse", "main"]);
    let arguments = [
        "run",
        "Fix the answer",
        "--json",
        "--workflow",
        "default",
        "--repo",
        &repository.text(),
        "--agent-command",
        "sh -c 'date +%s%N > answer'",
    ];
    let view = program.run(&arguments).expect_code(1).json();
    assert_eq!((view["status"].as_str(), view["loops"].as_u64()), (Some("failed"), Some(3)));
    assert_eq!(view["error"]["stage"], "testing");
    assert_eq!(repository.git(&["rev-parse", "main"]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_everything_and_no_secret() {
    let (program, repository) = (Program::new().await, Repository::new());
    let seen = program.database.home.path().join("seen");
    let agent = format!("sh -c 'env > {}; echo 42 > answer'", seen.display());
    let arguments = [
        "run",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        &agent,
    ];
    let mut command = program.command(&arguments);
    command
        .env("GITHUB_TOKEN", "canary-1")
        .env("AWS_SECRET_ACCESS_KEY", "canary-2")
        .env("MY_API_KEY", "canary-3");
    let ended = super::harness::Ended::of(&command.output().expect("it runs")).expect_code(0);
    let environment = std::fs::read_to_string(seen).expect("what the agent saw");
    for name in [
        "LONGHAUL_PROMPT_FILE",
        "LONGHAUL_EXECUTION_ID",
        "LONGHAUL_STAGE",
        "LONGHAUL_ATTEMPT",
        "LONGHAUL_LOOP",
        "LONGHAUL_RESULT_FILE",
        "PATH",
    ] {
        assert!(
            environment.lines().any(|l| l.starts_with(&format!("{name}="))),
            "{name} is missing"
        );
    }
    assert!(!environment.contains("canary"), "{environment}");
    assert!(!environment.contains("DATABASE_URL"), "{environment}");
    assert!(!ended.stdout.contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_against_one_repository() {
    let program = Program::new().await;
    let repository = Repository::with(&[("test.sh", "#!/bin/sh\ntest -d . && echo ok\n")]);
    let agent = "sh -c 'echo $LONGHAUL_EXECUTION_ID > file-$LONGHAUL_EXECUTION_ID'";
    for n in 0..20 {
        let text = format!("Add file number {n}");
        let arguments = [
            "submit",
            &text,
            "--workflow",
            "default",
            "--repo",
            &repository.text(),
            "--agent-command",
            agent,
        ];
        program.run(&arguments).expect_code(0);
    }
    let worker = program.start_worker();
    let list = crate::support::eventually("twenty executions have ended", || async {
        let list = program.run(&["list", "--json"]).expect_code(0).json();
        let rows = list.as_array().expect("a list").clone();
        rows.iter().all(|r| r["finished_at"].is_string()).then_some(rows)
    })
    .await;
    assert_eq!(list.len(), 20);
    for row in &list {
        let id = row["execution_id"].as_str().expect("an id");
        assert_eq!(row["status"], "completed", "{}", program.run(&["show", id]).stdout);
        assert_eq!(repository.on_main(&format!("file-{id}")), id);
    }
    assert_eq!(repository.merges(), 20);
    assert_eq!(worker.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_repository_are_used_and_flags_win() {
    let program = Program::new().await;
    let toml = "[agent]\ncommand = \"sh -c 'echo 42 > answer'\"\n[test]\ncommand = \"false\"\n";
    let repository = Repository::with(&[("answer", "41\n"), ("longhaul.toml", toml)]);
    let fixed = [
        "run",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--test-command",
        "grep -qx 42 answer",
    ];
    let view = program.run(&fixed).expect_code(0).json();
    assert_eq!(stage(&view, "testing")["output"]["command"], "grep -qx 42 answer");
}

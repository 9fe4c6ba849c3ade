//! Bad input: each a clear error that says what to do, and nothing lost.

use super::harness::{Ended, GOOD_AGENT, PROGRAM, Program, Repository, bare_command};
use std::process::Command;

#[track_caller]
fn says(ended: &Ended, parts: &[&str]) {
    let all = format!("{}\n{}", ended.stdout, ended.stderr);
    for part in parts {
        assert!(all.contains(part), "`{part}` is missing in: {all}");
    }
}

/// Runs a task with this agent and further arguments in a fresh repository.
async fn run_with(agent: &str, code: i32, more: &[&str]) -> Ended {
    let (program, repository) = (Program::new().await, Repository::new());
    let path = repository.text();
    let mut arguments =
        vec!["run", "Fix the answer", "--json", "--repo", &path, "--agent-command", agent];
    arguments.extend(more);
    program.run(&arguments).expect_code(code)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_repository() {
    let program = Program::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_string_lossy().into_owned();
    let ended =
        program.run(&["run", "Fix it", "--repo", &path, "--agent-command", "true"]).expect_code(2);
    says(&ended, &["not a git repository", &path]);
    let ended =
        program.run(&["run", "Fix it", "--repo", "/no/such/place", "--agent-command", "true"]);
    says(&ended.expect_code(2), &["/no/such/place", "no such directory"]);
    let ended = program.run(&["run", "Fix it", "--agent-command", "true"]).expect_code(2);
    says(&ended, &["--repo"]);
    assert_eq!(
        program.run(&["list", "--json"]).json(),
        serde_json::json!([]),
        "nothing was stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_commit() {
    let program = Program::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let git = Command::new("git").arg("init").arg("--quiet").arg(directory.path()).status();
    assert!(git.expect("git runs").success());
    let path = directory.path().to_string_lossy().into_owned();
    let ended = program.run(&["run", "Fix it", "--repo", &path, "--agent-command", GOOD_AGENT]);
    assert_ne!(ended.code, 0);
    says(&ended, &["no commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tests() {
    let program = Program::new().await;
    let repository = Repository::with(&[("answer", "41\n")]);
    let arguments =
        ["run", "Fix it", "--json", "--repo", &repository.text(), "--agent-command", GOOD_AGENT];
    let view = program.run(&arguments).expect_code(1).json();
    let said = view["error"]["message"].as_str().expect("a message");
    assert!(said.contains("test.command"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_there() {
    let ended = run_with("no-such-agent --fix", 1, &[]).await;
    says(&ended, &["no-such-agent", "agent.command"]);
    let (program, repository) = (Program::new().await, Repository::new());
    let ended = program.run(&["run", "Fix it", "--repo", &repository.text()]).expect_code(2);
    says(&ended, &["agent.command"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs() {
    let (program, repository) = (Program::new().await, Repository::new());
    let workflow = program.file(
        "quick.yaml",
        "name: quick\nstages: [{name: code_generation, kind: code_generation, timeout_ms: 500, attempts: 1}]\n",
    );
    program.run(&["workflows", "register", &workflow]).expect_code(0);
    let arguments = [
        "run",
        "Fix it",
        "--json",
        "--workflow",
        "quick",
        "--repo",
        &repository.text(),
        "--agent-command",
        "sh -c 'sleep 1000 & sleep 1000'",
    ];
    let view = program.run(&arguments).expect_code(1).json();
    assert_eq!(view["error"]["kind"], "timeout", "{view:#}");
    let said = view["error"]["message"].as_str().expect("a message");
    assert!(said.contains("0.5 s") && said.contains("timeout_ms"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_prints_a_hundred_megabytes() {
    let ended = run_with(
        "sh -c 'yes 0123456789012345678901234567890123456789 | head -c 100000000'",
        1,
        &[],
    )
    .await;
    says(&ended, &["50 MB", "limits.output_mb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_changes_nothing() {
    let ended = run_with("true", 1, &[]).await;
    says(&ended, &["changed nothing", "policy.empty_diff"]);
    assert_eq!(ended.json()["stages"][1]["attempts"], 3, "it is told, and tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_deletes_the_test() {
    let ended = run_with("sh -c 'echo 43 > answer; rm test.sh'", 1, &[]).await;
    says(&ended, &["test.sh", "policy.deleted_tests"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leads_out_of_the_worktree() {
    let ended = run_with("sh -c 'echo 42 > answer; ln -s /etc/passwd leak'", 1, &[]).await;
    says(&ended, &["leak", "policy.outside"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_needs_a_person_pauses_the_execution() {
    let ended = run_with("sh -c 'echo please log in; exit 64'", 4, &[]).await;
    let view = ended.json();
    assert_eq!(view["status"], "paused");
    assert_eq!(view["waiting_reason"]["kind"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_every_size() {
    let program = Program::new().await;
    for empty in ["", "   \n\t"] {
        let ended = program.run(&["submit", empty, "--workflow", "default"]).expect_code(2);
        says(&ended, &["the task text is empty", "say in a sentence"]);
    }
    let repository = Repository::new();
    let long = program
        .file("long.txt", &format!("Fix the answer. {}", "It is wrong again. ".repeat(5_300)));
    let nul = program.file("nul.txt", "Fix the \0answer\0, it must be 42");
    for file in [&long, &nul] {
        let arguments = [
            "submit",
            "--file",
            file,
            "--json",
            "--repo",
            &repository.text(),
            "--agent-command",
            GOOD_AGENT,
        ];
        let submitted = program.run(&arguments).expect_code(0).json();
        let id = submitted["execution_id"].as_str().expect("an id").to_owned();
        let view = program.run(&["show", &id, "--json"]).expect_code(0).json();
        let title = view["task"]["title"].as_str().expect("a title");
        assert!(title.chars().count() <= 100 && title.starts_with("Fix the answer"), "{title}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_file_with_five_mistakes_is_told_all_five() {
    let program = Program::new().await;
    let file = program.file(
        "wrong.yaml",
        "name: wrong\n\
         stages:\n\
         \x20 - {name: one, kind: analisys}\n\
         \x20 - {name: one, kind: testing, attempts: 0}\n\
         \x20 - {name: two, kind: testing, needs: [ghost]}\n\
         \x20 - {name: three, kind: testing, timeout_ms: 0}\n",
    );
    let ended = program.run(&["workflows", "validate", &file]).expect_code(2);
    let known = "known kinds: analysis, approval, child, code_generation";
    says(
        &ended,
        &[
            "5 problems",
            "`analisys` is unknown",
            known,
            "used twice",
            "attempts must be",
            "`ghost`",
            "timeout_ms must be",
        ],
    );
    let json = program.run(&["workflows", "validate", &file, "--json"]).expect_code(2).json();
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(5));
    let ended = program.run(&["workflows", "register", &file]).expect_code(2);
    says(&ended, &["5 problems"]);
    let broken = program.file("broken.toml", "name = [");
    says(&program.run(&["workflows", "validate", &broken]).expect_code(2), &["broken.toml"]);
}

#[test]
fn a_database_that_is_away() {
    let home = tempfile::tempdir().expect("a home");
    let arguments = ["list", "--database-url", "postgres://127.0.0.1:1/nothing"];
    let ended =
        Ended::of(&bare_command(home.path(), &arguments).output().expect("it runs")).expect_code(5);
    says(&ended, &["out of reach", "--database-url"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage() {
    let program = Program::new().await;
    let cases: &[(&[&str], i32, &str)] = &[
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["show", "ffffffffffff"], 3, "there is no execution"),
        (&["show", "abc"], 3, "there is no execution"),
        (&["cancel", "@last"], 3, "there is no execution"),
        (&["workflows", "show", "nonsense"], 3, "there are: default, hotfix"),
        (&["run", "Fix it", "--workflow", "nonsense", "--agent-command", "x"], 2, "nonsense"),
        (&["run", "Fix it", "--set", "nonsense"], 2, "KEY=VALUE"),
        (&["run", "Fix it", "--set", "agent.comand=x"], 2, "unknown field `comand`"),
        (&["run", "Fix it", "--priority", "urgent"], 2, "low, medium, high or critical"),
        (&["run", "Fix it", "--input", "{"], 2, "--input is not JSON"),
        (&["run", "Fix it", "--forge", "github", "--agent-command", "x"], 2, "github"),
        (&["list", "--status", "done"], 2, "queued, running"),
        (&["list", "--since", "yesterday"], 2, "how long ago"),
        (&["logs", "@last"], 3, "there is no execution"),
    ];
    for (arguments, code, part) in cases {
        let ended = program.run(arguments).expect_code(*code);
        says(&ended, &[part]);
        assert_eq!(ended.stdout, "", "{arguments:?}: errors go to stderr");
    }
    let ended = Command::new(PROGRAM)
        .arg("config")
        .env("MAX_PARALLEL_TASKS", "many")
        .output()
        .expect("it runs");
    let ended = Ended::of(&ended).expect_code(2);
    says(&ended, &["MAX_PARALLEL_TASKS=`many`", "for example MAX_PARALLEL_TASKS=20"]);
}

//! Each command, on what the commands before it left.

use super::harness::{Ended, GOOD_AGENT, PROGRAM, Program, Repository};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

#[tokio::test(flavor = "multi_thread")]
async fn a_life_by_commands() {
    let (program, repository) = (Program::new().await, Repository::new());
    let submit = [
        "submit",
        "Fix the answer",
        "--json",
        "--workflow",
        "feature",
        "--repo",
        &repository.text(),
        "--agent-command",
        GOOD_AGENT,
        "--input",
        r#"{"approval": true}"#,
        "--idempotency-key",
        "k1",
    ];
    let first = program.run(&submit).expect_code(0).json();
    let again = program.run(&submit).expect_code(0).json();
    assert_eq!(
        (&first["execution_id"], &again["repeated"]),
        (&again["execution_id"], &json!(true))
    );
    let id = first["execution_id"].as_str().expect("an id").to_owned();

    let view = program.run(&["show", &id, "--json"]).expect_code(0).json();
    assert_eq!(
        (&view["status"], &view["waiting_reason"]["kind"]),
        (&json!("queued"), &json!("worker"))
    );
    program.run(&["approve", &id]).expect_code(4);

    let worker = program.start_worker();
    wait_for(&program, &id, "waiting").await;
    assert!(
        program.run(&["workers", "--json"]).json()[0]["holds"] == 0,
        "who waits is held by nobody"
    );
    let view = program.run(&["show", &id, "--json"]).expect_code(0).json();
    assert_eq!(view["waiting_reason"]["kind"], "approval", "{view:#}");
    program.run(&["approve", &id, "--reason", "looks right"]).expect_code(0);
    wait_for(&program, &id, "completed").await;
    assert_eq!(worker.terminate(), Some(0));

    let history = program.run(&["history", &id, "--json"]).expect_code(0).json_lines();
    let sequences: Vec<u64> =
        history.iter().map(|l| l["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(sequences, (1..=history.len() as u64).collect::<Vec<_>>());
    for key in ["sequence", "type", "at", "branch", "actor", "data", "hash", "position"] {
        assert!(history.iter().all(|l| !l[key].is_null()), "{key} is missing");
    }
    let logs = program.run(&["logs", &id, "--stage", "testing"]).expect_code(0).stdout;
    assert!(logs.contains("ok: the answer"), "{logs}");
    assert!(
        program
            .run(&["logs", &id, "--stage", "nonsense"])
            .expect_code(2)
            .stderr
            .contains("its stages")
    );
    let list = program
        .run(&["list", "--json", "--status", "completed", "--since", "1h"])
        .expect_code(0)
        .json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(program.run(&["list", "--json", "--status", "failed"]).json(), json!([]));
    let tasks = program.run(&["tasks", "--json"]).expect_code(0).json();
    assert_eq!(tasks[0]["idempotency_key"], "k1");
    let metrics = program.run(&["metrics", "--json"]).expect_code(0).json();
    assert_eq!(metrics["tasks_succeeded"], 1);
    for figure in ["window_ms", "cpu_seconds", "disk_free_bytes", "database_bytes", "queue_depth"] {
        assert!(metrics[figure].is_number(), "{figure}: {metrics:#}");
    }
    let health = program.run(&["health", "--json"]).json();
    assert_eq!(health["checks"][0]["name"], "database");
    assert_eq!(health["checks"][0]["state"], "ok");
    for plain in
        [vec!["show", &id], vec!["list"], vec!["tasks"], vec!["metrics"], vec!["history", &id]]
    {
        assert!(!program.run(&plain).expect_code(0).stdout.is_empty(), "{plain:?}");
    }
    program.run(&["cancel", &id]).expect_code(4);
}

pub(super) async fn wait_for(program: &Program, id: &str, status: &str) {
    crate::support::eventually(status, || async {
        let view = program.run(&["show", id, "--json"]).expect_code(0).json();
        let is = view["status"].as_str().expect("a status").to_owned();
        assert!(is == status || is != "failed", "{view:#}");
        (is == status).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_execution_is_retried_from_where_it_failed() {
    let (program, repository) = (Program::new().await, Repository::new());
    let marker = program.database.home.path().join("mended");
    let agent = format!("sh -c 'test -e {} || exit 127; echo 42 > answer'", marker.display());
    let run = [
        "run",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        &agent,
    ];
    let view = program.run(&run).expect_code(1).json();
    assert_eq!(view["error"]["stage"], "code_generation");
    std::fs::write(marker, "").expect("a file");
    let view =
        program.run(&["retry", "@last", "--reason", "mended", "--json"]).expect_code(0).json();
    assert_eq!((&view["branch"], &view["status"]), (&json!(2), &json!("queued")));
    let worker = program.start_worker();
    wait_for(&program, view["execution_id"].as_str().expect("an id"), "completed").await;
    let view = program.run(&["show", "@last", "--json"]).expect_code(0).json();
    assert_eq!(view["stages"][0]["attempts"], 1, "analysis did not run again");
    assert_eq!(worker.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_from_another_process_ends_the_agent() {
    let (program, repository) = (Program::new().await, Repository::new());
    let pid_file = program.database.home.path().join("pid");
    let agent = format!("sh -c 'sleep 1000 & echo $! > {}; wait'", pid_file.display());
    let submit = [
        "submit",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        &agent,
    ];
    let id = program.run(&submit).expect_code(0).json()["execution_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let worker = program.start_worker();
    let pid: i32 = crate::support::eventually("the agent runs", || async {
        std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
    })
    .await;
    program.run(&["cancel", &id, "--reason", "never mind"]).expect_code(0);
    wait_for(&program, &id, "cancelled").await;
    crate::support::eventually("the agent's child is gone", || async {
        // SAFETY: signal 0 only asks whether the process exists.
        (unsafe { libc::kill(pid, 0) } != 0).then_some(())
    })
    .await;
    assert_eq!(worker.terminate(), Some(0));
}

#[test]
fn parse_needs_no_database() {
    let home = tempfile::tempdir().expect("a home");
    let parse = |arguments: &[&str]| {
        let output =
            super::harness::bare_command(home.path(), arguments).output().expect("it runs");
        Ended::of(&output)
    };
    let task = parse(&["parse", "Fix the login bug, it is urgent", "--json", "--offline"])
        .expect_code(0)
        .json();
    assert_eq!((&task["type"], &task["priority"]), (&json!("bugfix"), &json!("high")));
    assert!(parse(&["parse", "Fix the login bug"]).expect_code(0).stdout.contains("bugfix"));
    parse(&["parse", ""]).expect_code(2);
    assert!(home.path().read_dir().expect("a directory").next().is_none(), "it wrote nothing");
}

#[test]
fn parse_reads_lines_and_goes_on_after_a_bad_one() {
    let mut child = Command::new(PROGRAM)
        .args(["parse", "--jsonl", "--offline"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = "{\"id\": \"a\", \"text\": \"Add CSV export\"}\nnot json\n{\"id\": 7}\n{\"id\": \"e\", \"text\": \"\"}\n\n{\"id\": \"b\", \"text\": \"Fix typo\"}\n";
    child.stdin.take().expect("a stdin").write_all(lines.as_bytes()).expect("written");
    let ended = Ended::of(&child.wait_with_output().expect("it ends")).expect_code(0);
    let rows = ended.json_lines();
    let ids: Vec<&Value> = rows.iter().map(|r| &r["id"]).collect();
    assert_eq!(ids, [&json!("a"), &Value::Null, &json!(7), &json!("e"), &json!("b")]);
    assert!(rows[0]["elapsed_us"].is_u64() && rows[0]["type"] == "feature");
    assert!([1, 2, 3].iter().all(|i| rows[*i]["error"].is_string()), "{rows:?}");
}

#[test]
fn the_settings_say_where_they_come_from() {
    let home = tempfile::tempdir().expect("a home");
    std::fs::write(home.path().join("config.toml"), "max_parallel_tasks = 7\n").expect("a file");
    let mut command = super::harness::bare_command(home.path(), &["config", "--json"]);
    command.env("MAX_STAGE_RETRIES", "0").env("DATABASE_URL", "postgres://user:hunter2@host/db");
    let ended = Ended::of(&command.output().expect("it runs")).expect_code(0);
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
    let settings = ended.json()["settings"].as_array().expect("settings").clone();
    let of = |name: &str| settings.iter().find(|s| s["name"] == name).expect("a setting").clone();
    assert_eq!(of("MAX_PARALLEL_TASKS")["value"], "7");
    assert!(of("MAX_PARALLEL_TASKS")["origin"].as_str().expect("text").ends_with("config.toml"));
    assert_eq!(
        (of("MAX_STAGE_RETRIES")["value"].clone(), of("MAX_STAGE_RETRIES")["origin"].clone()),
        (json!("0"), json!("environment"))
    );
    assert_eq!(of("DATABASE_URL")["value"], "(hidden)");
}

#[test]
fn completions_and_help() {
    let run = |arguments: &[&str]| {
        Ended::of(&Command::new(PROGRAM).args(arguments).output().expect("it runs"))
            .expect_code(0)
            .stdout
    };
    assert!(run(&["completions", "bash"]).contains("_longhaul"));
    let help = run(&["--help"]);
    for command in ["demo", "run", "submit", "parse", "worker", "history", "workflows"] {
        assert!(help.contains(command), "{command} is missing");
    }
    assert!(!help.contains("guard"), "what the program starts by itself is not for people");
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_listed_shown_and_registered() {
    let program = Program::new().await;
    let list = program.run(&["workflows", "list", "--json"]).expect_code(0).json();
    let names: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|w| w["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["default", "hotfix", "feature", "bugfix", "refactor", "experimental"]);
    let shown = program.run(&["workflows", "show", "hotfix"]).expect_code(0).json();
    assert_eq!(shown["stages"][0]["name"], "code_generation");
    let toml = program.file("mine.toml", "name = \"My Checks\"\n[[stages]]\nname = \"check\"\nkind = \"command\"\nconfig = {command = \"true\"}\n");
    let registered = program.run(&["workflows", "register", &toml, "--json"]).expect_code(0).json();
    assert_eq!(
        (&registered["name"], &registered["title"], &registered["version"]),
        (&json!("my_checks"), &json!("My Checks"), &json!(1))
    );
    let view = program
        .run(&["run", "Check it", "--workflow", "my_checks", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(
        (&view["workflow"]["name"], &view["status"]),
        (&json!("my_checks"), &json!("completed"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_run_with_130_and_keeps_the_execution() {
    let (program, repository) = (Program::new().await, Repository::new());
    let gate = program.database.home.path().join("gate");
    let agent = format!("sh -c 'test -e {0} || sleep 1000; echo 42 > answer'", gate.display());
    let run = [
        "run",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        &agent,
    ];
    let running = program
        .command(&run)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let running = super::harness::Running(running);
    wait_for_running(&program, "code_generation").await;
    // SAFETY: our own child that has not been waited for.
    unsafe { libc::kill(running.0.id() as i32, libc::SIGINT) };
    let mut running = running;
    assert_eq!(running.0.wait().expect("it ends").code(), Some(130));
    let view = program.run(&["show", "@last", "--json"]).expect_code(0).json();
    assert_eq!(
        (&view["status"], &view["stages"][1]["status"]),
        (&json!("queued"), &json!("interrupted"))
    );
    std::fs::write(gate, "").expect("a file");
    let worker = program.start_worker();
    wait_for(&program, view["execution_id"].as_str().expect("an id"), "completed").await;
    assert_eq!(worker.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_end_lets_its_stage_end_first() {
    let (program, repository) = (Program::new().await, Repository::new());
    let gate = program.database.home.path().join("gate");
    let agent = format!(
        "sh -c 'while ! test -e {}; do sleep 0.05; done; echo 42 > answer'",
        gate.display()
    );
    let submit =
        ["submit", "Fix the answer", "--repo", &repository.text(), "--agent-command", &agent];
    program.run(&submit).expect_code(0);
    let worker = program.start_worker();
    wait_for_running(&program, "code_generation").await;
    let ending = tokio::task::spawn_blocking(move || worker.terminate());
    crate::support::eventually("the worker drains", || async {
        let workers = program.run(&["workers", "--json"]).expect_code(0).json();
        (workers[0]["draining"] == true).then_some(())
    })
    .await;
    std::fs::write(gate, "").expect("a file");
    assert_eq!(ending.await.expect("no panic"), Some(0));
    let view = program.run(&["show", "@last", "--json"]).expect_code(0).json();
    let status = |n: usize| view["stages"][n]["status"].as_str().expect("a status").to_owned();
    assert_eq!((status(1).as_str(), status(2).as_str()), ("succeeded", "pending"), "{view:#}");
    assert_eq!(view["status"], "queued", "the next worker goes on with it");
}

pub(super) async fn wait_for_running(program: &Program, stage: &str) {
    crate::support::eventually("the stage runs", || async {
        let shown = program.run(&["show", "@last", "--json"]);
        let stages = if shown.code == 0 { shown.json()["stages"].clone() } else { Value::Null };
        let is = |s: &Value| s["name"] == stage && s["status"] == "running";
        stages.as_array().is_some_and(|a| a.iter().any(is)).then_some(())
    })
    .await;
}

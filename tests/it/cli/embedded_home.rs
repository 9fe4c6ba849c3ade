//! The embedded database under the program: the demo, the crash demo, short commands beside a worker,
//! a database that dies in mid-run. On disk, with everything that durability needs switched on.

use super::harness::{Ended, GOOD_AGENT, Repository, Running, bare_command};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

/// A home that an unprivileged database user can get into.
fn home() -> tempfile::TempDir {
    let mode = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("longhaul-home-").permissions(mode).tempdir().expect("a home")
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Home(home())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&bare_command(self.0.path(), arguments).output().expect("it runs"))
    }

    fn status(&self) -> Value {
        self.run(&["db", "status", "--json"]).expect_code(0).json()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = bare_command(self.0.path(), &["db", "stop"]).output();
    }
}

fn history(home: &Home) -> Vec<Value> {
    home.run(&["history", "@last", "--json"]).expect_code(0).json_lines()
}

fn count(history: &[Value], name: &str, stage: &str) -> usize {
    history.iter().filter(|l| l["type"] == name && l["data"]["stage"] == stage).count()
}

#[test]
fn the_demo_ends_with_a_merged_change() {
    let home = Home::new();
    let ended = home.run(&["demo"]).expect_code(0);
    assert!(ended.stdout.contains("The change is merged as "), "{}", ended.stdout);
    let view = home.run(&["show", "@last", "--json"]).expect_code(0).json();
    assert_eq!((view["status"].as_str(), view["loops"].as_u64()), (Some("completed"), Some(1)));
    assert_eq!(view["stages"][2]["output"]["passed"], 2, "{view:#}");
    assert_eq!(count(&history(&home), "StageReopened", "code_generation"), 1);
    let status = home.status();
    assert!(status["running"].as_bool().is_some() && status["data_dir"].is_string(), "{status}");
}

#[test]
fn the_demo_survives_a_killed_worker() {
    let home = Home::new();
    let ended = home.run(&["demo", "--crash"]).expect_code(0);
    assert!(ended.stderr.contains("killed (SIGKILL) in code_generation"), "{}", ended.stderr);
    let history = history(&home);
    assert_eq!(count(&history, "StageInterrupted", "code_generation"), 1);
    assert_eq!(count(&history, "StageStarted", "analysis"), 1, "what was done is not done again");
    assert_eq!(count(&history, "StageSucceeded", "deployment"), 1);
    assert_eq!(history.last().map(|l| l["type"].clone()), Some("ExecutionCompleted".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn short_commands_and_a_killed_database_do_not_disturb_a_worker() {
    let home = Home::new();
    let repository = Repository::new();
    let gate = home.0.path().join("gate");
    let agent = format!(
        "sh -c 'while ! test -e {}; do sleep 0.05; done; echo 42 > answer'",
        gate.display()
    );
    let submit = [
        "submit",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        &agent,
    ];
    home.run(&submit).expect_code(0);
    let mut worker = bare_command(home.0.path(), &["worker"]);
    let worker = worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let worker = Running(worker.expect("a worker"));
    wait_for_stage(&home, "code_generation").await;
    let before = home.status();
    for _ in 0..3 {
        home.run(&["show", "@last"]).expect_code(0);
    }
    assert_eq!(home.status()["postgres_pid"], before["postgres_pid"], "nobody took it away");
    kill(&before["postgres_pid"]);
    std::fs::write(&gate, "").expect("a file");
    let view = wait_for_end(&home).await;
    assert_eq!(view["status"], "completed", "{view:#}");
    assert_eq!(view["stages"][1]["attempts"], 1, "the agent outlived the database");
    kill(&home.status()["guardian_pid"]);
    assert_eq!(home.run(&["list", "--json"]).expect_code(0).json()[0]["status"], "completed");
    assert_eq!(worker.terminate(), Some(0));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while home.status()["running"] == true {
        assert!(std::time::Instant::now() < deadline, "it stops when nobody uses it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn kill(pid: &Value) {
    let pid = i32::try_from(pid.as_i64().expect("a process id")).expect("a process id");
    // SAFETY: a process of this test's own embedded database, just told by its status.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
}

async fn wait_for_stage(home: &Home, stage: &str) {
    crate::support::eventually(stage, || async {
        let view = home.run(&["show", "@last", "--json"]).expect_code(0).json();
        let stages = view["stages"].as_array().expect("stages").clone();
        stages.iter().any(|s| s["name"] == stage && s["status"] == "running").then_some(())
    })
    .await;
}

async fn wait_for_end(home: &Home) -> Value {
    crate::support::eventually("the execution has ended", || async {
        let ended = home.run(&["show", "@last", "--json"]);
        let view = if ended.code == 0 { ended.json() } else { Value::Null };
        view["finished_at"].is_string().then_some(view)
    })
    .await
}

#[test]
fn a_run_uses_the_embedded_database_by_itself() {
    let home = Home::new();
    let repository = Repository::new();
    let arguments = [
        "run",
        "Fix the answer",
        "--json",
        "--repo",
        &repository.text(),
        "--agent-command",
        GOOD_AGENT,
    ];
    let view = home.run(&arguments).expect_code(0).json();
    assert_eq!(view["status"], "completed");
    assert_eq!(
        home.run(&["db", "psql", "-Atc", "select count(*) from executions"])
            .expect_code(0)
            .stdout
            .trim(),
        "1"
    );
    assert_eq!(home.run(&["db", "stop", "--json"]).expect_code(0).json()["stopped"], true);
    assert_eq!(home.status()["running"], false);
}

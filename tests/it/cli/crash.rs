//! SIGKILL, at any moment, again and again: always completed, one merge, one change request, no event
//! lost, no result recorded twice.

use super::harness::{Program, Repository};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

const KILLS: u32 = 50;
const TEXT: &str = "Fix the answer";

/// Works for a little while, so that there is a midst of every stage to be killed in.
const AGENT: &str = "sh -c 'echo at work; sleep 0.2; echo 42 > answer; sleep 0.1'";
const TEST: &str = "#!/bin/sh\nsleep 0.1\ngrep -qx 42 answer && echo ok\n";

/// The seed is printed when it fails, and can be given again.
fn seed() -> u64 {
    let given = std::env::var("LONGHAUL_TEST_SEED").ok().and_then(|s| s.parse().ok());
    given.unwrap_or_else(rand::random)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_in_a_row() {
    let seed = seed();
    println!("LONGHAUL_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let program = Program::new().await;
    let mut kills = 0;
    let mut executions = 0;
    while kills < KILLS {
        let repository = Repository::with(&[("answer", "41\n"), ("test.sh", TEST)]);
        let submit = [
            "submit",
            TEXT,
            "--json",
            "--workflow",
            "default",
            "--repo",
            &repository.text(),
            "--agent-command",
            AGENT,
        ];
        let id = program.run(&submit).expect_code(0).json()["execution_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        executions += 1;
        while !has_ended(&program, &id).await {
            let mut worker = program.start_worker();
            if kills < KILLS {
                tokio::time::sleep(Duration::from_millis(random.random_range(20..1_200))).await;
                worker.kill();
                kills += 1;
                continue;
            }
            crate::support::eventually("the execution has ended", || async {
                has_ended(&program, &id).await.then_some(())
            })
            .await;
        }
        check(&program, &repository, &id);
    }
    println!("{kills} kills over {executions} executions");
}

async fn has_ended(program: &Program, id: &str) -> bool {
    let status: String =
        sqlx::query_scalar("select status from executions where execution_id = $1::uuid")
            .bind(id)
            .fetch_one(&mut connect(program).await)
            .await
            .expect("a status");
    matches!(status.as_str(), "completed" | "failed" | "cancelled")
}

async fn connect(program: &Program) -> sqlx::PgConnection {
    use sqlx::Connection;
    sqlx::PgConnection::connect(&program.database.url).await.expect("a connection")
}

fn check(program: &Program, repository: &Repository, id: &str) {
    let view = program.run(&["show", id, "--json"]).expect_code(0).json();
    assert_eq!(view["status"], "completed", "{view:#}");
    assert_eq!(repository.on_main("answer"), "42");
    assert_eq!(
        repository.merges(),
        1,
        "{}",
        repository.git(&["log", "--graph", "--oneline", "main"])
    );
    let requests = repository.git(&["for-each-ref", "--format=%(refname)", "refs/heads/longhaul"]);
    assert_eq!(requests.lines().count(), 1, "one change request: {requests}");
    let history = program.run(&["history", id, "--json"]).expect_code(0).json_lines();
    let sequences: Vec<u64> =
        history.iter().map(|l| l["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(sequences, (1..=history.len() as u64).collect::<Vec<_>>(), "no event is lost");
    let mut results: HashMap<&str, u32> = HashMap::new();
    for line in history.iter().filter(|l| l["type"] == "StageSucceeded") {
        *results.entry(line["data"]["stage"].as_str().expect("a stage")).or_default() += 1;
    }
    assert_eq!(results.len(), 6);
    assert!(results.values().all(|n| *n == 1), "each result is recorded once: {results:?}");
    assert_eq!(
        attempts_after_success(&history),
        Vec::<String>::new(),
        "what is done is not done again"
    );
}

/// Stages that were started although they had succeeded.
fn attempts_after_success(history: &[Value]) -> Vec<String> {
    let mut done = Vec::new();
    let mut again = Vec::new();
    for line in history {
        let stage = line["data"]["stage"].as_str().unwrap_or_default().to_owned();
        match line["type"].as_str() {
            Some("StageSucceeded") => done.push(stage),
            Some("StageStarted") if done.contains(&stage) => again.push(stage),
            _ => {}
        }
    }
    again
}

//! The commands, from the outside; and workers that are killed while they feed the read models.

use crate::cli::harness::Program;
use crate::support::eventually;
use serde_json::Value;

fn list(program: &Program) -> Vec<Value> {
    let list = program.run(&["projections", "list", "--json"]).expect_code(0).json();
    list.as_array().expect("a list").clone()
}

/// A program that knows a workflow without a repository: somebody has to sign.
async fn program() -> Program {
    let program = Program::new().await;
    let stages =
        r#"{"name": "sign", "stages": [{"name": "sign", "kind": "approval", "needs": []}]}"#;
    let file = program.file("sign.json", stages);
    program.run(&["workflows", "register", &file]).expect_code(0);
    program
}

fn submit(program: &Program, n: usize) {
    let text = format!("Write down thought {n}");
    program.run(&["submit", &text, "--workflow", "sign", "--json"]).expect_code(0);
}

#[tokio::test]
async fn workers_feed_them_and_may_be_killed() {
    let program = program().await;
    for round in 0..4 {
        for n in 0..3 {
            submit(&program, round * 3 + n);
        }
        let mut worker = program.start_worker();
        eventually("the read models move", || async {
            let is_moving = |p: &Value| p["events"].as_i64() > Some(0);
            list(&program).iter().any(is_moving).then_some(())
        })
        .await;
        worker.kill();
    }
    let _worker = program.start_worker();
    eventually("nothing is behind", || async {
        let is_done = |p: &Value| p["state"] == "live" && p["lag_events"] == 0;
        list(&program).iter().all(is_done).then_some(())
    })
    .await;
    let verdicts = program.run(&["projections", "verify", "--json"]).expect_code(0).json();
    let verdicts = verdicts.as_array().expect("verdicts").clone();
    assert_eq!(verdicts.len(), 10);
    assert!(verdicts.iter().all(|v| v["equal"] == true), "{verdicts:?}");
}

#[tokio::test]
async fn what_was_altered_is_found_and_put_right() {
    let program = program().await;
    submit(&program, 1);
    program.run(&["projections", "rebuild", "--all"]).expect_code(0);
    let table = "projection_daily_metrics_2.daily_metrics";
    program.database.execute(&format!("update {table} set events = events + 1")).await;
    let ended = program.run(&["projections", "verify", "daily_metrics"]).expect_code(1);
    assert!(ended.stdout.contains("only live: daily_metrics {"), "{}", ended.stdout);
    assert!(ended.stdout.contains("only rebuilt: daily_metrics {"), "{}", ended.stdout);
    program.run(&["projections", "rebuild", "daily_metrics"]).expect_code(0);
    program.run(&["projections", "verify", "daily_metrics"]).expect_code(0);

    program.run(&["projections", "rebuild"]).expect_code(2);
    let unknown = program.run(&["projections", "verify", "nothing"]).expect_code(3);
    assert!(unknown.stderr.contains("there is no read model `nothing`"), "{}", unknown.stderr);
    let table = program.run(&["projections", "list"]).expect_code(0);
    assert!(table.stdout.contains("execution_list"), "{}", table.stdout);
}

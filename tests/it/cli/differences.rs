//! `diff`: branches, sequences and executions side by side.

use super::harness::{GOOD_AGENT, Program, Repository};
use crate::history::engine_of;
use crate::worker::run;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn two_branches_part_at_the_stage_that_began_again() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id;
    let set = json!({"test": {"command": "true"}});
    engine.rewind(id, "two", set, "another way").await.expect("rewound");
    engine.process(id).await.expect("processed");
    let id = id.to_string();
    let diff = program.run(&["diff", &id, "b1", "b2", "--json"]).expect_code(0).json();
    let parted = &diff["divergence"];
    assert_eq!((&parted["stage"], &parted["path"]), (&json!("two"), &json!("output.attempt")));
    assert!(parted["a"].as_u64() < parted["b"].as_u64(), "{parted}");
    let same: Vec<&Value> =
        diff["stages"].as_array().expect("stages").iter().map(|s| &s["same"]).collect();
    assert_eq!(same, [true, false, false]);
    assert_eq!(
        diff["stages"][1]["outcome"][0],
        json!({"path": "output.attempt", "from": 1, "to": 2})
    );
    // The line of b2 has one attempt of each stage too: what was undone is not part of it.
    assert_eq!(diff["stages"][1]["b"]["attempts"], 1);
    let request = diff["request"].as_array().expect("changes");
    assert!(request.iter().any(|c| c["path"] == "settings.test.command" && c["to"] == "true"));
    assert_eq!((&diff["a"]["branch"], &diff["b"]["branch"]), (&json!(1), &json!(2)));

    let plain = program.run(&["diff", &id, "b1", "b2"]).expect_code(0).stdout;
    assert!(plain.contains("first divergence: stage `two`, output.attempt (a: event "), "{plain}");
    assert!(plain.contains("  output.attempt: 1 -> 2"), "{plain}");
    let last = diff["a"]["sequence"].to_string();
    let by_sequence = program.run(&["diff", &id, &last, "b2", "--json"]).expect_code(0).json();
    assert_eq!(by_sequence["divergence"], diff["divergence"]);
    let none = program.run(&["diff", &id, "b2", "b2"]).expect_code(0).stdout;
    assert!(none.contains("no stage came to anything else"), "{none}");
    assert!(program.run(&["diff", &id, "b1", "b3"]).expect_code(3).stderr.contains("not b3"));
    assert!(program.run(&["diff", &id, "b1", "4711"]).expect_code(3).stderr.contains("not 4711"));
    program.run(&["diff", &id, "b1", &format!("{id}:x")]).expect_code(2);
    program.run(&["diff", &id, "b1", "nobody"]).expect_code(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_shares_what_was_carried_over() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id;
    let fork = longhaul::workflow::fork::Fork { from: "three".to_owned(), ..Default::default() };
    let made = engine.fork(id, &fork).await.expect("a fork").execution_id;
    let (id, made) = (id.to_string(), made.to_string());
    let diff = program.run(&["diff", &id, "b1", &made, "--json"]).expect_code(0).json();
    let parted = &diff["divergence"];
    assert_eq!((&parted["stage"], &parted["b"]), (&json!("three"), &Value::Null), "{parted}");
    assert_eq!(diff["stages"][2]["b"]["status"], "pending");
    assert_eq!(
        (&diff["stages"][0]["same"], &diff["stages"][1]["same"]),
        (&json!(true), &json!(true))
    );
    engine.process(made.parse().expect("an id")).await.expect("processed");
    let side = format!("{made}:b1");
    let diff = program.run(&["diff", &id, &id, &side, "--json"]).expect_code(0).json();
    assert_eq!(diff["divergence"], Value::Null, "it came to the same: {diff:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_two_branches_is_a_patch() {
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
    let other = "agent.command=sh -c 'echo 42 > answer; echo more > more'";
    program.run(&["rewind", &id, "--from", "code_generation", "--set", other]).expect_code(0);
    let worker = program.start_worker();
    super::commands::wait_for(&program, &id, "completed").await;
    assert_eq!(worker.terminate(), Some(0));
    let plain = program.run(&["diff", &id, "b1", "b2"]).expect_code(0).stdout;
    assert!(plain.contains("first divergence: stage `code_generation`"), "{plain}");
    assert!(plain.contains("+++ b/more\n@@ -0,0 +1 @@\n+more\n"), "{plain}");
    let json = program.run(&["diff", &id, "b1", "b2", "--json"]).expect_code(0).json();
    assert!(json["patch"].as_str().is_some_and(|p| p.contains("+more")), "{json:#}");
}

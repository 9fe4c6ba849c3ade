//! `state`: a moment of an execution, and what changed between two.

use super::harness::Program;
use crate::history::engine_of;
use crate::worker::run;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_state_at_a_sequence_or_a_time() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id.to_string();
    let now = program.run(&["state", &id, "--json"]).expect_code(0).json();
    assert_eq!((&now["status"], &now["branch"]), (&json!("completed"), &json!(1)));
    assert_eq!(now["state"]["version"], now["sequence"]);
    assert_eq!(now["state_hash"].as_str().map(str::len), Some(64));

    let first = program.run(&["state", &id, "--at", "1", "--json"]).expect_code(0).json();
    assert_eq!((&first["status"], &first["sequence"]), (&json!("queued"), &json!(1)));
    assert_ne!(first["state_hash"], now["state_hash"]);
    let at = first["at"].as_str().expect("a time");
    let then = program.run(&["state", &id, "--at", at, "--json"]).expect_code(0).json();
    assert_eq!(then["state_hash"], first["state_hash"]);

    let plain = program.run(&["state", &id, "--at", "1"]).expect_code(0).stdout;
    assert!(plain.starts_with("after event 1 of ") && plain.contains(", branch 1"), "{plain}");
    assert!(plain.contains("queued"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_two_moments() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let view = run(&engine, "w").await;
    let (id, last) = (view.execution_id.to_string(), view.version.to_string());
    let plain = program.run(&["state", &id, "--at", "1", "--to", &last]).expect_code(0).stdout;
    assert!(plain.contains("  stages[two].state.is: \"pending\" -> \"succeeded\""), "{plain}");
    let json =
        program.run(&["state", &id, "--at", "1", "--to", &last, "--json"]).expect_code(0).json();
    assert_eq!((&json["from"]["sequence"], &json["to"]["branch"]), (&json!(1), &json!(1)));
    let changes = json["changes"].as_array().expect("changes");
    assert!(changes.iter().any(|c| c["path"] == "outcome"), "{json:#}");
    let same = program.run(&["state", &id, "--at", "1", "--to", "1"]).expect_code(0).stdout;
    assert!(same.ends_with("nothing changed\n"), "{same}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_that_is_none() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id.to_string();
    let said = program.run(&["state", &id, "--at", "yesterday"]).expect_code(2).stderr;
    assert!(said.contains("is no moment"), "{said}");
    let said = program.run(&["state", &id, "--at", "4711"]).expect_code(3).stderr;
    assert!(said.contains("events, not 4711"), "{said}");
    program.run(&["state", &id, "--at", "2001-01-01T00:00:00Z"]).expect_code(3);
    program.run(&["state", &id, "--to", "1"]).expect_code(2);
    program.run(&["state", "0000000000"]).expect_code(3);
}

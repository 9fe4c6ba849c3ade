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

#[tokio::test(flavor = "multi_thread")]
async fn replay_verifies_what_is_stored_and_what_is_recorded() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id.to_string();
    let one = program.run(&["replay", "verify", &id]).expect_code(0).stdout;
    assert!(one.starts_with("1 executions, ") && one.contains(": no difference"), "{one}");
    let all = program.run(&["replay", "verify", "--all", "--json"]).expect_code(0).json();
    assert_eq!((&all["executions"], &all["differing"]), (&json!(1), &json!(0)));
    let from = program.run(&["replay", "verify", "--all", "--from", &id, "--json"]).expect_code(0);
    assert_eq!(from.json()["states"], all["states"]);

    let recorded = program.run(&["replay", "record", &id]).expect_code(0).stdout;
    let file = program.file("h.jsonl", &recorded);
    let said = program.run(&["replay", "verify", &file]).expect_code(0).stdout;
    assert!(said.ends_with(" state hashes: no difference\n"), "{said}");
    let state = program.run(&["state", &id, "--json"]).expect_code(0).json()["state"].clone();
    program.file("h.state.json", &state.to_string());
    let said = program.run(&["replay", "verify", &file]).expect_code(0).stdout;
    assert!(said.ends_with(", the state beside it: no difference\n"), "{said}");
    program.file("h.state.json", &state.to_string().replace("\"loops\":0", "\"loops\":1"));
    let said = program.run(&["replay", "verify", &file]).expect_code(1).stdout;
    assert!(said.contains("  loops: 1 -> 0\n"), "{said}");
    let altered =
        program.file("a.jsonl", &recorded.replace("\"stage\":\"two\"", "\"stage\":\"three\""));
    let json = program.run(&["replay", "verify", &altered, "--json"]).expect_code(1).json();
    assert_eq!(json["difference"]["difference"], "decision");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_says_the_first_difference() {
    let program = Program::new().await;
    let engine = engine_of(&program.database).await;
    let id = run(&engine, "w").await.execution_id.to_string();
    program.database.execute("update events set branch = 7 where sequence = 3").await;
    let ended = program.run(&["replay", "verify", &id]).expect_code(1);
    let expected = format!(
        "execution {id}: event 3: it is stored under another branch; expected b1; found b7\n"
    );
    assert!(ended.stdout.starts_with(&expected), "{}", ended.stdout);
    let json = program.run(&["replay", "verify", "--all", "--json"]).expect_code(1).json();
    let difference = &json["differences"][0];
    assert_eq!((&difference["sequence"], &difference["execution_id"]), (&json!(3), &json!(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_what_is_not_there() {
    let program = Program::new().await;
    program.run(&["replay", "verify"]).expect_code(2);
    program.run(&["replay", "verify", "nothing.jsonl"]).expect_code(2);
    program.run(&["replay", "verify", "00000000-0000-7000-8000-000000000000"]).expect_code(3);
    program.run(&["replay", "record", "00000000-0000-7000-8000-000000000000"]).expect_code(3);
    let empty = program.file("empty.jsonl", "");
    let said = program.run(&["replay", "verify", &empty]).expect_code(2).stderr;
    assert!(said.contains("it holds no event"), "{said}");
    let all = program.run(&["replay", "verify", "--all"]).expect_code(0).stdout;
    assert!(all.starts_with("0 executions, 0 events: no difference"), "{all}");
}

//! `archive`: months of the log in files, from the outside.

use super::harness::Program;
use crate::archive::{age, ago, ended_in, submit_in};
use crate::history::engine_of;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_archived_dropped_and_restored() {
    let program = Program::new().await;
    age(&program.database).await;
    let engine = engine_of(&program.database).await;
    let id = ended_in(&engine, ago(2)).await.to_string();
    let open = submit_in(&engine, ago(1)).await.to_string();
    let directory = program.database.home.path().join("archives");
    let to = directory.to_str().expect("a path");
    let (month, held) = (ago(2).format("%Y-%m").to_string(), ago(1).format("%Y-%m").to_string());

    let created = program.run(&["archive", "create", "--to", to, "--json"]).expect_code(4);
    let json = created.json();
    assert_eq!(json["archives"][0]["month"], json!(month));
    assert_eq!(json["held"][0]["month"], json!(held));
    assert!(created.stderr.contains(&open), "{}", created.stderr);
    let one = program.run(&["archive", "create", "--month", &held, "--to", to]).expect_code(4);
    assert!(one.stderr.contains("is held by 1 open executions"), "{}", one.stderr);

    // The proof needs no database.
    let verified = super::harness::bare_command(
        program.database.home.path(),
        &["archive", "verify", to, "--database-url", "postgres://nobody@127.0.0.1:1/none"],
    );
    let verified = super::harness::Ended::of(&{ verified }.output().expect("it runs"));
    assert!(verified.expect_code(0).stdout.contains("verified: 1 executions"));

    let history = program.run(&["history", &id, "--json"]).expect_code(0).stdout;
    let logs = program.run(&["logs", &id, "--json"]).expect_code(0).stdout;
    program.run(&["archive", "drop", &month]).expect_code(0);
    for command in
        [&["history", &id][..], &["logs", &id], &["state", &id], &["rewind", &id, "--from", "one"]]
    {
        let said = program.run(command).expect_code(4).stderr;
        assert!(said.contains("archived") && said.contains(to), "{command:?}: {said}");
    }
    let shown = program.run(&["show", &id, "--json"]).expect_code(0).json();
    assert_eq!(
        (&shown["status"], &shown["archived"]["month"]),
        (&json!("completed"), &json!(month))
    );
    let plain = program.run(&["show", &id]).expect_code(0).stdout;
    assert!(plain.contains("archived"), "{plain}");
    let list = program.run(&["archive", "list"]).expect_code(0).stdout;
    assert!(list.contains("archive only"), "{list}");

    let place = directory.join(&month);
    let place = place.to_str().expect("a path");
    program.run(&["archive", "restore", place]).expect_code(0);
    assert_eq!(program.run(&["history", &id, "--json"]).expect_code(0).stdout, history);
    assert_eq!(program.run(&["logs", &id, "--json"]).expect_code(0).stdout, logs);
    program.run(&["archive", "restore", place]).expect_code(4);
    program.run(&["archive", "drop", "1999-01"]).expect_code(3);
    program.run(&["archive", "drop", "October"]).expect_code(2);
    program
        .run(&["archive", "verify", program.database.home.path().to_str().expect("a path")])
        .expect_code(3);
}

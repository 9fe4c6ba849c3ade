//! `audit`, as its user sees it.

use super::harness::{Ended, Program};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use uuid::Uuid;

/// An execution of a workflow of one command; gives its id.
fn execution(program: &Program) -> String {
    let workflow =
        "name: trivial\nstages:\n  - {name: check, kind: command, config: {command: 'true'}}\n";
    let file = program.file("trivial.yaml", workflow);
    program.run(&["workflows", "register", &file]).expect_code(0);
    let run = ["run", "Check it", "--workflow", "trivial", "--json"];
    let view = program.run(&run).expect_code(0).json();
    view["execution_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_what_is_broken_and_where() {
    let program = Program::new().await;
    let id = execution(&program);
    let report = program.run(&["audit", "verify", "--json"]).expect_code(0).json();
    assert_eq!(
        (&report["ok"], &report["executions"], &report["tasks"], &report["faults"]),
        (&json!(true), &json!(1), &json!(1), &json!([]))
    );
    program.run(&["audit", "verify", "@last"]).expect_code(0);

    program.database.execute("update events set actor = 'nobody' where sequence = 2").await;
    let report = program.run(&["audit", "verify", &id, "--json"]).expect_code(1).json();
    let fault = &report["faults"][0];
    assert_eq!(
        (&fault["kind"], &fault["id"], &fault["sequence"], &fault["fault"]),
        (&json!("execution"), &json!(id), &json!(2), &json!("altered"))
    );
    let text = program.run(&["audit", "verify", "--all"]).expect_code(1).stdout;
    assert!(text.contains(&format!("BROKEN: execution {id}, event 2")), "{text}");
    assert!(text.contains("1 broken"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_refuses_positions_that_are_none() {
    let program = Program::new().await;
    let said = program.run(&["audit", "verify", "--after", "here"]).expect_code(2).stderr;
    assert!(said.contains("execution:ID"), "{said}");
    program.run(&["audit", "verify", "@last"]).expect_code(3);
    program.run(&["audit", "verify", "@last", "--all"]).expect_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_kept_elsewhere_finds_a_cut_tail() {
    let program = Program::new().await;
    let id = execution(&program);
    let home = program.database.home.path().to_owned();
    let said = program.run(&["audit", "checkpoint"]).expect_code(0);
    assert!(
        said.stdout.starts_with("longhaul\n3\n") && said.stderr.contains("longhaul+"),
        "{said:?}"
    );
    let mode = std::fs::metadata(home.join("audit/key")).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let elsewhere = home.join("elsewhere").join("first").to_string_lossy().into_owned();
    let made = program.run(&["audit", "checkpoint", "--out", &elsewhere, "--json"]).expect_code(0);
    let public = made.json()["public_key"].as_str().expect("a key").to_owned();

    let cut = format!(
        "delete from events where execution_id = '{id}' and sequence > 3;
         update executions set version = 3, head_hash = (select hash from events
                where execution_id = '{id}' and sequence = 3) where execution_id = '{id}'"
    );
    program.database.execute(&cut).await;
    let report = program.run(&["audit", "verify", &id, "--json"]).expect_code(0).json();
    assert_eq!(report["ok"], true, "nothing inside the database tells");
    let against = ["--checkpoint", &elsewhere, "--public-key", &public];
    let verify = [&["audit", "verify", "--json"][..], &against].concat();
    let report = program.run(&verify).expect_code(1).json();
    let fault = &report["faults"][0];
    assert_eq!(
        (&fault["id"], &fault["sequence"], &fault["fault"]),
        (&json!(id), &json!(4), &json!("truncated"))
    );
    let text = program.run(&["audit", "verify", "--incremental"]).expect_code(1).stdout;
    assert!(text.contains(&format!("BROKEN: execution {id}, event 4")), "{text}");

    let other = home.join("other").to_string_lossy().into_owned();
    let key = program.run(&["audit", "keygen", "--key", &other]).expect_code(0).stdout;
    program.run(&["audit", "keygen", "--key", &other]).expect_code(2);
    let wrong = ["audit", "verify", "--checkpoint", &elsewhere, "--public-key", key.trim()];
    let said = program.run(&wrong).expect_code(1).stderr;
    assert!(said.contains("no signature of the key"), "{said}");
    program.run(&["audit", "verify", "--checkpoint", "/nowhere"]).expect_code(2);
}

/// The verifier that is shipped as documentation.
fn offline(arguments: &[&str]) -> Ended {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit/verify.py");
    let mut command = Command::new("python3");
    Ended::of(&command.arg(script).args(arguments).output().expect("python3 runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_verified_by_another_language() {
    let program = Program::new().await;
    let id = execution(&program);
    let heads = program.file("point", "");
    program.run(&["audit", "checkpoint", "--out", &heads]).expect_code(0);
    let heads = format!("{heads}.heads");
    let export = program.run(&["audit", "export", "--all", "--reason", "a drill"]).expect_code(0);
    let text = export.stdout;
    let file = program.file("export.jsonl", &text);
    let said = offline(&[&file]).expect_code(0).stdout;
    assert!(said.contains("3 streams: 0 broken"), "{said}");
    let root = std::fs::read_to_string(heads.trim_end_matches(".heads")).expect("the note");
    let said = offline(&[&file, &heads]).expect_code(0).stdout;
    assert!(said.contains(root.lines().nth(2).expect("a root")), "{said}");

    let lines: Vec<&str> = text.lines().collect();
    let of = |sequence: u64| {
        let starts = format!(r#"{{"kind":"execution","stream":"{id}","sequence":{sequence},"#);
        lines.iter().position(|l| l.starts_with(&starts)).expect("the event")
    };
    let tampered = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        change(&mut lines);
        program.file(&format!("{}.jsonl", Uuid::new_v4()), &(lines.join("\n") + "\n"))
    };
    let place = |sequence: u64| format!("execution {id}, event {sequence}");
    let flipped = tampered(&|l| l[of(3)] = l[of(3)].replacen("check", "chek", 1));
    let removed = tampered(&|l| drop(l.remove(of(2))));
    let swapped = tampered(&|l| l.swap(of(2), of(3)));
    for (file, at) in [(flipped, 3), (removed, 2), (swapped, 2)] {
        let said = offline(&[&file]).expect_code(1).stdout;
        assert!(said.contains(&place(at)), "{said}");
    }
    let last = lines.iter().filter(|l| l.starts_with(r#"{"kind":"execution""#)).count() as u64;
    let shortened = |l: &mut Vec<String>| {
        l.remove(of(last));
        let end = l.last_mut().expect("the end");
        let events = lines.len() - 1;
        *end =
            end.replace(&format!(r#""events":{events}"#), &format!(r#""events":{}"#, events - 1));
    };
    let cut = tampered(&shortened);
    offline(&[&cut]).expect_code(0);
    let said = offline(&[&cut, &heads]).expect_code(1).stdout;
    assert!(said.contains(&place(last)), "a cut end is found against the heads: {said}");
    let torn = program.file("torn.jsonl", &lines[..4].join("\n"));
    let said = offline(&[&torn]).expect_code(1).stdout;
    assert!(said.contains("not complete"), "{said}");
    offline(&[]).expect_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_exported_and_why_is_recorded() {
    let program = Program::new().await;
    let id = execution(&program);
    program.run(&["audit", "export", &id, "--reason", "asked by the court"]).expect_code(0);
    let again = program.run(&["audit", "export", "--reason", "and again"]).expect_code(0);
    let entries: Vec<_> = again.json_lines().into_iter().filter(|l| l["kind"] == "log").collect();
    let types: Vec<&str> = entries.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(types, ["WorkflowRegistered", "EventsExported", "EventsExported"]);
    let payload: Value =
        serde_json::from_str(entries[1]["payload"].as_str().expect("a payload")).expect("JSON");
    assert_eq!(
        payload,
        json!({"type": "EventsExported", "scope": id, "reason": "asked by the court",
            "source": "cli"})
    );
    let actor = entries[1]["actor"].as_str().expect("an actor");
    assert!(actor.contains('@'), "who on which host: {actor}");
    program.run(&["audit", "verify"]).expect_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_of_a_role_is_printed() {
    let program = Program::new().await;
    let said = program.run(&["db", "roles", "--app", "worker_7"]).expect_code(0).stdout;
    assert!(said.contains("create role worker_7") && said.contains("revoke update"), "{said}");
    program.run(&["db", "roles", "--app", "x; drop table events"]).expect_code(2);
    let report = program.run(&["audit", "verify", "--json"]).expect_code(0).json();
    assert_eq!(report["role_may_alter"], true, "the owner of the tables may");
}

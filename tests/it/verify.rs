//! `verify` over a real Postgres: what a worker wrote is decided again, and what was altered is found.

use crate::history::{engine_of, lengthen};
use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::{history, run, submit};
use longhaul::Longhaul;
use longhaul::engine::{Depth, VerifyReport};
use longhaul::replay::{Difference, read_line, write_line};
use longhaul::store::Scan;
use longhaul::workflow::failure::ErrorKind;
use uuid::Uuid;

async fn verify(engine: &Longhaul) -> VerifyReport {
    engine.verify(Scan::default(), Depth::Decisions, |_| {}).await.expect("verified")
}

/// The one difference there is.
#[track_caller]
fn only(report: &VerifyReport, id: Uuid) -> (Difference, u64) {
    assert_eq!((report.differing, report.differences.len()), (1, 1), "{report:#?}");
    let (found, finding) = &report.differences[0];
    assert_eq!(*found, id);
    (finding.difference, finding.sequence)
}

/// The sequence of the first event of a name.
async fn sequence_of(engine: &Longhaul, id: Uuid, name: &str) -> u64 {
    let found = history(engine, id).await.into_iter().find(|s| s.payload.contains(name));
    found.unwrap_or_else(|| panic!("no {name}")).sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_wrote_is_decided_again() {
    let database = TestDatabase::new().await;
    let builder = database.builder().workflow(row("w", &["one", "flaky", "three"]));
    let builder = builder.stage("one", Fake::ok()).stage("three", Fake::ok());
    let flaky = Fake::failing(1, ErrorKind::Transient);
    let engine = builder.stage("flaky", flaky).build().await.expect("an engine");
    let first = run(&engine, "w").await;
    let second = run(&engine, "w").await;
    engine
        .rewind(second.execution_id, "flaky", serde_json::Value::Null, "again")
        .await
        .expect("ok");
    engine.process(second.execution_id).await.expect("processed");
    let queued = submit(&engine, "w").await;
    let report = verify(&engine).await;
    assert_eq!((report.differing, report.unjudged), (0, 0), "{report:#?}");
    assert_eq!(report.executions, 3);
    let mut events = 0;
    for id in [first.execution_id, second.execution_id, queued] {
        events += history(&engine, id).await.len() as u64;
    }
    assert_eq!(report.events, events);
    assert!(report.decisions > 20 && report.decisions < events, "{report:?}");
    assert_eq!(verify(&engine).await.states, report.states, "the same states give the same digest");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_is_found_with_its_place() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = run(&engine, "w").await.execution_id;
    run(&engine, "w").await;
    let before = verify(&engine).await;
    assert_eq!(before.differing, 0, "{before:#?}");
    let started = sequence_of(&engine, id, "StageStarted").await;
    let here = format!("where execution_id = '{id}' and sequence = {started}");
    let alter = |set: &str| format!("update events set {set} {here}");
    let check = async |statement: String, back: String, expected: (Difference, u64)| {
        database.execute(&statement).await;
        assert_eq!(only(&verify(&engine).await, id), expected, "{statement}");
        database.execute(&back).await;
        assert_eq!(verify(&engine).await.differing, 0, "{back}");
    };
    let payload = |stage: &str| {
        alter(&format!(r#"payload = '{{"type":"StageStarted","stage":"{stage}","attempt":1}}'"#))
    };
    check(payload("two"), payload("one"), (Difference::Decision, started)).await;
    let unheard = alter(r#"payload = '{"type":"StageBegan","stage":"one","attempt":1}'"#);
    check(unheard, payload("one"), (Difference::Unreadable, started)).await;
    check(alter("branch = 2"), alter("branch = 1"), (Difference::Branch, started)).await;
    let last = history(&engine, id).await.len() as u64;
    let head = |set: &str| format!("update executions set {set} where execution_id = '{id}'");
    for (wrong, right) in [
        ("progress = 0.5", "progress = 1"),
        ("branch = 2", "branch = 1"),
        ("status = 'failed'", "status = 'completed'"),
    ] {
        check(head(wrong), head(right), (Difference::Head, last)).await;
    }
    let longer = head(&format!("version = {}", last + 1));
    check(longer, head(&format!("version = {last}")), (Difference::Sequence, last + 1)).await;
    let delete = |from: &str| format!("delete from {from} where execution_id = '{id}'");
    database.execute(&format!("create table kept as select * from events {here}")).await;
    let back = "insert into events select * from kept".to_owned();
    check(
        format!("{} and sequence = {started}", delete("events")),
        back,
        (Difference::Sequence, started + 1),
    )
    .await;
    database.execute(&delete("executions")).await;
    assert_eq!(only(&verify(&engine).await, id), (Difference::Head, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_without_events_is_found() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let (id, _) = (submit(&engine, "w").await, submit(&engine, "w").await);
    database.execute(&format!("delete from events where execution_id = '{id}'")).await;
    let report = verify(&engine).await;
    assert_eq!((only(&report, id), report.executions), ((Difference::Sequence, 1), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_many_pages_is_verified_and_a_lost_database_is_an_error() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = submit(&engine, "w").await;
    lengthen(&database, id, 1, 40_000).await;
    // Progress of an attempt that does not run: the second event is none that the core allows.
    assert_eq!(only(&verify(&engine).await, id), (Difference::Decision, 2));
    let pool = engine.store().pool().clone();
    let mut lost = false;
    let lose = |report: &VerifyReport| {
        if report.events > 0 && !lost {
            lost = true;
            drop(pool.close());
        }
    };
    let error = engine.verify(Scan::default(), Depth::Decisions, lose).await.expect_err("lost");
    assert_eq!(error.from, Some(id), "{error}");
    assert!(error.to_string().contains(&format!("--from {id}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_history_verifies_and_an_altered_one_does_not() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = run(&engine, "w").await.execution_id;
    let lines = engine.record(id).await.expect("recorded");
    let verify = |lines: &[String]| {
        let mut verifier = longhaul::replay::Verifier::new(None, true);
        for line in lines {
            verifier.event(read_line(line).expect("a line").found);
        }
        verifier.end().finding
    };
    let mut written: Vec<String> = lines.iter().map(write_line).collect();
    assert_eq!(verify(&written), None);
    let state = engine.state(id).await.expect("a state");
    let last = lines.last().expect("a line").found.state_hash.as_deref();
    assert_eq!(last, Some(longhaul::replay::state_hash(&state).as_str()));
    written[1] = written[1].replace("\"state_hash\":\"", "\"state_hash\":\"0");
    let finding = verify(&written).expect("a difference");
    assert_eq!((finding.difference, finding.sequence), (Difference::State, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_must_have_kinds_that_are_known() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let done = run(&engine, "w").await.execution_id;
    let open = submit(&engine, "w").await;
    let running = Scan { running: true, ..Scan::default() };
    let known = engine.verify(running, Depth::Readable, |_| {}).await.expect("verified");
    assert_eq!((known.executions, known.differing), (1, 0), "{known:#?}");
    let other = database.builder().stage("one", Fake::ok()).build().await.expect("an engine");
    let report = other.verify(running, Depth::Readable, |_| {}).await.expect("verified");
    assert_eq!(only(&report, open), (Difference::Kind, 1));
    let said = report.differences[0].1.to_string();
    assert!(said.contains("`two` of stage `two`"), "{said}");
    assert!(done < open);
}

//! Looking back over a real Postgres: the state at any moment, and reading the whole log.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::{history, run, submit};
use chrono::TimeDelta;
use longhaul::Longhaul;
use longhaul::engine::{HistoryError, Moment};
use longhaul::store::{Page, Scan, ScanTotal, Store};
use longhaul::workflow::evolve::fold;
use serde_json::json;
use uuid::Uuid;

pub(crate) async fn engine_of(database: &TestDatabase) -> Longhaul {
    let builder = database.builder().workflow(row("w", &["one", "two", "three"]));
    let builder = builder.stage("one", Fake::ok()).stage("two", Fake::ok());
    builder.stage("three", Fake::ok()).build().await.expect("an engine")
}

/// Appends events that say nothing, beside everything, so that a stream becomes long.
pub(crate) async fn lengthen(database: &TestDatabase, id: Uuid, after: usize, count: usize) {
    let payload = r#"{"type":"StageProgressed","stage":"one","attempt":1,"message":"m"}"#;
    let (first, last) = (after + 1, after + count);
    let statement = format!(
        "insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload,
                             hash, lane, lane_sequence)
         select '{id}', n, gen_random_uuid(), 'StageProgressed', 1, now(), 'test', '{payload}',
                sha256('x'), 0, 1000000 + n
           from generate_series({first}, {last}) n;
         update executions set version = {last} where execution_id = '{id}'"
    );
    database.execute(&statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_at_any_moment_is_the_fold_up_to_there() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = run(&engine, "w").await.execution_id;
    let stored = history(&engine, id).await;
    let happened: Vec<_> = stored.iter().map(|s| s.happened().expect("an event")).collect();
    assert!(stored.len() >= 8, "{} events", stored.len());
    for (index, event) in stored.iter().enumerate() {
        let expected = fold(&happened[..=index]);
        let sequence = Moment::Sequence(index as u64 + 1);
        let then = engine.state_at(id, Some(sequence)).await.expect("a state");
        assert_eq!((&then.state, then.at), (&expected, event.at), "at {sequence:?}");
        // Several events may have happened at once; all of them had happened by then.
        let upto = stored.iter().take_while(|s| s.at <= event.at).count();
        let then = engine.state_at(id, Some(Moment::Time(event.at))).await.expect("a state");
        assert_eq!(then.state, fold(&happened[..upto]));
    }
    let now = engine.state_at(id, None).await.expect("a state");
    assert_eq!(now.state, engine.state(id).await.expect("a state"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_state_before_the_first_event_or_after_the_last() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = submit(&engine, "w").await;
    let requested = history(&engine, id).await[0].at;
    for moment in
        [Moment::Sequence(0), Moment::Sequence(2), Moment::Time(requested - TimeDelta::seconds(1))]
    {
        let error = engine.state_at(id, Some(moment)).await.expect_err("no such moment");
        assert!(matches!(error, HistoryError::NoSuchMoment(_)), "{moment:?}: {error}");
    }
    let nobody = engine.state_at(Uuid::now_v7(), None).await.expect_err("no such execution");
    assert!(matches!(nobody, HistoryError::Store(_)), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_between_two_moments_is_told_path_by_path() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = run(&engine, "w").await.execution_id;
    let stored = history(&engine, id).await;
    let is_of = |name: &str, payload: &str| payload.contains(&format!("\"{name}\""));
    let started = stored.iter().find(|s| is_of("StageStarted", &s.payload)).expect("a start");
    let succeeded = stored.iter().find(|s| is_of("StageSucceeded", &s.payload)).expect("a success");
    let (from, to) = (Moment::Sequence(started.sequence), Moment::Sequence(succeeded.sequence));
    let (_, _, changes) = engine.changes_between(id, from, Some(to)).await.expect("changes");
    let change = |path: &str| {
        let found = changes.iter().find(|c| c.path == path);
        found.unwrap_or_else(|| panic!("no {path} in {changes:?}")).clone()
    };
    let state = change("stages[one].state.is");
    assert_eq!((state.from, state.to), (Some(json!("running")), Some(json!("succeeded"))));
    assert_eq!(change("version").to, Some(json!(succeeded.sequence)));
    assert!(!changes.iter().any(|c| c.path.starts_with("stages[two]")), "{changes:?}");
    let (_, _, none) = engine.changes_between(id, to, Some(to)).await.expect("changes");
    assert!(none.is_empty(), "{none:?}");
}

/// Every event of a scan: execution, sequence.
async fn scanned(store: &Store, scan: Scan) -> Vec<(Uuid, u64)> {
    let mut scanner = store.scan(scan);
    let mut seen = Vec::new();
    while let Some(page) = scanner.next().await.expect("a page") {
        if let Page::Events(events) = page {
            let key = |e: &longhaul::store::Scanned| {
                (e.execution_id().expect("an id"), e.sequence().expect("a sequence"))
            };
            seen.extend(events.iter().map(key));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_gives_every_event_once_and_in_order() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let store = engine.store();
    let mut expected = Vec::new();
    let mut ids = Vec::new();
    for index in 0..4 {
        let id = submit(&engine, "w").await;
        if index < 3 {
            engine.process(id).await.expect("processed");
        }
        ids.push(id);
    }
    let count = history(&engine, ids[1]).await.len();
    lengthen(&database, ids[1], count, 6_000).await;
    for id in &ids {
        let stored = history(&engine, *id).await;
        expected.extend(stored.iter().map(|s| (*id, s.sequence)));
    }
    assert_eq!(scanned(store, Scan::default()).await, expected);
    let tail = Scan { from: Some(ids[2]), ..Scan::default() };
    let is_tail = |(id, _): &&(Uuid, u64)| *id >= ids[2];
    let wanted: Vec<_> = expected.iter().filter(is_tail).copied().collect();
    assert_eq!(scanned(store, tail).await, wanted);
    let running = Scan { running: true, ..Scan::default() };
    assert_eq!(scanned(store, running).await, [(ids[3], 1)]);
    let one = Scan { only: Some(ids[1]), ..Scan::default() };
    assert_eq!(scanned(store, one).await.len(), count + 6_000);
    let total = store.fold_all(Scan::default(), |_| {}).await.expect("folded");
    assert_eq!(total, ScanTotal { executions: 4, events: expected.len() as u64 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_loses_the_database_says_where_to_go_on() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let (first, long) = (submit(&engine, "w").await, submit(&engine, "w").await);
    lengthen(&database, long, 1, 40_000).await;
    let store = database.store().await;
    let pool = store.pool().clone();
    let mut lost = false;
    let result = store
        .fold_all(Scan::default(), |_| {
            // From here on no page can be read; those that were on their way still come.
            if !lost {
                lost = true;
                drop(pool.close());
            }
        })
        .await;
    let error = result.expect_err("the scan did not end");
    assert_eq!((error.from, error.executions), (Some(long), 1), "{error}");
    assert!(error.events > 1 && error.events < 40_002, "{error}");
    assert!(error.to_string().ends_with(&format!("go on with --from {long}")), "{error}");
    assert!(first < long, "ids sort by time");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_ends_a_fold_with_its_place() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = submit(&engine, "w").await;
    database.execute("update events set payload = '{\"type\": \"Unheard\"}'").await;
    let error = engine.store().fold_all(Scan::default(), |_| {}).await.expect_err("unreadable");
    let said = error.to_string();
    assert!(said.contains(&format!("event 1 of execution {id}")), "{said}");
    assert_eq!(error.events, 0);
}

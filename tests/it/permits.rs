//! Keys that stages hold across all workers: never too many, never lost, and who waits says for whom.

use crate::flow::{made_up, now, registered};
use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::Fake;
use crate::worker::{Working, history, is_running, state_where};
use chrono::{DateTime, TimeDelta, Utc};
use longhaul::Longhaul;
use longhaul::engine::Submission;
use longhaul::stages::StageOutcome;
use longhaul::store::{Claimed, Stored, Wish};
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::state::Status;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use uuid::Uuid;

/// A build, and one stage `ship` that holds the key of its input's `place`.
fn exclusive() -> Definition {
    let mut stage = StageDefinition::new("ship", "ship");
    stage.resources.keys = Some(vec!["place:{input.place}".to_owned()]);
    Definition::new("exclusive", vec![StageDefinition::new("build", "build"), stage])
}

async fn submit_to(engine: &Longhaul, place: &str) -> Uuid {
    let submission = Submission {
        workflow: Some("exclusive".to_owned()),
        input: json!({"place": place}),
        ..Submission::text("Ship it")
    };
    engine.submit(submission).await.expect("submitted").execution_id
}

async fn engine_with(database: &TestDatabase, ship: Fake) -> Longhaul {
    let builder = database.builder().stage("build", Fake::ok()).stage("ship", ship);
    builder.workflow(exclusive()).build().await.expect("an engine")
}

/// A stage that takes long enough for others to come.
fn brief() -> Fake {
    Fake::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(StageOutcome::Done(json!({})))
        })
    })
}

type Span = (DateTime<Utc>, DateTime<Utc>);

/// Start and end of the stage `ship` as the log has them.
async fn spans(engine: &Longhaul, ids: &[Uuid]) -> Vec<Span> {
    let mut spans = Vec::new();
    for id in ids {
        let events = history(engine, *id).await;
        let at = |name: &str| {
            let is_it = |s: &&Stored| s.payload.contains(name) && s.payload.contains("\"ship\"");
            events.iter().find(is_it).map(|s| s.at).expect("an event")
        };
        spans.push((at("StageStarted"), at("StageSucceeded")));
    }
    spans.sort_unstable();
    spans
}

fn most_at_once(spans: &[Span]) -> usize {
    let at = |t: DateTime<Utc>| spans.iter().filter(|(a, b)| *a <= t && t < *b).count();
    spans.iter().map(|(start, _)| at(*start)).max().unwrap_or(0)
}

/// Permits, stages that wait, and what the keys count as taken.
async fn left(database: &TestDatabase) -> (i64, i64, i64) {
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    sqlx::query_as(
        "select (select count(*) from permits), (select count(*) from waits),
                (select coalesce(sum(taken), 0)::bigint from permit_keys)",
    )
    .fetch_one(&mut c)
    .await
    .expect("what is left")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_stage_never_overlaps_whoever_runs_it() {
    let database = TestDatabase::new().await;
    let engine = engine_with(&database, brief()).await;
    let mut ids = Vec::new();
    for n in 0..24 {
        ids.push(submit_to(&engine, if n % 2 == 0 { "east" } else { "west" }).await);
    }
    let workers: Vec<Working> = (0..4).map(|_| Working::with(&engine, |o| o.slots = 5)).collect();
    for id in &ids {
        let view = engine.wait_for_end(*id).await.expect("an end");
        assert_eq!(view.status, Status::Completed);
    }
    for first in [0, 1] {
        let place: Vec<Uuid> = ids.iter().copied().skip(first).step_by(2).collect();
        let spans = spans(&engine, &place).await;
        assert_eq!((spans.len(), most_at_once(&spans)), (12, 1), "{spans:?}");
    }
    for worker in workers {
        worker.end().await;
    }
    assert_eq!(left(&database).await, (0, 0, 0), "permits, waits, taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_keys_has_a_limit_that_all_workers_share() {
    let database = TestDatabase::new().await;
    let engine = engine_with(&database, brief()).await;
    let limits = [("place:*".to_owned(), 3), ("pl*".to_owned(), 1)];
    engine.store().replace_key_limits(&limits).await.expect("limits");
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(submit_to(&engine, "east").await);
    }
    let workers = [Working::start(&engine), Working::start(&engine)];
    for id in &ids {
        engine.wait_for_end(*id).await.expect("an end");
    }
    let spans = spans(&engine, &ids).await;
    assert!(most_at_once(&spans) <= 3, "{spans:?}");
    for worker in workers {
        worker.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_key_holds_no_worker_and_says_whom_it_waits_for() {
    let database = TestDatabase::new().await;
    let engine = engine_with(&database, Fake::endless()).await;
    let worker = Working::start(&engine);
    let first = submit_to(&engine, "east").await;
    state_where(&engine, first, "the first ships", |s| is_running(s, "ship")).await;
    let second = submit_to(&engine, "east").await;
    let reason = eventually("the second waits for the key, without a worker", || async {
        let row = engine.store().execution_row(second).await.ok()?;
        let view = engine.show(second).await.ok()?;
        view.waiting_reason.filter(|r| r.kind == "key" && row.worker_id.is_none())
    })
    .await;
    let holder = format!("which is held by {first} (stage ship)");
    assert!(
        reason.detail.contains("`place:east`") && reason.detail.contains(&holder),
        "{reason:?}"
    );
    let rows = [engine.store().execution_row(second).await.expect("a row")];
    let listed = engine.waiting_reasons(&rows).await.expect("reasons");
    assert_eq!(listed[&second].kind, "key");
    engine.cancel(first, "enough").await.expect("cancelled");
    state_where(&engine, second, "the second ships", |s| is_running(s, "ship")).await;
    engine.cancel(second, "enough").await.expect("cancelled");
    engine.wait_for_end(second).await.expect("an end");
    worker.end().await;
    assert_eq!(left(&database).await, (0, 0, 0), "permits, waits, taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_held_is_given_back_when_its_execution_is_taken_over() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    made_up(&mut c, 1, 2, 5, "true, now(), ''").await;
    let (dead, alive) = (registered(&store).await, registered(&store).await);
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let claim =
        async |worker, id| store.claim(worker, 1, Some(id), now()).await.expect("claimed")[0];
    let keys = ["a".to_owned(), "b".to_owned()];
    let acquire = async |claimed: Claimed, worker: Uuid, keys: &[String]| {
        let wish = Wish { claimed, worker, stage: "s", keys, priority: 5 };
        store.acquire(&wish, now()).await.expect("asked")
    };
    let mine = claim(dead, one).await;
    assert!(acquire(mine, dead, &keys).await);
    assert!(acquire(mine, dead, &keys).await, "an answer that was lost is given again");
    let other = claim(alive, two).await;
    assert!(!acquire(other, alive, &keys[1..]).await, "it is taken");
    store.bury_worker(dead, true).await.expect("buried");
    assert!(!acquire(mine, dead, &keys).await, "its fence is void");
    store.sweep_permits(now()).await.expect("swept");
    assert!(!acquire(other, alive, &keys[1..]).await, "its end is not in the log yet");
    let again = claim(alive, one).await;
    store.release_former(again, now()).await.expect("given back");
    assert!(acquire(other, alive, &keys[1..]).await);
    // Nobody takes it over and nobody gives it back: the sweep does, after a minute.
    store.bury_worker(alive, true).await.expect("buried");
    store.sweep_permits(now()).await.expect("swept");
    assert_eq!(left(&database).await.2, 1);
    store.sweep_permits(now() + TimeDelta::seconds(61)).await.expect("swept");
    assert_eq!(left(&database).await.2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_no_more_permits_than_there_are() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    made_up(&mut c, 1, 40, 5, "true, now(), ''").await;
    let worker = registered(&store).await;
    store.replace_key_limits(&[("k".to_owned(), 7)]).await.expect("limits");
    let claimed = store.claim(worker, 40, None, now()).await.expect("claimed");
    assert_eq!(claimed.len(), 40);
    let ask = |claimed: Claimed| {
        let store = store.clone();
        tokio::spawn(async move {
            let keys = ["k".to_owned()];
            let wish = Wish { claimed, worker, stage: "s", keys: &keys, priority: 5 };
            store.acquire(&wish, now()).await.expect("asked")
        })
    };
    let mut granted = 0;
    for answer in claimed.into_iter().map(ask).collect::<Vec<_>>() {
        granted += usize::from(answer.await.expect("an answer"));
    }
    assert_eq!(granted, 7);
    assert_eq!(left(&database).await, (7, 33, 7), "permits, waits, taken");
}

//! Outside services: tokens that all workers share, and a circuit that opens and closes.

use crate::flow::{made_up, now, registered};
use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::Fake;
use crate::worker::{Working, submit};
use chrono::{DateTime, TimeDelta, Utc};
use longhaul::store::{Answer, COOL_DOWN, Claimed, FAILURES_MAX, Rate, Store, Wish};
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::failure::ErrorKind;
use longhaul::workflow::state::Status;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// Executions that a worker holds, to ask with.
async fn held(database: &TestDatabase, store: &Store, count: u64) -> (Uuid, Vec<Claimed>) {
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    made_up(&mut c, 1, count, 5, "true, now(), ''").await;
    let worker = registered(store).await;
    let claimed = store.claim(worker, count as usize, None, now()).await.expect("claimed");
    assert_eq!(claimed.len(), count as usize);
    (worker, claimed)
}

async fn take(
    store: &Store,
    (worker, claimed): (Uuid, Claimed),
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let wish = Wish { claimed, worker, stage: "s", keys: &[], priority: 5 };
    store.take_token("svc", &wish, at).await.expect("asked")
}

fn rate(per_second: f64, burst: f64) -> Rate {
    Rate { name: "svc".to_owned(), per_second, burst }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_at_their_rate_and_those_in_line_go_first() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let (worker, held) = held(&database, &store, 5).await;
    assert_eq!(take(&store, (worker, held[0]), now()).await, None, "nobody limits it");
    store.replace_rates(&[rate(0.5, 2.0)], now()).await.expect("a rate");
    assert_eq!(take(&store, (worker, held[0]), now()).await, None);
    assert_eq!(take(&store, (worker, held[1]), now()).await, None, "the burst");
    let second = |n| now() + TimeDelta::seconds(n);
    assert_eq!(take(&store, (worker, held[2]), now()).await, Some(second(2)));
    assert_eq!(take(&store, (worker, held[3]), now()).await, Some(second(4)), "behind that one");
    assert_eq!(take(&store, (worker, held[4]), second(2)).await, Some(second(6)), "no passing");
    assert_eq!(take(&store, (worker, held[2]), second(2)).await, None);
    assert_eq!(take(&store, (worker, held[3]), second(3)).await, Some(second(4)), "too early");
    assert_eq!(take(&store, (worker, held[3]), second(4)).await, None);
    store.replace_rates(&[], now()).await.expect("no rate");
    assert_eq!(take(&store, (worker, held[4]), second(4)).await, None, "nobody limits it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_no_more_tokens_than_there_are() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let (worker, held) = held(&database, &store, 30).await;
    store.replace_rates(&[rate(0.001, 7.0)], now()).await.expect("a rate");
    let ask = |claimed: Claimed| {
        let store = store.clone();
        tokio::spawn(async move { take(&store, (worker, claimed), now()).await.is_none() })
    };
    let mut taken = 0;
    for answer in held.into_iter().map(ask).collect::<Vec<_>>() {
        taken += usize::from(answer.await.expect("an answer"));
    }
    // Those in line count before those who come: fewer may pass in the crowd, never more.
    assert!((1..=7).contains(&taken), "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_lets_one_try_and_closes() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let (worker, held) = held(&database, &store, 3).await;
    let fail = async |n: i32, at| {
        for _ in 0..n {
            store.service_answered("svc", Answer::Failed, at).await.expect("counted");
        }
    };
    fail(FAILURES_MAX - 1, now()).await;
    store.service_answered("svc", Answer::Answered, now()).await.expect("counted");
    fail(FAILURES_MAX - 1, now()).await;
    assert_eq!(take(&store, (worker, held[0]), now()).await, None, "not in a row");
    fail(1, now()).await;
    let opens = now() + COOL_DOWN;
    assert_eq!(take(&store, (worker, held[0]), now()).await, Some(opens));
    let waiting = store.waiting(&[held[0].execution_id]).await.expect("who waits");
    assert_eq!((waiting[0].kind.as_str(), waiting[0].until), ("circuit", Some(opens)));
    assert_eq!(take(&store, (worker, held[0]), opens).await, None, "one may try");
    assert_eq!(take(&store, (worker, held[1]), opens).await, Some(opens + COOL_DOWN));
    fail(1, opens).await;
    assert_eq!(take(&store, (worker, held[1]), opens).await, Some(opens + COOL_DOWN));
    store.service_answered("svc", Answer::Answered, opens).await.expect("counted");
    assert_eq!(take(&store, (worker, held[1]), opens).await, None, "closed");
    let patience = opens + TimeDelta::seconds(90);
    store.service_answered("svc", Answer::SlowDown(patience), opens).await.expect("counted");
    assert_eq!(take(&store, (worker, held[2]), opens).await, Some(patience));
}

fn asking(attempts: u32) -> Definition {
    let mut stage = StageDefinition::new("call", "call");
    stage.resources.service = Some("svc".to_owned());
    stage.attempts = Some(attempts);
    stage.retry.delay_ms = Some(1);
    Definition::new("asking", vec![stage])
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_service_holds_no_worker_and_says_so() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("call", Fake::ok()).workflow(asking(1));
    let engine = builder.build().await.expect("an engine");
    let hourly = rate(1.0 / 3_600.0, 1.0);
    let worker = Working::with(&engine, |o| o.rates = Some(vec![hourly.clone()]));
    let first = submit(&engine, "asking").await;
    assert_eq!(engine.wait_for_end(first).await.expect("an end").status, Status::Completed);
    let second = submit(&engine, "asking").await;
    let reason = eventually("the second waits for a token, without a worker", || async {
        let row = engine.store().execution_row(second).await.ok()?;
        let view = engine.show(second).await.ok()?;
        view.waiting_reason.filter(|r| r.kind == "rate_limit" && row.worker_id.is_none())
    })
    .await;
    assert!(reason.detail.contains("service `svc`"), "{}", reason.detail);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_its_service_make_a_stage_wait_for_the_circuit() {
    let database = TestDatabase::new().await;
    let call = Fake::failing(u32::MAX, ErrorKind::Transient);
    let builder =
        database.builder_with(&[("MAX_STAGE_RETRIES", "20"), ("WORKFLOW_RETRY_DELAY", "1")]);
    let engine = builder.stage("call", call).workflow(asking(20)).build().await.expect("an engine");
    let worker = Working::start(&engine);
    let id = submit(&engine, "asking").await;
    eventually("the circuit is open, and the stage waits without a worker", || async {
        let row = engine.store().execution_row(id).await.ok()?;
        let view = engine.show(id).await.ok()?;
        let is_waiting = view.waiting_reason.is_some_and(|r| r.kind == "circuit");
        let is_right = view.stages[0].attempts >= FAILURES_MAX as u32 && row.worker_id.is_none();
        (is_waiting && is_right).then_some(())
    })
    .await;
    worker.end().await;
}

//! Who may work on what, and in which order: labels, priority with aging, what a claim reads.

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::{Fake, names};
use crate::worker::{Working, history, submit};
use chrono::{DateTime, TimeDelta, Utc};
use longhaul::store::{Registration, Store};
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::resources::Offer;
use longhaul::workflow::state::Status;
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use std::time::Duration;
use uuid::Uuid;

fn offering(labels: &[&str]) -> Offer {
    Offer { labels: labels.iter().map(|l| (*l).to_owned()).collect(), ..Offer::default() }
}

/// Two stages in a row; the second one asks for a label.
fn choosy() -> Definition {
    let mut second = StageDefinition::new("second", "fake");
    second.resources.labels = vec!["gpu".to_owned()];
    Definition::new("choosy", vec![StageDefinition::new("first", "fake"), second])
}

async fn workers_named(engine: &longhaul::Longhaul, id: Uuid) -> Vec<String> {
    let claims = history(engine, id).await;
    let claims = claims.iter().filter(|s| s.payload.contains("ExecutionClaimed"));
    claims.map(|s| s.actor.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_runs_where_its_label_is_offered() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("fake", Fake::ok()).workflow(choosy());
    let engine = builder.build().await.expect("an engine");
    let id = submit(&engine, "choosy").await;
    let plain = Working::start(&engine);
    eventually("the first stage is done and the execution let go of", || async {
        let row = engine.store().execution_row(id).await.ok()?;
        (row.worker_id.is_none() && row.progress > 0.4).then_some(())
    })
    .await;
    assert_eq!(engine.store().queued_needs().await.expect("needs"), ["gpu"]);
    let fitting = Working::with(&engine, |o| o.offer = offering(&["linux", "gpu"]));
    let view = engine.wait_for_end(id).await.expect("an end");
    assert_eq!(view.status, Status::Completed);
    let claimed_by = workers_named(&engine, id).await;
    assert_eq!(claimed_by.len(), 2, "the plain worker left it alone: {claimed_by:?}");
    assert_ne!(claimed_by[0], claimed_by[1]);
    plain.end().await;
    fitting.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_stage_with_a_label_is_never_claimed_in_vain() {
    let database = TestDatabase::new().await;
    let mut definition = choosy();
    definition.stages.remove(0);
    definition.stages[0].resources.memory_mb = Some(4_096);
    let builder = database.builder().stage("fake", Fake::ok()).workflow(definition);
    let engine = builder.build().await.expect("an engine");
    let id = submit(&engine, "choosy").await;
    let small = Offer { memory_mb: Some(1_024), ..offering(&["gpu"]) };
    let small = Working::with(&engine, |o| o.offer = small.clone());
    let fitting = Working::with(&engine, |o| o.offer = offering(&["gpu"]));
    engine.wait_for_end(id).await.expect("an end");
    let seen = names(&history(&engine, id).await);
    assert_eq!(seen.iter().filter(|n| *n == "ExecutionClaimed").count(), 1, "{seen:?}");
    small.end().await;
    fitting.end().await;
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_900_000_000, 0).expect("a time")
}

fn registration() -> Registration {
    Registration {
        worker_id: Uuid::now_v7(),
        name: "w".to_owned(),
        host: "h".to_owned(),
        pid: 1,
        lock_file: "l".to_owned(),
        slots: 1,
        offer: Offer::default(),
        lease: Duration::from_secs(60),
    }
}

pub(crate) async fn registered(store: &Store) -> Uuid {
    let worker = registration();
    store.register_worker(&worker).await.expect("registered");
    worker.worker_id
}

/// Executions that are nobody's, as rows alone: `$1` of them with this priority, status and queue
/// entry; their ids count up from `first`.
pub(crate) async fn made_up(
    c: &mut PgConnection,
    first: u64,
    count: u64,
    priority: i16,
    queued: &str,
) {
    let statement = format!(
        "with made as (
             insert into executions (execution_id, task_id, workflow, workflow_version, title,
                 priority, requested_at, version, head_hash, status, branch, progress, updated_at)
             select lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'w', 1, 't',
                    {priority}, '{now}', 1, decode(repeat('00', 32), 'hex'), 'queued', 1, 0, '{now}'
               from generate_series({first}, {last}) n
             returning execution_id, priority
         )
         insert into queue (execution_id, priority, ready, wake_at, needs)
         select execution_id, priority, {queued} from made",
        now = now().to_rfc3339(),
        last = first + count - 1,
    );
    c.execute(statement.as_str()).await.expect("made-up executions");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_long_passes_what_is_urgent_and_new() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let worker = registered(&store).await;
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    // One rank is worth 300 s: five ranks are 1,500 s.
    let at = |ago: i64| (now() - TimeDelta::seconds(ago)).to_rfc3339();
    made_up(&mut c, 1, 1, 2, &format!("true, '{}', ''", at(1_499))).await;
    made_up(&mut c, 2, 1, 7, &format!("true, '{}', ''", at(0))).await;
    made_up(&mut c, 3, 1, 2, &format!("true, '{}', ''", at(1_501))).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let claimed = store.claim(worker, 1, None, now()).await.expect("claimed");
        order.extend(claimed.iter().map(|c| c.execution_id.as_u128()));
    }
    assert_eq!(order, [3, 2, 1]);
}

/// Blocks that a statement touched, and the index scans in its plan.
fn buffers(plan: &Value) -> i64 {
    let root = &plan[0]["Plan"];
    let of = |name: &str| root[name].as_i64().expect("a count of blocks");
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

fn statement(name: &str) -> String {
    longhaul::store::statement(name).expect("a statement of that name").to_owned()
}

/// A hundred thousand sleepers, and as many ready ones that need what the worker lacks, stand in
/// nobody's way: the plan's own count of blocks stays small.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_the_ring_read_little_however_many_wait() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let worker = registered(&store).await;
    let mut c = PgConnection::connect(&database.url).await.expect("a connection");
    let later = (now() + TimeDelta::days(3)).to_rfc3339();
    made_up(&mut c, 1, 100_000, 5, &format!("false, '{later}', ''")).await;
    let ready = now().to_rfc3339();
    made_up(&mut c, 200_001, 20_000, 9, &format!("true, '{ready}', 'gpu'")).await;
    made_up(&mut c, 300_001, 3_000, 5, &format!("true, '{ready}', ''")).await;
    c.execute("vacuum analyze queue, executions").await.expect("statistics");
    let explain = "explain (analyze, buffers, format json) ";
    let ring: Value = sqlx::query_scalar(&format!("{explain}{}", statement("ring")))
        .bind(now())
        .fetch_one(&mut c)
        .await
        .expect("a plan");
    assert!(buffers(&ring) < 20, "nothing is due: {ring:#}");
    let claim: Value = sqlx::query_scalar(&format!("{explain}{}", statement("claim")))
        .bind(worker)
        .bind(10_i64)
        .bind((0..10).map(|_| Uuid::new_v4()).collect::<Vec<_>>())
        .bind(None::<Uuid>)
        .bind(vec![String::new(), "cpu>=2".to_owned()])
        .fetch_one(&mut c)
        .await
        .expect("a plan");
    assert!(buffers(&claim) < 1_000, "ten of many: {claim:#}");
    let needs: Value = sqlx::query_scalar(&format!("{explain}{}", statement("needs in the queue")))
        .bind(10_i64)
        .fetch_one(&mut c)
        .await
        .expect("a plan");
    assert!(buffers(&needs) < 50, "one value: {needs:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_nobody_offers_is_named() {
    let database = TestDatabase::new().await;
    let mut definition = choosy();
    definition.stages.remove(0);
    let builder = database.builder().stage("fake", Fake::ok()).workflow(definition);
    let engine = builder.build().await.expect("an engine");
    let id = submit(&engine, "choosy").await;
    let reason = engine.show(id).await.expect("a view").waiting_reason.expect("a reason");
    assert_eq!(reason.kind, "label");
    assert!(reason.detail.starts_with("no worker offers `gpu`"), "{}", reason.detail);
    let gpu = Registration { offer: offering(&["gpu"]), ..registration() };
    engine.store().register_worker(&gpu).await.expect("registered");
    let reason = engine.show(id).await.expect("a view").waiting_reason.expect("a reason");
    assert_eq!(reason.kind, "worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_a_label_is_not_begun_by_a_worker_that_lacks_it() {
    let database = TestDatabase::new().await;
    let mut definition = choosy();
    definition.stages.remove(0);
    let easy = Definition::new("easy", vec![StageDefinition::new("only", "fake")]);
    let builder = database.builder().stage("fake", Fake::ok()).workflow(definition).workflow(easy);
    let engine = builder.build().await.expect("an engine");
    let plain = Working::start(&engine);
    // Once it has done something, it has slots to give away.
    let first = submit(&engine, "easy").await;
    engine.wait_for_end(first).await.expect("an end");
    let id = submit(&engine, "choosy").await;
    let reason = engine.show(id).await.expect("a view").waiting_reason.expect("a reason");
    assert_eq!(reason.kind, "label");
    assert_eq!(names(&history(&engine, id).await), ["ExecutionRequested"]);
    plain.end().await;
}

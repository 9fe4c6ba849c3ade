//! Projectors and writers that are killed, transactions that are slow or taken back: nothing is
//! skipped and nothing is doubled.

use super::log::Log;
use super::rebuilding::end_who_waits;
use super::truth::{counts_are_those_of_the_log, every_read_model_is_true, number};
use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::row;
use longhaul::clock::{Clock, SystemClock};
use longhaul::projector::{BUILT_IN, Projector, ProjectorOptions, Sizes};
use longhaul::store::{Append, Connect, NewExecution, NewTask, Store};
use longhaul::workflow::command::Command;
use longhaul::workflow::decide::apply;
use longhaul::workflow::definition::Limits;
use longhaul::workflow::event::{Motive, Request};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// In turns: the session is ended while it waits for a table in the midst of its transaction; the task
/// is dropped there; the task is dropped wherever it happens to be.
#[tokio::test]
async fn a_projector_that_is_killed_a_hundred_times() {
    let mut log = Log::of_histories(4).await;
    let mut chance = StdRng::seed_from_u64(11);
    let projector = log.projector().await.with_sizes(Sizes { near: 60, piece: 100 });
    for kill in 0..100 {
        for _ in 0..3 {
            log.write_some().await;
        }
        let (name, _) = BUILT_IN[kill % BUILT_IN.len()];
        if kill % 3 == 2 {
            let time = Duration::from_micros(chance.random_range(0..20_000));
            let _ = tokio::time::timeout(time, projector.catch_up()).await;
            continue;
        }
        let mut blocker = log.pool.begin().await.expect("a transaction");
        let lock = format!("lock table projection_{name}_1.{name} in access exclusive mode");
        sqlx::query(&lock).execute(&mut *blocker).await.expect("locked");
        let working = tokio::spawn({
            let projector = projector.clone();
            async move { projector.catch_up().await }
        });
        if kill % 3 == 0 {
            end_who_waits_or_done(&log, &working).await;
        } else {
            who_waits_or_done(&log, &working).await;
            working.abort();
        }
        drop(blocker);
        let _ = working.await;
    }
    log.write_all().await;
    eventually("nothing is behind", || async {
        let pass = projector.catch_up().await.ok()?;
        (pass.behind == 0).then_some(())
    })
    .await;
    counts_are_those_of_the_log(&log).await;
    every_read_model_is_true(&projector).await;
}

type Working =
    tokio::task::JoinHandle<Result<longhaul::projector::Pass, longhaul::store::StoreError>>;

/// A pass in which this read model has nothing to do ends by itself.
async fn who_waits_or_done(log: &Log, working: &Working) {
    let text = "select count(*) from pg_stat_activity where datname = current_database() \
                and wait_event_type = 'Lock' and application_name = 'longhaul'";
    eventually("a session waits", || async {
        (working.is_finished() || number(&log.pool, text).await > 0).then_some(())
    })
    .await;
}

async fn end_who_waits_or_done(log: &Log, working: &Working) {
    who_waits_or_done(log, working).await;
    if !working.is_finished() {
        end_who_waits(log).await;
    }
}

async fn submit(store: &Store) -> Option<Uuid> {
    let task_id = Uuid::now_v7();
    let request = Request {
        task_id,
        task: json!({"title": "a task", "type": "chore", "priority": "low"}),
        definition: row("test", &["one", "two"]).resolved(&Limits::default()),
        input: json!({}),
        settings: json!({}),
        repository: None,
        limits: Limits::default(),
        priority: 5,
        origin: None,
        parent: None,
        continues: None,
    };
    let task = NewTask { task_id, idempotency_key: None, events: vec![("TaskCreated", json!({}))] };
    let execution = NewExecution { execution_id: Uuid::now_v7(), request };
    let submitted = store.submit(&task, &execution, "test", SystemClock.now()).await.ok()?;
    Some(submitted.execution_id)
}

/// Sends signals one after the other; conflicts with others are of no interest here.
async fn write(store: Store, count: usize) {
    let Some(id) = submit(&store).await else { return };
    for _ in 0..count {
        let Ok(mut loaded) = store.load(id).await else { continue };
        let motive = Motive::default();
        let command = Command::Signal { name: "s".into(), payload: json!({}), key: None, motive };
        let (before, now) = (loaded.head_hash, SystemClock.now());
        let Ok(happened) = apply(&mut loaded.state, now, &command) else { continue };
        let append =
            Append::new(id, &loaded.state, &happened, before, "test", now).expect("an append");
        let _ = store.append(append).await;
    }
}

/// Takes a lane, keeps it for a while, and gives it back with nothing done.
async fn take_back(pool: PgPool, stop: CancellationToken, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    while !stop.is_cancelled() {
        let mut transaction = pool.begin().await.expect("a transaction");
        let lane: i16 = chance.random_range(0..16);
        sqlx::query("update lanes set sequence = sequence + 3 where lane = $1")
            .bind(lane)
            .execute(&mut *transaction)
            .await
            .expect("a lane");
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..30))).await;
        transaction.rollback().await.expect("taken back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_skipped_under_twenty_writers() {
    let database = TestDatabase::new().await;
    let pool = PgPool::connect(&database.url).await.expect("a pool");
    let mut idle = pool.begin().await.expect("a transaction");
    sqlx::query("select pg_current_xact_id()")
        .execute(&mut *idle)
        .await
        .expect("an open transaction");
    let stop = CancellationToken::new();
    let disturbing: Vec<_> =
        (0..2).map(|seed| tokio::spawn(take_back(pool.clone(), stop.clone(), seed))).collect();
    let feeder = Projector::new(database.store().await, Arc::new(SystemClock));
    let options = ProjectorOptions { poll: Duration::from_millis(5), share: 1 };
    let feeding = tokio::spawn({
        let (feeder, stop) = (feeder.clone(), stop.clone());
        async move { feeder.run(options, stop).await }
    });
    let mut stores = Vec::new();
    for _ in 0..5 {
        let connect = Connect { connections: 4, ..Connect::to(&database.url) };
        stores.push(Store::connect(&connect).await.expect("a store"));
    }
    let writers: Vec<_> = (0..20).map(|n| tokio::spawn(write(stores[n % 5].clone(), 15))).collect();
    for (n, writer) in writers.into_iter().enumerate() {
        // A few are cut off, with what they had under way.
        if n % 4 == 3 {
            writer.abort();
        }
        let _ = writer.await;
    }
    stop.cancel();
    for task in disturbing {
        task.await.expect("ended");
    }
    feeding.await.expect("ended");
    for store in stores {
        store.close().await;
    }
    eventually("nothing is behind", || async {
        let pass = feeder.catch_up().await.ok()?;
        (pass.behind == 0).then_some(())
    })
    .await;
    let logged = number(&pool, "select count(*) from events").await;
    assert!(logged > 150, "{logged}");
    let counted = number(&pool, "select sum(events)::bigint from projections.daily_metrics").await;
    assert_eq!(counted, logged);
    let differing = "select count(*) from executions e full join projections.execution_list l \
                     using (execution_id) where l.version is distinct from e.version";
    assert_eq!(number(&pool, differing).await, 0);
    every_read_model_is_true(&feeder).await;
    drop(idle);
}

//! The store against a real Postgres: compare-and-set, fences, batches, lost answers, the queue.

use crate::support::database::TestDatabase;
use crate::support::proxy::Proxy;
use crate::support::stages::row;
use chrono::{DateTime, Utc};
use cqrs_es::persist::PersistedEventRepository;
use longhaul::clock::{Clock, SystemClock};
use longhaul::store::{
    Append, AppendError, Disposition, EventHeader, GENESIS, Loaded, NewExecution, NewTask,
    Registration, Store, StoreError, link,
};
use longhaul::workflow::command::Command;
use longhaul::workflow::decide::apply;
use longhaul::workflow::definition::Limits;
use longhaul::workflow::event::{Motive, Request};
use longhaul::workflow::state::Execution;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

pub(crate) fn new_execution(priority: u8) -> (NewTask, NewExecution) {
    let task_id = Uuid::now_v7();
    let definition = row("test", &["one", "two"]).resolved(&Limits::default());
    let request = Request {
        task_id,
        task: json!({"title": "a task", "type": "chore", "priority": "low"}),
        definition,
        input: json!({}),
        settings: json!({}),
        repository: None,
        limits: Limits::default(),
        priority,
        origin: None,
        parent: None,
        continues: None,
    };
    let events = vec![("TaskCreated", json!({"text": "a task"}))];
    let task = NewTask { task_id, idempotency_key: None, events };
    (task, NewExecution { execution_id: Uuid::now_v7(), request })
}

async fn submit(store: &Store) -> Uuid {
    submit_with(store, 5).await
}

async fn submit_with(store: &Store, priority: u8) -> Uuid {
    let (task, execution) = new_execution(priority);
    store.submit(&task, &execution, "test", now()).await.expect("submitted").execution_id
}

/// A signal decided on `loaded`, ready to be appended.
fn signal(loaded: &mut Loaded, name: &str) -> Append {
    let command = Command::Signal {
        name: name.to_owned(),
        payload: json!({}),
        key: None,
        motive: Motive::default(),
    };
    append_of(loaded, &command, "test")
}

fn append_of(loaded: &mut Loaded, command: &Command, actor: &str) -> Append {
    let before = loaded.head_hash;
    let happened = apply(&mut loaded.state, now(), command).expect("decided");
    Append::new(loaded.execution_id, &loaded.state, &happened, before, actor, now())
        .expect("an append")
}

fn registration(id: Uuid) -> Registration {
    Registration {
        worker_id: id,
        name: "test".to_owned(),
        host: "here".to_owned(),
        pid: 1,
        lock_file: "/nowhere".to_owned(),
        slots: 10,
        offer: longhaul::workflow::resources::Offer::default(),
        lease: Duration::from_secs(3_600),
    }
}

async fn register(store: &Store) -> Uuid {
    let id = Uuid::now_v7();
    store.register_worker(&registration(id)).await.expect("registered");
    id
}

#[tokio::test]
async fn what_is_appended_is_what_is_loaded() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let mut loaded = store.load(id).await.expect("loaded");
    store.append(signal(&mut loaded, "hello")).await.expect("appended");
    let again = store.load(id).await.expect("loaded");
    assert_eq!(again.state, loaded.state);
    assert_eq!(again.state.inbox[0].name, "hello");
}

#[tokio::test]
async fn of_two_decisions_on_the_same_version_one_wins() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let mut first = store.load(id).await.expect("loaded");
    let mut second = first.clone();
    store.append(signal(&mut first, "first")).await.expect("appended");
    let lost = store.append(signal(&mut second, "second")).await;
    let is_conflict = matches!(lost, Err(AppendError::Conflict { expected: 1, actual: 2, .. }));
    assert!(is_conflict, "{lost:?}");
    assert_eq!(store.events(id, 0, 100).await.expect("events").len(), 2);
}

#[tokio::test]
async fn in_a_crowd_every_loser_fails_alone() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut appends = Vec::new();
    for _ in 0..100 {
        let id = submit(&store).await;
        let loaded = store.load(id).await.expect("loaded");
        // Two on the same version each: exactly one of them can win.
        appends.extend(["a", "b"].map(|name| signal(&mut loaded.clone(), name)));
    }
    let tasks = appends.into_iter().map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    });
    let mut won = 0;
    let mut lost = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("no panic") {
            Ok(()) => won += 1,
            Err(AppendError::Conflict { .. }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won, lost), (100, 100));
}

#[tokio::test]
async fn a_wrong_fence_is_refused_and_none_is_an_operators() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let worker = register(&store).await;
    let claimed = store.claim(worker, 1, None, now()).await.expect("claimed")[0];
    let mut loaded = store.load(id).await.expect("loaded");
    let forged = signal(&mut loaded.clone(), "x").as_worker(Uuid::new_v4(), Disposition::Keep);
    let refused = store.append(forged).await;
    assert!(matches!(refused, Err(AppendError::Fenced(_))), "{refused:?}");
    store.append(signal(&mut loaded, "operator")).await.expect("an operator needs no fence");
    let own = signal(&mut loaded, "worker").as_worker(claimed.fence, Disposition::Keep);
    store.append(own).await.expect("the worker proves its fence");
}

#[tokio::test]
async fn a_bad_event_in_a_batch_fails_alone() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut appends = Vec::new();
    for n in 0..20 {
        let id = submit(&store).await;
        let mut loaded = store.load(id).await.expect("loaded");
        let command = Command::Pause { motive: Motive::default() };
        // Postgres stores no NUL in a text.
        let actor = if n == 7 { "evil\0actor" } else { "test" };
        appends.push(append_of(&mut loaded, &command, actor));
    }
    let tasks = appends.into_iter().map(|append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    });
    let mut refused = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("no panic") {
            Ok(()) => {}
            Err(AppendError::Store(StoreError::Refused(_))) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_the_commit_is_looked_up() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(&database.url);
    let store = database.store_at(&proxy.url()).await;
    let id = submit(&store).await;
    for round in 1..=5 {
        let mut loaded = store.load(id).await.expect("loaded");
        proxy.swallow_next_append();
        store.append(signal(&mut loaded, "once")).await.expect("in, although nobody said so");
        assert_eq!(proxy.swallowed(), round, "the proxy did its part");
    }
    let state = store.load(id).await.expect("loaded").state;
    assert_eq!((state.version, state.inbox.len()), (6, 5), "each signal is in once");
}

#[tokio::test]
async fn lanes_have_no_gaps() {
    let database = TestDatabase::new().await;
    let stores = [database.store().await, database.store().await, database.store().await];
    let mut tasks = Vec::new();
    for n in 0..150 {
        let store = stores[n % 3].clone();
        tasks.push(tokio::spawn(async move {
            let id = submit(&store).await;
            let mut loaded = store.load(id).await.expect("loaded");
            store.append(signal(&mut loaded, "x")).await.expect("appended");
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let lanes: Vec<(i16, i64, i64, i64)> = sqlx::query_as(
        "select lane, min(lane_sequence), max(lane_sequence), count(distinct lane_sequence)
           from events group by lane",
    )
    .fetch_all(stores[0].pool())
    .await
    .expect("lanes");
    assert!(lanes.iter().all(|(_, min, max, count)| *min == 1 && max == count), "{lanes:?}");
    assert_eq!(lanes.iter().map(|l| l.3).sum::<i64>(), 300);
}

#[tokio::test]
async fn the_hash_chain_can_be_computed_again() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let mut loaded = store.load(id).await.expect("loaded");
    store.append(signal(&mut loaded, "x")).await.expect("appended");
    let mut hash = GENESIS;
    for stored in store.events(id, 0, 100).await.expect("events") {
        let header = EventHeader {
            stream: id,
            sequence: stored.sequence,
            event_id: stored.event_id,
            at: stored.at,
            branch: stored.branch,
            actor: &stored.actor,
        };
        hash = link(&hash, &header, &stored.payload);
        assert_eq!(hash, stored.hash, "event {}", stored.sequence);
    }
    assert_eq!(hash, store.load(id).await.expect("loaded").head_hash);
}

#[tokio::test]
async fn postgres_es_reads_the_same_history() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let mut loaded = store.load(id).await.expect("loaded");
    store.append(signal(&mut loaded, "x")).await.expect("appended");
    let witness = longhaul::store::aggregate::witness(store.pool().clone());
    let events = witness.get_events::<Execution>(&id.to_string()).await.expect("the witness reads");
    let mut state = Execution::default();
    for event in events {
        let envelope: cqrs_es::EventEnvelope<Execution> = event.try_into().expect("an event");
        cqrs_es::Aggregate::apply(&mut state, envelope.payload);
    }
    assert_eq!(state, loaded.state);
}

#[tokio::test]
async fn twenty_submissions_with_one_key_make_one_task() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let tasks = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut task, execution) = new_execution(5);
            task.idempotency_key = Some("the key".to_owned());
            store.submit(&task, &execution, "test", now()).await.expect("submitted")
        })
    });
    let mut made = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        made.push(task.await.expect("no panic"));
    }
    assert_eq!(made.iter().filter(|s| !s.repeated).count(), 1);
    assert!(made.iter().all(|s| s.execution_id == made[0].execution_id), "{made:?}");
    assert_eq!(store.tasks(None, 100).await.expect("tasks").len(), 1);
}

#[tokio::test]
async fn a_claim_takes_the_most_urgent_and_nobody_gets_it_twice() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut by_priority = Vec::new();
    for priority in [1, 9, 5] {
        by_priority.push((priority, submit_with(&store, priority).await));
    }
    let worker = register(&store).await;
    let first = store.claim(worker, 1, None, now()).await.expect("claimed");
    assert_eq!(first[0].execution_id, by_priority[1].1, "priority 9 goes first");
    let tasks = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.claim(worker, 5, None, now()).await.expect("claimed") })
    });
    let mut rest = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        rest.extend(task.await.expect("no panic"));
    }
    assert_eq!(rest.len(), 2, "{rest:?}");
}

#[tokio::test]
async fn a_sleeper_is_not_claimed_before_its_time() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    submit(&store).await;
    let worker = register(&store).await;
    let claimed = store.claim(worker, 1, None, now()).await.expect("claimed")[0];
    store.free_execution(claimed, now() + chrono::TimeDelta::hours(1)).await.expect("put back");
    assert_eq!(store.claim(worker, 1, None, now()).await.expect("claimed"), []);
    let later = now() + chrono::TimeDelta::hours(2);
    assert_eq!(store.claim(worker, 1, None, later).await.expect("claimed").len(), 1);
}

#[tokio::test]
async fn the_executions_of_a_dead_worker_are_queued_and_its_fence_is_void() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let id = submit(&store).await;
    let (dead, alive) = (register(&store).await, register(&store).await);
    let claimed = store.claim(dead, 1, None, now()).await.expect("claimed")[0];
    assert_eq!(store.bury_worker(dead, false).await.expect("looked"), 0, "its lease holds");
    assert_eq!(store.bury_worker(dead, true).await.expect("buried"), 1);
    assert!(
        store.beat(dead, false).await.expect("answered").is_none(),
        "it learns that it is dead"
    );
    let mut loaded = store.load(id).await.expect("loaded");
    let late = signal(&mut loaded, "late").as_worker(claimed.fence, Disposition::Keep);
    let refused = store.append(late).await;
    assert!(matches!(refused, Err(AppendError::Fenced(_))), "{refused:?}");
    let taken = store.claim(alive, 1, None, now()).await.expect("claimed");
    assert_eq!(taken[0].execution_id, id);
}

#[tokio::test]
async fn orphans_are_freed() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    submit(&store).await;
    let nobody = Uuid::now_v7();
    assert_eq!(store.claim(nobody, 1, None, now()).await.expect("claimed"), [], "not registered");
    let gone = register(&store).await;
    assert_eq!(store.claim(gone, 1, None, now()).await.expect("claimed").len(), 1);
    database.execute("delete from workers").await;
    assert_eq!(store.free_orphans().await.expect("freed"), 1);
    assert_eq!(
        store.claim(register(&store).await, 1, None, now()).await.expect("claimed").len(),
        1
    );
}

#[tokio::test]
async fn ids_are_found_by_fragment() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let first = submit(&store).await;
    let last = submit(&store).await;
    let text = first.to_string();
    assert_eq!(store.find_execution(&text).await.expect("whole"), first);
    assert_eq!(store.find_execution(&text[24..].to_uppercase()).await.expect("fragment"), first);
    assert_eq!(store.find_execution("@last").await.expect("last"), last);
    let shared = store.find_execution(&text[..6]).await;
    assert!(matches!(shared, Err(StoreError::Ambiguous { count: 2, .. })), "{shared:?}");
    for unknown in ["abc", "ffffffffffff", "' or 1=1 --"] {
        let found = store.find_execution(unknown).await;
        assert!(matches!(found, Err(StoreError::NotFound { .. })), "{unknown}: {found:?}");
    }
}

#[tokio::test]
async fn a_database_that_would_lose_events_is_refused() {
    let database = TestDatabase::new().await;
    let name = database.url.split('/').nth(3).and_then(|p| p.split('?').next()).expect("a name");
    database.execute(&format!("alter database {name} set synchronous_commit = off")).await;
    let refused = Store::connect(&longhaul::store::Connect::to(&database.url)).await.err();
    let said = refused.map(|e| e.to_string()).unwrap_or_default();
    assert!(said.contains("synchronous_commit = off"), "{said}");
}

#[tokio::test]
async fn a_workflow_that_changes_gets_a_new_version() {
    let database = TestDatabase::new().await;
    let store = database.store().await;
    let mut definition = row("mine", &["one"]);
    let register = |d: longhaul::workflow::definition::Definition| {
        let store = store.clone();
        async move { store.register_workflow(&d, "test", now()).await.expect("registered") }
    };
    assert_eq!(register(definition.clone()).await, 1);
    assert_eq!(register(definition.clone()).await, 1, "nothing changed");
    definition.max_loops = 7;
    assert_eq!(register(definition.clone()).await, 2);
    let known = store.registered_workflows(Some("mine")).await.expect("read");
    assert_eq!((known[0].definition.version, known[0].definition.max_loops), (2, 7));
}

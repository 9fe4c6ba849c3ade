//! cqrs-es's framework over our log: commands, warm aggregates, and what postgres-es reads of it.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::submit;
use cqrs_es::persist::PersistedEventRepository;
use cqrs_es::{CqrsFramework, EventStore};
use longhaul::Longhaul;
use longhaul::clock::{Clock, SystemClock};
use longhaul::store::aggregate::{Given, witness};
use longhaul::store::{CommandError, Commands, Log};
use longhaul::workflow::command::{Command, Refusal};
use longhaul::workflow::event::{Happened, Motive};
use longhaul::workflow::state::{Execution, Status};
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

async fn engine(database: &TestDatabase) -> Longhaul {
    let builder = database.builder().stage("one", Fake::ok()).workflow(row("single", &["one"]));
    builder.build().await.expect("an engine")
}

fn signal(key: &str) -> Command {
    Command::Signal {
        name: "note".to_owned(),
        payload: json!({"key": key}),
        key: Some(key.to_owned()),
        motive: Motive::default(),
    }
}

fn pause() -> Command {
    Command::Pause { motive: Motive::default() }
}

fn resume() -> Command {
    Command::Resume { motive: Motive::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_framework_executes_commands_on_our_log() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    let id = submit(&engine, "single").await;
    let log = Log::new(engine.store().clone());
    let framework: CqrsFramework<Execution, Log> = CqrsFramework::new(log.clone(), Vec::new(), ());
    for n in 0..3 {
        let given = Given { at: SystemClock.now(), command: signal(&n.to_string()) };
        framework.execute(&id.to_string(), given).await.expect("executed");
    }
    let seen = log.load_events(&id.to_string()).await.expect("events");
    assert_eq!(seen.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // What postgres-es's own repository reads is what we read.
    let theirs = witness(engine.store().pool().clone());
    let theirs = theirs.get_events::<Execution>(&id.to_string()).await.expect("the witness reads");
    for (ours, theirs) in seen.iter().zip(&theirs) {
        let theirs: Happened = serde_json::from_value(theirs.payload.clone()).expect("an event");
        assert_eq!(ours.payload, theirs);
    }
    assert_eq!(theirs.len(), 4);
    assert_eq!(engine.state(id).await.expect("a state").inbox.len(), 3);
}

/// The warm aggregate of one is stale as soon as another appends: neither loses anything.
#[tokio::test(flavor = "multi_thread")]
async fn two_who_keep_the_same_aggregate_warm_lose_nothing() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    let id = submit(&engine, "single").await;
    let commands = || Arc::new(Commands::new(engine.store().clone()));
    let (one, two) = (commands(), commands());
    let mut writers = JoinSet::new();
    for n in 0..40 {
        let commands = Arc::clone(if n % 2 == 0 { &one } else { &two });
        let command = signal(&n.to_string());
        writers.spawn(async move { commands.execute(id, &command, "test", &SystemClock).await });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("joined").expect("executed");
    }
    let state = engine.state(id).await.expect("a state");
    assert_eq!((state.version, state.inbox.len()), (41, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stale_aggregate_refuses_is_asked_of_a_fresh_one() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    let id = submit(&engine, "single").await;
    let commands = Commands::new(engine.store().clone());
    let execute = |command: Command| {
        let commands = &commands;
        async move { commands.execute(id, &command, "test", &SystemClock).await }
    };
    execute(signal("warm")).await.expect("executed");
    engine.pause(id, "by another").await.expect("paused");
    let state = execute(resume()).await.expect("the newest state is paused");
    assert_eq!(state.status(), Status::Queued);
    execute(pause()).await.expect("paused");
    let again = execute(pause()).await.expect_err("refused");
    assert!(matches!(again, CommandError::Refused(Refusal::NotNow(_))), "{again}");
    let nobody = commands.execute(Uuid::now_v7(), &pause(), "test", &SystemClock).await;
    assert!(nobody.expect_err("nobody").to_string().contains("there is no execution"));
}

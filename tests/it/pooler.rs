//! Through PgBouncer in transaction mode: the schema, the store, the main job.

use crate::cli::harness::{GOOD_AGENT, Program, Repository};
use crate::history::engine_of;
use crate::support::database::TestDatabase;
use crate::support::pooler::Pooler;
use crate::worker::Working;
use longhaul::store::{Connect, Filter, Store};
use longhaul::workflow::state::Status;
use longhaul::{Database, Submission};
use sqlx::{Connection, Executor, PgConnection};

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_made_through_a_pooler_by_many_at_once() {
    let database = TestDatabase::new().await;
    // An empty database beside it, reached through the same pooler.
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(&database.url).await.expect("a connection");
    admin.execute(format!("create database {name}").as_str()).await.expect("a database");
    let pooler = Pooler::before(&database.url).await;
    let through = pooler.url();
    let (_, query) = through.split_once('?').expect("a query");
    let url = format!("postgres:///{name}?{query}");
    let mut makers = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let connect = Connect { connections: 2, ..Connect::to(&url) };
        makers.spawn(async move {
            let store = Store::connect(&connect).await.expect("a store");
            store.migrate().await.expect("the schema");
            let months = store.parts().await.expect("parts").months.len();
            store.close().await;
            months
        });
    }
    let months = makers.join_all().await;
    assert!(months.iter().all(|m| *m >= 3), "{months:?}");
    drop(pooler);
    admin.execute(format!("drop database {name} with (force)").as_str()).await.expect("dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_run_through_a_pooler_with_fewer_servers_than_clients() {
    let database = TestDatabase::new().await;
    let direct = engine_of(&database).await;
    let pooler = Pooler::before(&database.url).await;
    let builder = database.builder().database(Database::Url(pooler.url()));
    let builder = builder.workflow(crate::support::stages::row("w", &["one", "two", "three"]));
    let kind = crate::support::stages::Fake::ok;
    let builder = builder.stage("one", kind()).stage("two", kind()).stage("three", kind());
    let engine = builder.build().await.expect("an engine");
    let mut submitting = tokio::task::JoinSet::new();
    for n in 0..30 {
        let engine = engine.clone();
        submitting.spawn(async move {
            let mut submission = Submission::text(format!("Do thing number {n}"));
            submission.workflow = Some("w".to_owned());
            engine.submit(submission).await.expect("submitted").execution_id
        });
    }
    let ids = submitting.join_all().await;
    let working = Working::start(&engine);
    for id in ids {
        let view = engine.wait_for_end(id).await.expect("its end");
        assert_eq!(view.status, Status::Completed);
        // What went through the pooler is what lies there.
        assert_eq!(direct.show(id).await.expect("shown").version, view.version);
    }
    working.end().await;
    let done = Filter { status: vec![Status::Completed], ..Filter::default() };
    assert_eq!(engine.store().list(&done).await.expect("a list").len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_through_a_pooler() {
    let (mut program, repository) = (Program::new().await, Repository::new());
    let mut pooler = Pooler::before(&program.database.url).await;
    program.database.url = pooler.url();
    let repo = repository.text();
    let arguments = ["run", "Fix the answer: it must be 42, see `test.sh`", "--json", "--workflow"];
    let rest = ["default", "--repo", &repo, "--agent-command", GOOD_AGENT];
    let view = program.run(&[&arguments[..], &rest[..]].concat()).expect_code(0).json();
    assert_eq!(view["status"], "completed", "{view:#}");
    assert_eq!(view["stages"].as_array().map(Vec::len), Some(6));
    assert_eq!((repository.merges(), repository.on_main("answer")), (1, "42".to_owned()));
    for command in [&["history", "@last"][..], &["logs", "@last"], &["list"], &["metrics"]] {
        program.run(command).expect_code(0);
    }
    // It was the pooler that all of this went through.
    pooler.kill();
    program.run(&["list"]).expect_code(5);
}

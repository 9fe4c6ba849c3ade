//! The program's own role: it does all the work, and can alter no event.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::run;
use longhaul::store::{Connect, Store, StoreError};
use longhaul::{Database, Longhaul};
use sqlx::{Connection, Executor, PgConnection};

/// A role of this test alone, since roles belong to the whole cluster.
struct Role<'a> {
    database: &'a TestDatabase,
    name: String,
}

impl Role<'_> {
    async fn new(database: &TestDatabase) -> Role<'_> {
        let name = format!("app_{}", uuid::Uuid::new_v4().simple());
        let store = database.store().await;
        store.grant_role(&name).await.expect("granted");
        store.grant_role(&name).await.expect("and again");
        Role { database, name }
    }

    /// Its way to the database.
    fn url(&self) -> String {
        format!("{}&options=-c%20role%3D{}", self.database.url, self.name)
    }

    async fn end(self) {
        let forget = format!("drop owned by {0} cascade; drop role {0}", self.name);
        self.database.execute(&forget).await;
    }
}

async fn engine(url: String, database: &TestDatabase) -> Longhaul {
    let builder = database.builder().database(Database::Url(url)).stage("one", Fake::ok());
    builder.workflow(row("test", &["one"])).build().await.expect("an engine")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_role_works_and_cannot_alter_events() {
    let database = TestDatabase::new().await;
    let role = Role::new(&database).await;
    let engine = engine(role.url(), &database).await;
    let view = run(&engine, "test").await;
    assert_eq!(view.status.as_str(), "completed");
    engine
        .store()
        .record_action("Told", &serde_json::json!({}), "test", chrono::Utc::now())
        .await
        .expect("the audit log is written");
    assert!(!engine.store().may_alter_events().await.expect("asked"));
    let mut connection = PgConnection::connect(&role.url()).await.expect("a connection");
    let part: String = sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'events'::regclass limit 1",
    )
    .fetch_one(&mut connection)
    .await
    .expect("a part");
    for table in ["events", "task_events", "audit_log", "workflow_versions", &part] {
        for statement in [
            format!("update {table} set actor = 'x'"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("alter table {table} add column x int"),
            format!("alter table {table} disable trigger all"),
            format!("drop table {table}"),
            format!("create index on {table} (at)"),
        ] {
            let refused = connection.execute(statement.as_str()).await.expect_err(&statement);
            let code = refused.as_database_error().and_then(|e| e.code()).map(|c| c.into_owned());
            // A column that is not there is no proof, so that only the refusal counts.
            let is_refused = code.as_deref() == Some("42501");
            let has_no_such_column = code.as_deref() == Some("42703");
            assert!(is_refused || has_no_such_column, "{statement}: {refused}");
        }
    }
    for statement in ["create table public.mine (a int)", "set session_replication_role = replica"]
    {
        let refused = connection.execute(statement).await.expect_err(statement);
        assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"));
    }
    connection.close().await.expect("closed");
    engine.close().await;
    role.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_behind_is_told_to_a_role_that_cannot_change_it() {
    let database = TestDatabase::new().await;
    let role = Role::new(&database).await;
    database.execute("delete from _sqlx_migrations where version = 60; drop table audit_log").await;
    let store = Store::connect(&Connect::to(role.url())).await.expect("a store");
    let refused = store.migrate().await;
    let is_told = matches!(&refused, Err(StoreError::Schema(m)) if m.contains("db migrate"));
    assert!(is_told, "{refused:?}");
    database.store().await.migrate().await.expect("the owner may");
    assert!(database.store().await.may_alter_events().await.expect("asked"));
    store.close().await;
    role.end().await;
}

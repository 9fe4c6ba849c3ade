//! The audit against a real Postgres: what a superuser alters by hand is found, and named.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::run;
use longhaul::Longhaul;
use longhaul::audit::Kind;
use longhaul::audit::stream::{Broken, Fault};
use longhaul::engine::{
    AuditTotal, CheckpointError, Scope, Watch, make_key, read_checkpoint, read_key, read_public_key,
};
use longhaul::store::{EventHeader, GENESIS, link};
use sqlx::{Connection, PgConnection};
use std::os::unix::fs::PermissionsExt;
use uuid::Uuid;

/// Remembers what it is told.
#[derive(Default)]
struct Seen(Vec<Broken>);

impl Watch for Seen {
    fn broken(&mut self, broken: &Broken) {
        self.0.push(broken.clone());
    }

    fn progress(&mut self, _total: AuditTotal) {}
}

async fn engine(database: &TestDatabase) -> Longhaul {
    let builder = database.builder().stage("one", Fake::ok()).stage("two", Fake::ok());
    builder.workflow(row("test", &["one", "two"])).build().await.expect("an engine")
}

async fn verify(engine: &Longhaul, scope: Scope) -> (AuditTotal, Vec<Broken>) {
    let mut seen = Seen::default();
    let total = engine.audit_verify(&scope, &mut seen).await.expect("verified");
    (total, seen.0)
}

/// The one thing that is broken.
async fn only_fault(engine: &Longhaul) -> Broken {
    let (_, mut broken) = verify(engine, Scope::default()).await;
    assert_eq!(broken.len(), 1, "{broken:?}");
    broken.remove(0)
}

/// Streams of made-up events with sound chains, written past the appender; ids in ascending order.
async fn made_up(database: &TestDatabase, streams: u64, events: u64) -> Vec<Uuid> {
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    let mut ids = Vec::new();
    let mut place = 0_i64;
    for _ in 0..streams {
        let id = Uuid::now_v7();
        ids.push(id);
        let mut hash = GENESIS;
        let at = chrono::DateTime::UNIX_EPOCH;
        let rows: Vec<(i64, Uuid, String, Vec<u8>, i64)> = (1..=events)
            .map(|sequence| {
                let payload = format!(r#"{{"type":"Told","n":{sequence}}}"#);
                let event_id = Uuid::now_v7();
                let header =
                    EventHeader { stream: id, sequence, event_id, at, branch: 1, actor: "test" };
                hash = link(&hash, &header, &payload);
                place += 1;
                (sequence as i64, event_id, payload, hash.to_vec(), place)
            })
            .collect();
        sqlx::query(
            "insert into events select $1, s, e, 'Told', 1, $2, 'test', p::json, h, 0, l
               from unnest($3::bigint[], $4::uuid[], $5::text[], $6::bytea[], $7::bigint[])
                 as t (s, e, p, h, l)",
        )
        .bind(id)
        .bind(at)
        .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.1).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.2.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.3.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.4).collect::<Vec<_>>())
        .execute(&mut connection)
        .await
        .expect("events");
        sqlx::query(
            "insert into executions (execution_id, task_id, workflow, workflow_version, title, priority,
                 requested_at, version, head_hash, status, branch, progress, updated_at)
             values ($1, $1, 'test', 1, 'made up', 5, $2, $3, $4, 'running', 1, 0, $2)",
        )
        .bind(id)
        .bind(at)
        .bind(events as i64)
        .bind(hash.to_vec())
        .execute(&mut connection)
        .await
        .expect("a head");
    }
    sqlx::query("update lanes set sequence = $1 where lane = 0")
        .bind(place)
        .execute(&mut connection)
        .await
        .expect("the lane");
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_touched_is_sound() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    for _ in 0..3 {
        run(&engine, "test").await;
    }
    let (total, broken) = verify(&engine, Scope::default()).await;
    assert_eq!((broken, total.executions, total.tasks), (Vec::new(), 3, 3));
    assert_eq!(engine.audit_lanes().await.expect("lanes"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_one_removed_event_one_swapped_pair_are_found() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    run(&engine, "test").await;
    let victim = run(&engine, "test").await.execution_id;
    run(&engine, "test").await;
    let broken =
        |sequence, fault| Broken { kind: Kind::Execution, stream: victim, sequence, fault };
    let with_copy = |statement: &str| {
        format!(
            "create table kept as select * from events where execution_id = '{victim}'; {statement}"
        )
    };
    let restore = format!(
        "delete from events where execution_id = '{victim}';
         insert into events select * from kept; drop table kept"
    );
    // Within a string, so that it stays JSON.
    let flip = format!(
        r#"update events set payload = replace(payload::text, '"one"', '"nne"')::json
            where execution_id = '{victim}' and sequence = 4"#
    );
    let remove = format!("delete from events where execution_id = '{victim}' and sequence = 3");
    let swap = format!(
        "update events a set payload = b.payload, type = b.type, event_id = b.event_id, at = b.at,
                hash = b.hash
           from events b
          where a.execution_id = '{victim}' and b.execution_id = '{victim}'
            and (a.sequence, b.sequence) in ((4, 5), (5, 4))"
    );
    for (statement, expected) in [
        (flip, broken(4, Fault::Altered)),
        (remove.clone(), broken(3, Fault::Missing)),
        (swap, broken(4, Fault::Altered)),
    ] {
        database.execute(&with_copy(&statement)).await;
        assert_eq!(only_fault(&engine).await, expected, "{statement}");
        let (_, one) = verify(&engine, Scope { only: Some(victim), ..Scope::default() }).await;
        assert_eq!(one, [expected], "by itself too");
        database.execute(&restore).await;
        assert_eq!(verify(&engine, Scope::default()).await.1, [], "the old rows are back");
    }
    database.execute(&remove).await;
    let gaps = engine.audit_lanes().await.expect("lanes");
    assert_eq!(gaps.len(), 1, "a removed event leaves a hole in its lane: {gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_events_must_belong_to_each_other() {
    let database = TestDatabase::new().await;
    let ids = made_up(&database, 4, 6).await;
    let engine = engine(&database).await;
    assert_eq!(verify(&engine, Scope::default()).await.1, []);
    let [cut, rehashed, headless, empty] = ids[..] else { panic!("four streams") };
    let statements = format!(
        "delete from events where execution_id = '{cut}' and sequence > 4;
         update executions set head_hash = sha256('x') where execution_id = '{rehashed}';
         delete from executions where execution_id = '{headless}';
         delete from events where execution_id = '{empty}'"
    );
    database.execute(&statements).await;
    let (_, broken) = verify(&engine, Scope::default()).await;
    let expected = [
        (cut, 5, Fault::Missing),
        (rehashed, 6, Fault::Head { version: 6 }),
        (headless, 6, Fault::NoHead),
        (empty, 1, Fault::NoEvents),
    ];
    let kind = Kind::Execution;
    let expected =
        expected.map(|(stream, sequence, fault)| Broken { kind, stream, sequence, fault });
    assert_eq!(broken, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_task_has_a_chain_too() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    let task = run(&engine, "test").await.task_id;
    database
        .execute("update task_events set actor = 'somebody else' where type = 'TaskParsed'")
        .await;
    let broken = only_fault(&engine).await;
    let fault = Fault::Altered;
    assert_eq!(broken, Broken { kind: Kind::Task, stream: task, sequence: 2, fault });
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_longer_than_a_page_are_checked_whole() {
    let database = TestDatabase::new().await;
    let ids = made_up(&database, 3, 2_500).await;
    let engine = engine(&database).await;
    let (total, broken) = verify(&engine, Scope::default()).await;
    assert_eq!((total.executions, total.events, broken.len()), (3, 7_500, 0));
    let alter = format!(
        "update events set at = at + interval '1 microsecond'
          where execution_id = '{}' and sequence = 2400",
        ids[2]
    );
    database.execute(&alter).await;
    let broken = only_fault(&engine).await;
    assert_eq!((broken.stream, broken.sequence, broken.fault), (ids[2], 2_400, Fault::Altered));
}

/// Closes the connections as soon as the first page has been seen.
struct Cutting(Longhaul, Seen);

impl Watch for Cutting {
    fn broken(&mut self, broken: &Broken) {
        self.1.broken(broken);
    }

    fn progress(&mut self, _total: AuditTotal) {
        drop(self.0.store().pool().close());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_an_error_that_says_where_to_go_on() {
    let database = TestDatabase::new().await;
    let ids = made_up(&database, 3, 1_500).await;
    database
        .execute(&format!("delete from events where execution_id = '{}' and sequence = 7", ids[2]))
        .await;
    let cut = engine(&database).await;
    let mut cutting = Cutting(cut.clone(), Seen::default());
    let error = cut.audit_verify(&Scope::default(), &mut cutting).await.expect_err("cut off");
    assert_eq!(error.after, Some((Kind::Execution, ids[0])), "one stream came to its end");
    assert!(error.error.may_pass() && cutting.1.0.is_empty(), "{error}");
    let position = format!("--after execution:{}", ids[0]);
    assert!(error.to_string().contains(&position), "{error}");

    let again = engine(&database).await;
    let (total, broken) = verify(&again, Scope { after: error.after, ..Scope::default() }).await;
    assert_eq!((total.executions, broken.len(), broken[0].sequence), (2, 1, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_is_found_against_a_checkpoint() {
    let database = TestDatabase::new().await;
    let ids = made_up(&database, 5, 6).await;
    let engine = engine(&database).await;
    let task = run(&engine, "test").await.task_id;
    let directory = tempfile::tempdir().expect("a directory");
    let key_file = directory.path().join("key");
    let public = make_key(&key_file).expect("a key");
    let public = read_public_key(&public).expect("the public key");
    let file = directory.path().join("checkpoint");
    let key = read_key(&key_file).expect("the key");
    let (made, _) = engine.audit_checkpoint(&file, &key).await.expect("a checkpoint");
    assert_eq!(made.size, 7, "six executions and a task");
    let seen = read_checkpoint(&file, &public).expect("what was signed").heads;
    let scope = |changed| Scope { seen: seen.clone(), changed, ..Scope::default() };
    run(&engine, "test").await;
    let (total, broken) = verify(&engine, scope(false)).await;
    assert_eq!((total.executions, total.tasks, broken), (7, 2, Vec::new()));
    let (total, broken) = verify(&engine, scope(true)).await;
    assert_eq!((total.executions, total.tasks, broken), (1, 1, Vec::new()), "only what is new");

    let [_, cut, gone, replaced, _] = ids[..] else { panic!("five streams") };
    // Somebody who owns the database makes it all look sound, lanes apart.
    let statements = format!(
        "delete from events where execution_id = '{cut}' and sequence > 4;
         update executions e set version = 4, head_hash = (select hash from events v
                where v.execution_id = e.execution_id and sequence = 4) where execution_id = '{cut}';
         delete from events where execution_id = '{gone}';
         delete from executions where execution_id = '{gone}';
         delete from task_events where task_id = '{task}' and sequence = 3;
         update tasks set version = 2 where task_id = '{task}'"
    );
    database.execute(&statements).await;
    rewrite(&database, replaced, 3).await;
    assert_eq!(verify(&engine, Scope::default()).await.1, [], "by itself it looks sound");
    let execution =
        |stream, sequence, fault| Broken { kind: Kind::Execution, stream, sequence, fault };
    let expected = [
        execution(cut, 5, Fault::Truncated { last: 4 }),
        execution(gone, 1, Fault::Truncated { last: 0 }),
        execution(replaced, 6, Fault::Replaced),
        Broken { kind: Kind::Task, stream: task, sequence: 3, fault: Fault::Truncated { last: 2 } },
    ];
    for changed in [false, true] {
        assert_eq!(verify(&engine, scope(changed)).await.1, expected, "changed: {changed}");
    }
    let one = Scope { only: Some(cut), ..scope(false) };
    let mut watch = Seen::default();
    engine.audit_verify(&one, &mut watch).await.expect("verified");
    assert_eq!(watch.0, expected[..1]);
}

/// Alters one event and computes the chain anew behind it, as a forger with the source would.
async fn rewrite(database: &TestDatabase, id: Uuid, from: u64) {
    let store = database.store().await;
    let events = store.events(id, 0, 1_000).await.expect("events");
    let mut hash = GENESIS;
    for event in events {
        let (sequence, branch, at) = (event.sequence, event.branch, event.at);
        let actor = if sequence == from { "forger" } else { &event.actor };
        let header =
            EventHeader { stream: id, sequence, event_id: event.event_id, at, branch, actor };
        hash = link(&hash, &header, &event.payload);
        let hash = hex::encode(hash);
        let statement = format!(
            "update events set actor = '{actor}', hash = '\\x{hash}'
              where execution_id = '{id}' and sequence = {sequence};
             update executions set head_hash = '\\x{hash}' where execution_id = '{id}'"
        );
        database.execute(&statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_what_was_signed_are_refused() {
    let database = TestDatabase::new().await;
    made_up(&database, 3, 2).await;
    let engine = engine(&database).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (key_file, file) = (directory.path().join("key"), directory.path().join("checkpoint"));
    let public = read_public_key(&make_key(&key_file).expect("a key")).expect("its public half");
    make_key(&key_file).expect_err("a key that is there is never replaced");
    let key = read_key(&key_file).expect("the key");
    engine.audit_checkpoint(&file, &key).await.expect("a checkpoint");
    read_checkpoint(&file, &public).expect("as it was signed");
    let heads_file = directory.path().join("checkpoint.heads");
    let heads = std::fs::read_to_string(&heads_file).expect("the heads");
    let lines: Vec<&str> = heads.lines().collect();
    let turned = [lines[1], lines[0], lines[2]].join("\n");
    for text in [heads.replacen(" 2 ", " 1 ", 1), lines[..2].join("\n"), turned, String::new()] {
        std::fs::write(&heads_file, &text).expect("written");
        let refused = read_checkpoint(&file, &public);
        assert!(matches!(refused, Err(CheckpointError::Heads { .. })), "{text}: {refused:?}");
    }
    std::fs::write(&heads_file, &heads).expect("written");
    let note = std::fs::read_to_string(&file).expect("the note");
    std::fs::write(&file, note.replacen("\n3\n", "\n2\n", 1)).expect("written");
    let refused = read_checkpoint(&file, &public);
    assert!(matches!(refused, Err(CheckpointError::Note { .. })), "{refused:?}");
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    assert!(matches!(read_key(&key_file), Err(CheckpointError::OpenKey(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_a_chain_too() {
    let database = TestDatabase::new().await;
    let engine = engine(&database).await;
    let writes = (0..20).map(|n| {
        let store = engine.store().clone();
        let now = chrono::Utc::now();
        tokio::spawn(async move {
            store.record_action("Told", &serde_json::json!({"n": n}), "test", now).await
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("no panic").expect("recorded");
    }
    let (total, broken) = verify(&engine, Scope::default()).await;
    assert_eq!((total.events, broken), (20, Vec::new()), "writers at once do not break the chain");
    database.execute("delete from audit_log where sequence = 12").await;
    let broken = only_fault(&engine).await;
    let (kind, stream, fault) = (Kind::Log, longhaul::store::AUDIT_LOG, Fault::Missing);
    assert_eq!(broken, Broken { kind, stream, sequence: 12, fault });
}

#[tokio::test(flavor = "multi_thread")]
async fn months_that_were_given_up_are_no_fault() {
    let database = TestDatabase::new().await;
    let ids = made_up(&database, 3, 4).await;
    let engine = engine(&database).await;
    let directory = tempfile::tempdir().expect("a directory");
    let public = make_key(&directory.path().join("key")).expect("a key");
    let key = read_key(&directory.path().join("key")).expect("the key");
    let file = directory.path().join("checkpoint");
    engine.audit_checkpoint(&file, &key).await.expect("a checkpoint");
    let public = read_public_key(&public).expect("the public key");
    let seen = read_checkpoint(&file, &public).expect("what was signed").heads;
    let give_up = format!(
        "delete from events where execution_id = '{0}';
         insert into archives values ('2026-01-01', '{0}', '{1}', '/nowhere', sha256('x'), 1, 4, 0,
             now(), 'test', now(), 'test')",
        ids[0], ids[1]
    );
    database.execute(&give_up).await;
    let scope = Scope { seen, ..Scope::default() };
    assert_eq!(verify(&engine, scope).await.1, []);
    assert_eq!(engine.audit_lanes().await.expect("lanes"), []);
    let remove = format!("delete from events where execution_id = '{}' and sequence = 2", ids[1]);
    database.execute(&remove).await;
    assert_eq!(only_fault(&engine).await.sequence, 2);
    assert!(!engine.audit_lanes().await.expect("lanes").is_empty(), "one more than was given up");
}

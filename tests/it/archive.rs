//! Months of the log go to files and come back: nothing is lost, altered or given up unproven.

use crate::history::engine_of;
use crate::months::{at, id_at, this_month};
use crate::store::new_execution;
use crate::support::database::TestDatabase;
use chrono::{Duration, Months, NaiveDate};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use longhaul::Longhaul;
use longhaul::archive::{ArchiveError, FILES, Manifest, verify};
use longhaul::clock::{Clock, SystemClock};
use longhaul::engine::RetentionError;
use longhaul::store::{Append, LogChunk, StoreError, Stored};
use longhaul::task::Context;
use longhaul::workflow::command::Command;
use longhaul::workflow::decide::apply;
use longhaul::workflow::event::Motive;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The month `back` months ago.
pub(crate) fn ago(back: u32) -> NaiveDate {
    this_month() - Months::new(back)
}

/// Gives an empty database the months of one that has been there for a while.
pub(crate) async fn age(database: &TestDatabase) {
    let store = database.store().await;
    for range in store.months().await.expect("months") {
        let name = range.month.format("%Y_%m");
        database.execute(&format!("drop table events_{name}, stage_logs_{name}")).await;
    }
    for back in (0..=2).rev() {
        let month = ago(back);
        for parent in ["events", "stage_logs"] {
            let since_ever = back == 2;
            let call = format!("select create_month('{parent}', '{month}', {since_ever})");
            database.execute(&call).await;
        }
    }
    store.create_months(SystemClock.now()).await.expect("months");
}

/// An execution that was requested in a month; it has not begun.
pub(crate) async fn submit_in(engine: &Longhaul, month: NaiveDate) -> Uuid {
    let (task, mut execution) = new_execution(5);
    let now = SystemClock.now();
    let asked = longhaul::task::parse("Write a task down", &Context::at(now)).expect("a task");
    execution.request.task = serde_json::to_value(asked).expect("JSON");
    execution.execution_id = id_at(at(month) + Duration::days(9));
    engine.store().submit(&task, &execution, "test", now).await.expect("submitted").execution_id
}

/// An execution of a month that has ended, with some output.
pub(crate) async fn ended_in(engine: &Longhaul, month: NaiveDate) -> Uuid {
    let id = submit_in(engine, month).await;
    let view = engine.process(id).await.expect("processed");
    assert_eq!(view.status.as_str(), "completed", "{view:?}");
    let chunk = |n: i32| LogChunk {
        execution_id: id,
        stage: "one".to_owned(),
        attempt: 9,
        chunk: n,
        at: SystemClock.now(),
        content: format!("line {n}: \"ü\"\t\u{1b}[31m\n"),
    };
    engine.store().write_logs(&[chunk(0), chunk(1)]).await.expect("logs");
    id
}

struct World {
    database: TestDatabase,
    engine: Longhaul,
    files: tempfile::TempDir,
}

async fn world() -> World {
    let database = TestDatabase::new().await;
    age(&database).await;
    let engine = engine_of(&database).await;
    World { database, engine, files: tempfile::tempdir().expect("a directory") }
}

impl World {
    async fn archive(&self, month: NaiveDate) -> Result<PathBuf, RetentionError> {
        Ok(self.engine.archive_month(month, self.files.path()).await?.place)
    }

    /// Everything that is stored of an execution.
    async fn all_of(&self, id: Uuid) -> (Vec<String>, Vec<LogChunk>) {
        let events = self.engine.store().events(id, 0, 1_000).await.expect("events");
        let logs = self.engine.store().logs(id, None, None).await.expect("logs");
        (events.iter().map(|e: &Stored| format!("{e:?}")).collect(), logs)
    }

    async fn count(&self, table: &str, month: NaiveDate) -> i64 {
        let mut connection = PgConnection::connect(&self.database.url).await.expect("a connection");
        let statement = format!("select count(*) from {table}_{}", month.format("%Y_%m"));
        sqlx::query_scalar(&statement).fetch_one(&mut connection).await.expect("a count")
    }
}

fn rewind() -> Command {
    let from = "one".to_owned();
    let (keep_steps, drop_signals) = (false, false);
    Command::Rewind { from, set: Value::Null, keep_steps, drop_signals, motive: Motive::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_goes_and_comes_back_as_it_was() {
    let w = world().await;
    let old = [ended_in(&w.engine, ago(2)).await, ended_in(&w.engine, ago(2)).await];
    let newer = ended_in(&w.engine, ago(1)).await;
    let mut before = Vec::new();
    for id in old {
        before.push(w.all_of(id).await);
    }
    let place = w.archive(ago(2)).await.expect("archived");
    let archive = w.engine.drop_month(ago(2), None).await.expect("dropped");
    assert_eq!((archive.manifest.executions, archive.manifest.log_chunks), (2, 4));
    assert_eq!((w.count("events", ago(2)).await, w.count("stage_logs", ago(2)).await), (0, 0));

    // What is left says where the rest is.
    let store = w.engine.store();
    for error in [
        store.load(old[0]).await.expect_err("no events"),
        store.events(old[0], 0, 10).await.expect_err("no events"),
        store.logs(old[0], None, None).await.expect_err("no logs"),
    ] {
        assert!(matches!(error, StoreError::Archived { id, .. } if id == old[0]), "{error}");
        assert!(error.to_string().contains(&place.display().to_string()), "{error}");
    }
    let view = w.engine.show(old[0]).await.expect("its summary");
    assert_eq!((view.status.as_str(), view.progress), ("completed", 1.0));
    assert_eq!(view.archived.expect("a note").place, place.display().to_string());
    w.engine.show(newer).await.expect("another month is not touched");
    assert!(matches!(w.archive(ago(2)).await, Err(RetentionError::Gone(_))));
    let again = w.engine.drop_month(ago(2), None).await;
    assert!(matches!(again, Err(RetentionError::Gone(_))), "{again:?}");

    w.engine.restore_month(&place).await.expect("restored");
    for (id, was) in old.iter().zip(before) {
        assert_eq!(w.all_of(*id).await, was);
    }
    let twice = w.engine.restore_month(&place).await;
    assert!(matches!(twice, Err(RetentionError::Present(_))), "{twice:?}");
    // The month lives again: it takes appends, and goes once more when it is archived anew.
    w.engine.rewind(old[0], "one", Value::Null, "again").await.expect("rewound");
    let stale = w.engine.drop_month(ago(2), None).await;
    assert!(matches!(stale, Err(RetentionError::Held { .. })), "{stale:?}");
    w.engine.process(old[0]).await.expect("processed");
    let stale = w.engine.drop_month(ago(2), None).await;
    assert!(matches!(stale, Err(RetentionError::Differs { .. })), "{stale:?}");
    std::fs::rename(&place, w.files.path().join("old")).expect("moved");
    w.archive(ago(2)).await.expect("archived anew");
    w.engine.drop_month(ago(2), None).await.expect("dropped again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_execution_holds_its_month_and_is_named() {
    let w = world().await;
    ended_in(&w.engine, ago(1)).await;
    let open = submit_in(&w.engine, ago(1)).await;
    let error = w.archive(ago(1)).await.expect_err("held");
    let said = error.to_string();
    assert!(said.contains("1 open executions") && said.contains(&open.to_string()), "{said}");
    assert!(!w.files.path().join(ago(1).format("%Y-%m").to_string()).exists());
    let current = w.archive(this_month()).await;
    assert!(matches!(current, Err(RetentionError::NotOver(_))), "{current:?}");
    w.engine.process(open).await.expect("processed");
    w.archive(ago(1)).await.expect("nothing holds it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_append_to_a_dropped_month_fails() {
    let w = world().await;
    let id = ended_in(&w.engine, ago(1)).await;
    let mut loaded = w.engine.store().load(id).await.expect("loaded");
    w.archive(ago(1)).await.expect("archived");
    w.engine.drop_month(ago(1), None).await.expect("dropped");
    // Somebody decided before the month went, and appends after.
    let (before, now) = (loaded.head_hash, SystemClock.now());
    let happened = apply(&mut loaded.state, now, &rewind()).expect("decided");
    let append = Append::new(id, &loaded.state, &happened, before, "test", now).expect("an append");
    let late = w.engine.store().append(append).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(w.engine.store().parts().await.expect("parts").outside, 0);
    let row = w.engine.store().execution_row(id).await.expect("its row");
    assert_eq!(row.status, "completed", "the head has not moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_archive_is_not_given_up() {
    let w = world().await;
    let id = ended_in(&w.engine, ago(1)).await;
    let place = w.archive(ago(1)).await.expect("archived");
    let late = LogChunk {
        execution_id: id,
        stage: "two".to_owned(),
        attempt: 9,
        chunk: 0,
        at: SystemClock.now(),
        content: "late".to_owned(),
    };
    w.engine.store().write_logs(&[late]).await.expect("a late chunk");
    let error = w.engine.drop_month(ago(1), None).await.expect_err("refused");
    assert!(error.to_string().contains("3 chunks of output, 2 in the archive"), "{error}");
    std::fs::rename(&place, w.files.path().join("first")).expect("moved");
    let gone = w.engine.drop_month(ago(1), None).await;
    assert!(matches!(gone, Err(RetentionError::Archive(ArchiveError::Io { .. }))), "{gone:?}");
    w.archive(ago(1)).await.expect("archived anew");
    damage(&w.files.path().join(ago(1).format("%Y-%m").to_string()).join(FILES[1]));
    let broken = w.engine.drop_month(ago(1), None).await;
    let is_broken = matches!(&broken, Err(RetentionError::Archive(ArchiveError::Broken { .. })));
    assert!(is_broken, "{broken:?}");
    assert!(w.count("events", ago(1)).await > 0, "nothing was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_midst_leaves_something_whole() {
    let w = world().await;
    let id = ended_in(&w.engine, ago(1)).await;
    // While writing: what is unfinished goes with the next try.
    let name = ago(1).format("%Y-%m").to_string();
    let unfinished = w.files.path().join(format!(".{name}.unfinished"));
    std::fs::create_dir_all(&unfinished).expect("a directory");
    std::fs::write(unfinished.join("events.jsonl.gz"), "half").expect("a file");
    let place = w.archive(ago(1)).await.expect("archived");
    assert!(!unfinished.exists());
    let again = w.archive(ago(1)).await;
    assert!(matches!(again, Err(RetentionError::Archive(ArchiveError::Exists(_)))), "{again:?}");
    // While putting back: nobody sees the half, and the next try begins anew.
    let before = w.all_of(id).await;
    w.engine.drop_month(ago(1), None).await.expect("dropped");
    let months = w.engine.store().months().await.expect("months");
    let range = months.into_iter().find(|m| m.month == ago(1)).expect("the month");
    let mut back = w.engine.store().put_back(&range).await.expect("begun");
    let archive = verify(&place).expect("verified");
    let some: Vec<_> = archive.events().expect("events").take(2).map(|e| e.expect("one")).collect();
    back.events(&some).await.expect("two events");
    drop(back);
    assert!(w.engine.store().load(id).await.is_err());
    w.engine.restore_month(&place).await.expect("restored");
    assert_eq!(w.all_of(id).await, before);
}

/// Turns one bit in the midst of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// Writes the lines of a file anew, with a manifest that fits, as a forger would.
fn forge(archive: &Path, name: &str, change: impl Fn(&mut Vec<String>)) {
    let mut text = String::new();
    let file = std::fs::File::open(archive.join(name)).expect("a file");
    GzDecoder::new(file).read_to_string(&mut text).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for line in lines {
        writeln!(encoder, "{line}").expect("written");
    }
    let bytes = encoder.finish().expect("finished");
    let path = archive.join("manifest.json");
    let mut manifest: Manifest =
        serde_json::from_slice(&std::fs::read(&path).expect("a manifest")).expect("a manifest");
    let note = manifest.files.get_mut(name).expect("its note");
    note.bytes = bytes.len() as u64;
    note.sha256 = hex::encode(Sha256::digest(&bytes));
    std::fs::write(archive.join(name), bytes).expect("written");
    std::fs::write(&path, serde_json::to_vec(&manifest).expect("JSON")).expect("written");
}

/// What the verifier in Python says.
fn python(archive: &Path) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/archive/verify.py");
    let output = std::process::Command::new("python3").arg(script).arg(archive).output();
    let output = output.expect("python3 runs; install it (apt-get install python3)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
}

fn copied(archive: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir(to).expect("a directory");
    for name in FILES.into_iter().chain(["manifest.json"]) {
        std::fs::copy(archive.join(name), to.join(name)).expect("copied");
    }
    to.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_verifiers_find_every_forgery() {
    let w = world().await;
    ended_in(&w.engine, ago(1)).await;
    ended_in(&w.engine, ago(1)).await;
    let place = w.archive(ago(1)).await.expect("archived");
    verify(&place).expect("ours verifies it");
    let (is_right, said) = python(&place);
    assert!(is_right && said.contains("verified: 2 executions"), "{said}");
    type Forgery = (&'static str, &'static str, fn(&mut Vec<String>));
    let forgeries: [Forgery; 6] = [
        ("a changed payload", FILES[1], |l| l[0] = l[0].replacen("task down", "tusk down", 1)),
        ("a changed actor", FILES[1], |l| {
            l[0] = l[0].replacen(r#""actor":"test""#, r#""actor":"tess""#, 1)
        }),
        ("a removed event", FILES[1], |l| drop(l.remove(2))),
        ("a swapped pair", FILES[1], |l| l.swap(1, 2)),
        ("a cut end", FILES[1], |l| drop(l.pop())),
        ("a removed execution", FILES[0], |l| drop(l.pop())),
    ];
    for (index, (what, file, change)) in forgeries.into_iter().enumerate() {
        let forged = copied(&place, &w.files.path().join(format!("forged-{index}")));
        forge(&forged, file, change);
        let ours = verify(&forged);
        assert!(matches!(ours, Err(ArchiveError::Broken { .. })), "{what}: {ours:?}");
        let (is_right, said) = python(&forged);
        assert!(!is_right, "{what}: {said}");
    }
    for (index, name) in FILES.into_iter().enumerate() {
        let damaged = copied(&place, &w.files.path().join(format!("damaged-{index}")));
        damage(&damaged.join(name));
        assert!(verify(&damaged).is_err(), "{name}");
        assert!(!python(&damaged).0, "{name}");
    }
}

#[tokio::test]
async fn an_archive_keeps_every_column() {
    let database = TestDatabase::new().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    for (table, known) in [
        (
            "events",
            "execution_id sequence event_id type branch at actor payload hash lane lane_sequence",
        ),
        ("stage_logs", "execution_id stage attempt chunk at content"),
    ] {
        let columns: Vec<String> = sqlx::query_scalar(
            "select attname::text from pg_attribute
              where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum",
        )
        .bind(table)
        .fetch_all(&mut connection)
        .await
        .expect("columns");
        let mend = "a new column must go to the files too: src/archive and src/store/archives.rs";
        assert_eq!(columns.join(" "), known, "{mend}");
    }
}

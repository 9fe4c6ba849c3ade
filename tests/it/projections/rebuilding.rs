//! Building anew beside the live one: lost connections, changed files, files of one's own.

use super::log::Log;
use super::truth::{every_read_model_is_true, number};
use crate::support::eventually;
use longhaul::projector::{Sizes, install};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc;

const SMALL: Sizes = Sizes { near: 20, piece: 100 };

/// Waits until somebody waits for a lock, and ends that session.
pub(super) async fn end_who_waits(log: &Log) {
    let text = "select pg_terminate_backend(pid) from pg_stat_activity \
                where datname = current_database() and wait_event_type = 'Lock' \
                  and application_name = 'longhaul'";
    eventually("a session waits", || async {
        let ended: Option<bool> =
            sqlx::query_scalar(text).fetch_optional(&log.pool).await.expect("sessions");
        ended.filter(|e| *e)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_goes_on_where_it_was_cut_off() {
    let mut log = Log::of_histories(3).await;
    log.write_all().await;
    let projector = log.projector().await.with_sizes(SMALL);
    projector.catch_up().await.expect("caught up");
    let names = vec!["stage_stats".to_owned()];
    let (notice, noticed) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let building = tokio::spawn({
        let (projector, names) = (projector.clone(), names.clone());
        async move {
            let progress = |_: &str| {
                let _ = notice.send(());
                // Stays here until the test has asked for the end.
                let _ = gate.lock().expect("the gate").recv();
            };
            projector.rebuild(&names, &[], 1, &progress).await
        }
    });
    tokio::task::spawn_blocking(move || noticed.recv()).await.expect("joined").expect("a piece");
    building.abort();
    drop(open);
    assert!(building.await.expect_err("cut off").is_cancelled());
    let text = "select events from projector.generations where name = 'stage_stats' \
                and state = 'building' and cursor is not null";
    let begun = number(&log.pool, text).await;
    let all = number(&log.pool, "select count(*) from events").await;
    assert!(begun > 0 && begun < all, "{begun} of {all}");
    let list = projector.status().await.expect("a list");
    let shown = list.iter().find(|p| p.name == "stage_stats").expect("listed");
    assert_eq!((shown.state, shown.building.as_ref().map(|b| b.events)), ("live", Some(begun)));

    let rest = projector.rebuild(&names, &[], 1, &|_| {}).await.expect("built");
    assert_eq!(begun + rest, all, "what was folded is not folded again");
    let live = "select generation::bigint from projector.generations \
                where name = 'stage_stats' and state = 'live'";
    assert_eq!(number(&log.pool, live).await, 2);
    let old = "select count(*) from pg_namespace where nspname = 'projection_stage_stats_1'";
    assert_eq!(number(&log.pool, old).await, 0, "the old tables are gone");
    every_read_model_is_true(&projector).await;
}

#[tokio::test]
async fn a_lost_connection_is_an_error_and_never_a_quiet_end() {
    let mut log = Log::of_histories(1).await;
    log.write_all().await;
    let projector = log.projector().await.with_sizes(SMALL);
    projector.catch_up().await.expect("caught up");
    let names = vec!["task_stats".to_owned(), "cost_ledger".to_owned()];
    for verify in [false, true] {
        let mut blocker = log.pool.begin().await.expect("a transaction");
        sqlx::query("lock table events in access exclusive mode")
            .execute(&mut *blocker)
            .await
            .expect("locked");
        let working = tokio::spawn({
            let (projector, names) = (projector.clone(), names.clone());
            async move {
                match verify {
                    true => projector.verify("task_stats", &|_| {}).await.map(|_| ()),
                    false => projector.rebuild(&names, &[], 1, &|_| {}).await.map(|_| ()),
                }
            }
        });
        end_who_waits(&log).await;
        let error = working.await.expect("joined").expect_err("a lost connection");
        assert!(error.may_pass(), "{error}");
        assert!(error.to_string().contains("goes on where it stopped"), "{error}");
        drop(blocker);
    }
    projector.rebuild(&names, &[], 2, &|_| {}).await.expect("built");
    every_read_model_is_true(&projector).await;
}

const OWN: &str = "-- own: events per type.
create table own (
    type    text primary key,  -- the type
    events  bigint not null    -- how many
);
-- fold
insert into own as t (type, events) select type, count(*) from batch group by type
on conflict (type) do update set events = t.events + excluded.events";

#[tokio::test]
async fn a_file_of_ones_own_works_the_same_way() {
    let mut log = Log::of_histories(2).await;
    for _ in 0..40 {
        log.write_some().await;
    }
    let store = log.database.store().await;
    let projector = log.projector().await.with_sizes(SMALL);
    let directory = tempfile::tempdir().expect("a directory");
    let put = async |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("a file");
        install(&store, Some(directory.path()), chrono::Utc::now()).await.expect("installed");
    };
    put("own.sql", OWN).await;
    projector.catch_up().await.expect("caught up");
    let counted = "select sum(events)::bigint from projections.own";
    let all = "select count(*) from events";
    assert_eq!(number(&log.pool, counted).await, number(&log.pool, all).await);

    // A changed file is built beside and switched; meanwhile the log goes on.
    put("own.sql", &OWN.replace("count(*) from", "2 * count(*) from")).await;
    log.write_all().await;
    projector.catch_up().await.expect("caught up");
    eventually("the new one is shown", || async {
        projector.catch_up().await.expect("caught up");
        let twice = number(&log.pool, counted).await;
        (twice == 2 * number(&log.pool, all).await).then_some(())
    })
    .await;
    let verdict = projector.verify("own", &|_| {}).await.expect("verified");
    assert!(verdict.equal && verdict.rows > 10, "{verdict:?}");
    // The older program with its older file does not turn that back.
    put("own.sql", OWN).await;
    projector.catch_up().await.expect("caught up");
    assert_eq!(number(&log.pool, counted).await, 2 * number(&log.pool, all).await);
}

#[tokio::test]
async fn a_broken_file_stalls_only_itself() {
    let mut log = Log::of_histories(1).await;
    log.write_all().await;
    let store = log.database.store().await;
    let projector = log.projector().await;
    let directory = tempfile::tempdir().expect("a directory");
    let put = async |directory: &Path, name: &str, text: &str| {
        std::fs::write(directory.join(name), text).expect("a file");
        install(&store, Some(directory), chrono::Utc::now()).await
    };
    let wrong_fold = OWN.replace("count(*)", "count(*) / 0");
    put(directory.path(), "own.sql", &wrong_fold).await.expect("installed");
    put(directory.path(), "worse.sql", "create tabel worse ();\n-- fold\nselect 1")
        .await
        .expect("noted");
    put(directory.path(), "empty.sql", "-- nothing\n").await.expect("noted");
    projector.catch_up().await.expect("caught up");
    for p in projector.status().await.expect("a list") {
        let stall = p.stalled.or(p.building.and_then(|b| b.stalled)).map(|s| s.reason);
        let expected = match p.name.as_str() {
            "own" => Some("division by zero"),
            "worse" => Some("tabel"),
            "empty" => Some("no line `-- fold`"),
            _ => None,
        };
        match (expected, &stall) {
            (Some(expected), Some(reason)) => assert!(reason.contains(expected), "{reason}"),
            (expected, stall) => {
                assert_eq!((expected.is_some(), stall), (false, &None), "{}", p.name)
            }
        }
        if expected.is_none() {
            assert_eq!((p.state, p.lag_events), ("live", 0), "{}", p.name);
        }
    }
    let error = projector.verify("own", &|_| {}).await.expect_err("stalled").to_string();
    assert!(error.contains("division by zero"), "{error}");
    put(directory.path(), "worse.sql", &OWN.replace("own", "worse")).await.expect("installed");
    projector.catch_up().await.expect("caught up");
    assert!(projector.verify("worse", &|_| {}).await.expect("verified").equal);
    let taken = put(directory.path(), "stage_stats.sql", OWN).await.expect_err("a taken name");
    assert!(taken.to_string().contains("comes with the program"), "{taken}");
}

//! What becomes of work when something breaks: stops, zombies, cut connections, lost answers, late
//! words of attempts. Every fault that can be caused inside one process.

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::{Fake, names, row};
use crate::worker::{Working, history, is_running, run, state_where, submit};
use longhaul::stages::StageOutcome;
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::state::{StageState, Status};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_lets_go_and_the_next_goes_on() {
    let database = TestDatabase::new().await;
    let first = Arc::new(AtomicU32::new(0));
    let tries = Arc::clone(&first);
    let slow_once = Fake::new(move |context| {
        let n = tries.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if n == 0 {
                context.cancelled().cancelled().await;
                return Err(Failure::new(ErrorKind::Interrupted, "told to end"));
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let builder = database.builder().stage("ok", Fake::ok()).stage("slow", slow_once);
    let engine = builder.workflow(row("slow", &["ok", "slow"])).build().await.expect("an engine");
    let working = Working::with(&engine, |o| o.drain = Duration::from_millis(50));
    let id = submit(&engine, "slow").await;
    state_where(&engine, id, "the stage runs", |s| is_running(s, "slow")).await;
    working.end().await;
    let state = engine.state(id).await.expect("a state");
    assert_eq!(state.stage("slow").expect("a stage").state, StageState::Interrupted);
    let view = engine.process(id).await.expect("processed");
    assert_eq!(view.status, Status::Completed);
    assert_eq!(
        (view.stages[0].attempts, view.stages[1].attempts),
        (1, 2),
        "`ok` did not run again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_refused_and_stops_itself() {
    let database = TestDatabase::new().await;
    let starts = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&starts);
    let ended = CancellationToken::new();
    let told = ended.clone();
    let stage = Fake::new(move |context| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let told = told.clone();
        Box::pin(async move {
            if n == 0 {
                context.cancelled().cancelled().await;
                told.cancel();
            }
            Ok(StageOutcome::Done(json!({"by": n})))
        })
    });
    let builder = database.builder().stage("stage", stage);
    let engine = builder.workflow(row("zombie", &["stage"])).build().await.expect("an engine");
    let zombie = Working::start(&engine);
    let id = submit(&engine, "zombie").await;
    state_where(&engine, id, "the stage runs", |s| is_running(s, "stage")).await;
    let worker = engine.store().workers().await.expect("workers")[0].worker_id;
    // What a sweep does when a lease has lapsed, at a moment of our choosing.
    engine.store().bury_worker(worker, true).await.expect("buried");
    let view = engine.wait_for_end(id).await.expect("ended");
    ended.cancelled().await;
    assert_eq!((view.status, view.stages[0].attempts), (Status::Completed, 2));
    assert_eq!(view.stages[0].output, Some(json!({"by": 1})), "the zombie's result was refused");
    let names = names(&history(&engine, id).await);
    assert_eq!(names.iter().filter(|n| n.starts_with("StageSucceeded")).count(), 1, "{names:?}");
    assert_eq!(names.iter().filter(|n| n.starts_with("StageInterrupted")).count(), 1, "{names:?}");
    zombie.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_lose_nothing() {
    let database = TestDatabase::new().await;
    let work = Fake::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let stages = ["a", "b", "c", "d", "e", "f"];
    let mut builder = database.builder();
    for stage in stages {
        builder = builder.stage(stage, work.clone());
    }
    let engine = builder.workflow(row("six", &stages)).build().await.expect("an engine");
    let working = Working::start(&engine);
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(submit(&engine, "six").await);
    }
    for _ in 0..10 {
        database
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for id in ids {
        let view = engine.wait_for_end(id).await.expect("ended");
        assert_eq!(view.status, Status::Completed);
        let names = names(&history(&engine, id).await);
        let succeeded = names.iter().filter(|n| n.starts_with("StageSucceeded")).count();
        assert_eq!(succeeded, stages.len(), "each result is recorded once: {names:?}");
    }
    working.end().await;
}

/// An attempt that was cut off by a reopening may still be ending when the next one of its stage runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_end_of_a_cut_off_attempt_does_not_disturb_the_next_one() {
    let database = TestDatabase::new().await;
    let [first_runs, second_runs, first_is_gone] = [(); 3].map(|()| CancellationToken::new());
    let tokens = (first_runs.clone(), second_runs.clone(), first_is_gone.clone());
    let slow = Fake::new(move |context| {
        let (first_runs, second_runs, first_is_gone) = tokens.clone();
        Box::pin(async move {
            if context.input.attempt == 1 {
                first_runs.cancel();
                context.cancelled().cancelled().await;
                second_runs.cancelled().await;
                first_is_gone.cancel();
                return Err(Failure::new(ErrorKind::Interrupted, "told to end"));
            }
            second_runs.cancel();
            first_is_gone.cancelled().await;
            context.progress("the first one is gone", None).await?;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let check = Fake::new(move |context| {
        let first_runs = first_runs.clone();
        Box::pin(async move {
            first_runs.cancelled().await;
            if context.input.attempt == 1 {
                return Err(Failure::new(ErrorKind::Rejected, "do it again"));
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let mut workflow = row("late", &["code", "slow", "check"]);
    workflow.stages[2].needs = Some(vec!["code".into()]);
    workflow.stages[2].reopens = Some("code".into());
    let builder = database.builder().stage("code", Fake::ok()).stage("slow", slow);
    let engine = builder.stage("check", check).workflow(workflow).build().await.expect("an engine");
    let view = run(&engine, "late").await;
    assert_eq!((view.status, view.loops), (Status::Completed, 1));
    assert_eq!(view.stages[1].attempts, 2);
}

/// A claim whose answer was lost: by the database's word the worker holds it, and no driver knows.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_its_worker_does_not_know_of_is_queued_again() {
    let database = TestDatabase::new().await;
    let builder = || database.builder().stage("ok", Fake::ok()).workflow(row("single", &["ok"]));
    let engine = builder().build().await.expect("an engine");
    // It looks into the queue once, when there is nothing in it, and not again for an hour.
    let forgetful = Working::with(&engine, |o| o.poll = Duration::from_secs(3_600));
    let worker = eventually("the worker has beaten for a while, and so has looked", || async {
        let worker = engine.store().workers().await.ok()?.into_iter().next()?;
        let lived = worker.heartbeat_at - worker.started_at;
        (lived > chrono::TimeDelta::milliseconds(350)).then_some(worker.worker_id)
    })
    .await;
    // By another process: a submission of this one would begin with the worker at once.
    let elsewhere = builder().build().await.expect("another engine");
    let id = submit(&elsewhere, "single").await;
    let claimed = engine.store().claim(worker, 1, None, chrono::Utc::now()).await.expect("claimed");
    assert_eq!(claimed.len(), 1, "in its name, but it never hears of it");
    eventually("the worker lets go of it", || async {
        engine.store().execution_row(id).await.ok()?.worker_id.is_none().then_some(())
    })
    .await;
    assert_eq!(engine.process(id).await.expect("processed").status, Status::Completed);
    forgetful.end().await;
}

/// However it came about: an execution that has ended leaves the queue, and is not claimed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_execution_in_the_queue_is_taken_out_of_it() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("ok", Fake::ok());
    let engine = builder.workflow(row("single", &["ok"])).build().await.expect("an engine");
    let id = submit(&engine, "single").await;
    engine.cancel(id, "not needed").await.expect("cancelled");
    database
        .execute("insert into queue select execution_id, true, priority, now() from executions")
        .await;
    let working = Working::start(&engine);
    let count = || async {
        let statement = "select (select count(*) from queue) + count(worker_id) from executions";
        sqlx::query_scalar::<_, i64>(statement).fetch_one(engine.store().pool()).await.ok()
    };
    eventually("nobody holds it and it waits nowhere", || async {
        (count().await? == 0).then_some(())
    })
    .await;
    assert_eq!(engine.state(id).await.expect("a state").status(), Status::Cancelled);
    working.end().await;
}

/// A worker that cannot work at all says so, instead of letting its caller wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_begin_is_an_error_and_not_a_wait() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("ok", Fake::ok()).workflow(row("single", &["ok"]));
    std::fs::write(database.home.path().join("workers"), "in the way").expect("a file");
    let engine = builder.build().await.expect("an engine");
    let id = submit(&engine, "single").await;
    let said = engine.process(id).await.expect_err("refused").to_string();
    assert!(said.contains("the worker's lock file"), "{said}");
}

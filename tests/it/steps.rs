//! What a stage may do in its midst: steps, waits, sleeps, keys; and what a killed worker leaves.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, names, row};
use crate::worker::{Working, history, run, state_where, submit};
use longhaul::Longhaul;
use longhaul::stages::StageOutcome;
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::state::{Execution, Status};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn waits(state: &Execution, times: usize) -> bool {
    state.status() == Status::Waiting && state.signal_keys.len() == times
}

async fn send(engine: &Longhaul, id: uuid::Uuid, payload: Value) {
    let key = Some(payload.to_string());
    engine.signal(id, "word", payload, key, "").await.expect("sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_may_wait_several_times_and_does_each_step_once() {
    let database = TestDatabase::new().await;
    let [runs, steps] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let counts = (Arc::clone(&runs), Arc::clone(&steps));
    let asks = Fake::new(move |context| {
        let (runs, steps) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        Box::pin(async move {
            runs.fetch_add(1, Ordering::SeqCst);
            let first = context.wait_signal("word").await?.payload;
            let n = context.step("n", async { Ok(steps.fetch_add(1, Ordering::SeqCst)) }).await?;
            context.sleep(Duration::from_millis(30)).await?;
            context.sleep(Duration::from_millis(30)).await?;
            let second = context.wait_signal("word").await?.payload;
            Ok(StageOutcome::Done(json!({"words": [first, second], "n": n})))
        })
    });
    let builder = database.builder().stage("asks", asks).workflow(row("asks", &["asks"]));
    let engine = builder.build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = submit(&engine, "asks").await;
    state_where(&engine, id, "it waits for the first word", |s| waits(s, 0)).await;
    let held = engine.store().execution_row(id).await.expect("a row").worker_id;
    assert_eq!(held, None, "who waits holds no worker");
    send(&engine, id, json!("one")).await;
    let waits_again = |s: &Execution| waits(s, 1) && s.stages[0].steps.len() == 3;
    state_where(&engine, id, "it has slept twice and waits for the second word", |s| {
        waits_again(s) && s.stages[0].progress.is_empty() && is_waiting_for_a_word(s)
    })
    .await;
    send(&engine, id, json!("two")).await;
    let view = engine.wait_for_end(id).await.expect("ended");
    assert_eq!(view.stages[0].output, Some(json!({"words": ["one", "two"], "n": 0})));
    assert_eq!((view.stages[0].attempts, steps.load(Ordering::SeqCst)), (1, 1));
    assert!(runs.load(Ordering::SeqCst) >= 3, "it begins again after each wait");
    working.end().await;
}

fn is_waiting_for_a_word(state: &Execution) -> bool {
    use longhaul::workflow::state::StageState;
    matches!(&state.stages[0].state, StageState::Waiting { signal: Some(name), .. } if name == "word")
}

/// Both signals come before the first wait; a wait that ran out takes none.
#[tokio::test(flavor = "multi_thread")]
async fn the_nth_wait_gets_the_nth_signal_and_a_wait_that_ran_out_gets_none() {
    let database = TestDatabase::new().await;
    let asks = Fake::new(|context| {
        Box::pin(async move {
            let soon = context
                .step("soon", async {
                    Ok(context.clock().now() + chrono::TimeDelta::milliseconds(50))
                })
                .await?;
            let nothing = context.wait_signal_until("word", soon).await?;
            context.progress("nothing came", None).await?;
            let one = context.wait_signal("word").await?.payload;
            let late = context.clock().now() + chrono::TimeDelta::hours(1);
            let two = context.wait_signal_until("word", late).await?.map(|s| s.payload);
            Ok(StageOutcome::Done(json!({"nothing": nothing.is_none(), "words": [one, two]})))
        })
    });
    let builder = database.builder().stage("asks", asks).workflow(row("asks", &["asks"]));
    let engine = builder.build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = submit(&engine, "asks").await;
    state_where(&engine, id, "the first wait ran out", |s| {
        s.stages[0].progress == "nothing came" && is_waiting_for_a_word(s)
    })
    .await;
    working.end().await;
    send(&engine, id, json!("one")).await;
    send(&engine, id, json!("two")).await;
    let view = engine.process(id).await.expect("processed");
    let expected = json!({"nothing": true, "words": ["one", "two"]});
    assert_eq!(view.stages[0].output, Some(expected), "{:?}", view.error.map(|e| e.message));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_the_same_in_every_attempt_until_the_stage_begins_anew() {
    let database = TestDatabase::new().await;
    let keys = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&keys);
    let pays = Fake::new(move |context| {
        let noted = Arc::clone(&noted);
        Box::pin(async move {
            let pair = ["pay", "ship"].map(|name| context.idempotency_key(name));
            noted.lock().expect("the keys").push(pair);
            if context.input.attempt == 1 {
                return Err(Failure::new(ErrorKind::Transient, "away"));
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let judges = Fake::new(|context| {
        Box::pin(async move {
            if context.input.attempt == 1 {
                return Err(Failure::new(ErrorKind::Rejected, "do it again"));
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let mut workflow = row("pays", &["pays", "judges"]);
    workflow.stages[1].reopens = Some("pays".into());
    let builder = database.builder().stage("pays", pays).stage("judges", judges);
    let engine = builder.workflow(workflow).build().await.expect("an engine");
    let view = run(&engine, "pays").await;
    assert_eq!((view.status, view.loops), (Status::Completed, 1));
    let keys = keys.lock().expect("the keys").clone();
    let [first, second, third] = keys.as_slice() else { panic!("three runs: {keys:?}") };
    assert_eq!(first, second, "a retry");
    assert_ne!(first[0], third[0], "a reopened stage is to do its work again");
    assert_ne!(first[0], first[1]);
    assert_eq!(first[0].len(), 32);
}

/// The worker's whole runtime goes in the midst of the second batch: nothing of it can say good-bye.
#[test]
fn a_stage_whose_worker_is_killed_goes_on_after_its_last_step() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, theirs) = (runtime(), runtime());
    let database = ours.block_on(TestDatabase::new());
    let batches = Arc::new(Mutex::new(Vec::new()));
    let engine = |hangs: bool| {
        let batches = Arc::clone(&batches);
        let moves = Fake::new(move |context| {
            let batches = Arc::clone(&batches);
            Box::pin(async move {
                for batch in 0..3 {
                    let key = format!("batch-{batch}");
                    let work = async {
                        if hangs && batch == 1 {
                            context.progress("in the midst of it", None).await?;
                            std::future::pending::<()>().await;
                        }
                        batches.lock().expect("the batches").push(batch);
                        Ok(batch)
                    };
                    context.step(&key, work).await?;
                }
                Ok(StageOutcome::Done(json!({})))
            })
        });
        database.builder().stage("moves", moves).workflow(row("moves", &["moves"]))
    };
    let id = theirs.block_on(async {
        let engine = engine(true).build().await.expect("an engine");
        let id = submit(&engine, "moves").await;
        std::mem::forget(Working::start(&engine));
        state_where(&engine, id, "the second batch is under way", |s| {
            s.stages[0].progress == "in the midst of it"
        })
        .await;
        id
    });
    theirs.shutdown_timeout(Duration::from_secs(30));
    assert_eq!(*batches.lock().expect("the batches"), [0]);
    ours.block_on(async {
        let engine = engine(false).build().await.expect("an engine");
        let view = engine.process(id).await.expect("processed");
        assert_eq!((view.status, view.stages[0].attempts), (Status::Completed, 2));
        let names = names(&history(&engine, id).await);
        let steps = names.iter().filter(|n| n.starts_with("StepRecorded")).count();
        assert_eq!(steps, 3, "{names:?}");
    });
    assert_eq!(*batches.lock().expect("the batches"), [0, 1, 2], "each batch was done once");
}

//! Bounds on time as the worker keeps them: silence, all attempts together, the queue.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::{run, submit};
use longhaul::stages::StageOutcome;
use longhaul::workflow::definition::OnExhausted;
use longhaul::workflow::state::Status;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_gives_no_sign_of_life_is_ended() {
    let database = TestDatabase::new().await;
    let mut workflow = row("silent", &["endless"]);
    workflow.stages[0].inactivity_ms = Some(50);
    workflow.stages[0].attempts = Some(1);
    let engine = database.builder().stage("endless", Fake::endless()).workflow(workflow);
    let view = run(&engine.build().await.expect("an engine"), "silent").await;
    let error = view.error.expect("an error");
    assert_eq!(error.kind, "timeout");
    assert!(error.message.contains("gave no sign of life for 0.05 s"), "{}", error.message);
}

/// It lives far longer than it may be silent, and each of its words counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_speaks_is_not_silent() {
    let database = TestDatabase::new().await;
    let talks = Fake::new(|context| {
        Box::pin(async move {
            for word in 0..30_u32 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                match word % 3 {
                    0 => context.log("a line"),
                    1 => context.progress("on its way", None).await?,
                    _ => context.step(&format!("s{word}"), async { Ok(()) }).await?,
                }
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let mut workflow = row("talks", &["talks"]);
    workflow.stages[0].inactivity_ms = Some(2_500);
    let engine = database.builder().stage("talks", talks).workflow(workflow);
    let view = run(&engine.build().await.expect("an engine"), "talks").await;
    assert_eq!(view.status, Status::Completed, "{:?}", view.error.map(|e| e.message));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_together_end_when_their_time_is_over() {
    let database = TestDatabase::new().await;
    let mut workflow = row("slow", &["endless"]);
    workflow.stages[0].total_ms = Some(300);
    workflow.stages[0].attempts = Some(3);
    let engine = database.builder().stage("endless", Fake::endless()).workflow(workflow);
    let view = run(&engine.build().await.expect("an engine"), "slow").await;
    let error = view.error.expect("an error");
    assert_eq!((error.kind, view.stages[0].attempts), ("timeout", 1));
    assert!(error.message.contains("`total_ms` of 300 leaves no time"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_waited_too_long_for_a_worker_pauses_and_goes_on_when_told() {
    let database = TestDatabase::new().await;
    let mut workflow = row("urgent", &["ok"]);
    workflow.queue_ms = Some(1);
    workflow.on_exhausted = OnExhausted::Pause;
    let builder = database.builder().stage("ok", Fake::ok()).workflow(workflow);
    let engine = builder.build().await.expect("an engine");
    let id = submit(&engine, "urgent").await;
    // Longer than it may wait, whatever the machine is doing.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let view = engine.process(id).await.expect("processed");
    assert_eq!(view.status, Status::Paused);
    let said = view.waiting_reason.expect("a reason").detail;
    assert!(said.contains("longer than its `queue_ms` of 1"), "{said}");
}

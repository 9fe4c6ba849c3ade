//! Histories that grow long: a warning, a bound, and work that goes on in a new execution.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use crate::worker::{Working, run, state_where, submit};
use longhaul::Longhaul;
use longhaul::engine::Submission;
use longhaul::stages::StageOutcome;
use longhaul::store::Filter;
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::state::{Execution, Status};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Says something a hundred times, which its history has no room for.
fn talkative() -> Fake {
    Fake::new(|context| {
        Box::pin(async move {
            for n in 0..100 {
                context.progress(&format!("{n} of 100"), None).await?;
            }
            Ok(StageOutcome::Done(json!({})))
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_full_fails_the_stage_and_leaves_nothing_stuck() {
    let database = TestDatabase::new().await;
    let environment = &[("LONGHAUL_HISTORY_WARN", "10"), ("LONGHAUL_HISTORY_MAX", "20")];
    let builder = database.builder_with(environment).stage("talks", talkative());
    let engine = builder.workflow(row("talks", &["talks"])).build().await.expect("an engine");
    let view = run(&engine, "talks").await;
    let error = view.error.expect("an error");
    assert_eq!(
        (view.status, error.kind, view.stages[0].attempts),
        (Status::Failed, "permanent", 1)
    );
    let said = "the history has 20 events, and 20 are allowed";
    assert!(error.message.starts_with(said), "{}", error.message);
    let history = view.history.expect("a warning");
    assert!(history.events >= 20 && history.limit == 20, "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_history_is_not_warned_of() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("talks", talkative());
    let engine = builder.workflow(row("talks", &["talks"])).build().await.expect("an engine");
    let view = run(&engine, "talks").await;
    assert_eq!((view.status, view.history), (Status::Completed, None));
}

/// `work` counts one up; while it has not come to three, the work goes on in a new execution.
fn counting() -> Definition {
    let mut next = StageDefinition::new("next", "continue");
    next.config = json!({"input_from": {"count": "work.count"}});
    let when = json!({"path": "work.count", "at_most": 2});
    next.when = Some(serde_json::from_value(when).expect("a condition"));
    let mut workflow = row("counting", &["work"]);
    workflow.stages.push(next);
    workflow
}

async fn engine(database: &TestDatabase, runs: &Arc<AtomicU32>) -> Longhaul {
    let runs = Arc::clone(runs);
    let work = Fake::new(move |context| {
        let runs = Arc::clone(&runs);
        Box::pin(async move {
            runs.fetch_add(1, Ordering::SeqCst);
            let count = context.input.input["count"].as_u64().unwrap_or(0) + 1;
            Ok(StageOutcome::Done(json!({"count": count})))
        })
    });
    let builder = database.builder().stage("work", work).workflow(counting());
    builder.build().await.expect("an engine")
}

fn successor(state: &Execution) -> Option<Uuid> {
    let link = state.stage("next")?.steps.get("successor:0")?;
    Uuid::parse_str(link["execution_id"].as_str()?).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_in_new_executions_until_it_is_done() {
    let database = TestDatabase::new().await;
    let runs = Arc::new(AtomicU32::new(0));
    let engine = engine(&database, &runs).await;
    let working = Working::start(&engine);
    let submission =
        Submission { workflow: Some("counting".to_owned()), ..Submission::text("Count to three") };
    let mut id = engine.submit(submission).await.expect("submitted").execution_id;
    let mut line = vec![id];
    loop {
        let view = engine.wait_for_end(id).await.expect("ended");
        assert_eq!(view.status, Status::Completed, "{:?}", view.error.map(|e| e.message));
        let state = engine.state(id).await.expect("a state");
        let Some(next) = successor(&state) else { break };
        assert_eq!(
            view.stages[1].output,
            Some(json!({"execution_id": next, "status": "continued"}))
        );
        let next_view = engine.show(next).await.expect("a view");
        assert_eq!((next_view.continues, next_view.parent), (Some(id), None));
        id = next;
        line.push(id);
    }
    working.end().await;
    assert_eq!((line.len(), runs.load(Ordering::SeqCst)), (3, 3));
    let last = engine.show(id).await.expect("a view");
    assert_eq!(last.stages[0].output, Some(json!({"count": 3})));
    assert_eq!(last.stages[1].status, "skipped");
    let all = engine.store().list(&Filter::default()).await.expect("a list");
    assert_eq!(all.len(), 3, "no successor was made twice");
}

/// The worker's runtime goes in the moment in which the successor is written down and may or may not
/// be there: the next worker makes neither a second one nor none.
#[test]
fn a_crash_makes_neither_two_successors_nor_none() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, theirs) = (runtime(), runtime());
    let database = ours.block_on(TestDatabase::new());
    let runs = Arc::new(AtomicU32::new(0));
    let (id, next) = theirs.block_on(async {
        let engine = engine(&database, &runs).await;
        let id = submit(&engine, "counting").await;
        std::mem::forget(Working::with(&engine, |o| o.only = Some(id)));
        let state =
            state_where(&engine, id, "the successor is written down", |s| successor(s).is_some())
                .await;
        (id, successor(&state).expect("a successor"))
    });
    theirs.shutdown_timeout(Duration::from_secs(30));
    ours.block_on(async {
        let engine = engine(&database, &runs).await;
        let view = engine.process(id).await.expect("processed");
        assert_eq!(view.status, Status::Completed);
        let output: Value = view.stages[1].output.clone().expect("an output");
        assert_eq!(output["execution_id"], json!(next));
        let view = engine.process(next).await.expect("processed");
        assert_eq!((view.status, view.continues), (Status::Completed, Some(id)));
        let filter = Filter { workflow: Some("counting".to_owned()), ..Filter::default() };
        let all = engine.store().list(&filter).await.expect("a list");
        assert_eq!(all.len(), 3, "one successor each, the last of them still to be run");
    });
}

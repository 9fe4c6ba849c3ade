//! Forks: a shared beginning, a life of its own, and in a what-if nothing done to the outside.

use crate::history::engine_of;
use crate::replay::verified;
use crate::support::database::TestDatabase;
use crate::support::stages::Fake;
use crate::worker::{history, run, submit};
use chrono::DateTime;
use longhaul::engine::{Depth, ProcessError};
use longhaul::stages::{StageContext, StageExecutor, StageOutcome};
use longhaul::store::Scan;
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::event::Event;
use longhaul::workflow::failure::Failure;
use longhaul::workflow::fork::Fork;
use longhaul::workflow::state::Status;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn from(stage: &str) -> Fork {
    Fork { from: stage.to_owned(), ..Fork::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_shares_the_beginning_and_leaves_the_other_alone() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let original = run(&engine, "w").await;
    let id = original.execution_id;
    let before: Vec<_> = history(&engine, id).await.iter().map(|s| s.hash).collect();
    let set = json!({"test": {"command": "true"}});
    let made = engine.fork(id, &Fork { set: set.clone(), ..from("two") }).await.expect("a fork");
    assert_eq!(made.task_id, original.task_id);

    let queued = engine.state(made.execution_id).await.expect("a state");
    let request = queued.request.as_ref().expect("a request");
    let origin = request.origin.as_ref().expect("an origin");
    assert_eq!((origin.execution_id, origin.sequence), (id, original.version));
    assert_eq!((origin.from.as_str(), &origin.set, origin.what_if), ("two", &set, false));
    assert_eq!(request.settings.pointer("/test/command"), Some(&json!("true")));
    let there = engine.state(id).await.expect("a state");
    let one = |state: &longhaul::workflow::state::Execution| state.stage("one").cloned();
    assert_eq!(one(&queued), one(&there), "what was done is carried over");
    assert_eq!(queued.stage("two").map(|s| s.attempts), Some(0));

    let view = engine.process(made.execution_id).await.expect("processed");
    assert_eq!(view.status, Status::Completed);
    let events = history(&engine, made.execution_id).await;
    let happened: Vec<_> = events.iter().map(|s| s.happened().expect("an event")).collect();
    let started = |name: &str| {
        let is_it = |e: &Event| matches!(e, Event::StageStarted { stage, .. } if stage == name);
        happened.iter().filter(|h| is_it(&h.event)).count()
    };
    assert_eq!((started("one"), started("two"), started("three")), (0, 1, 1));
    assert_eq!(verified(&happened).finding, None);
    let after: Vec<_> = history(&engine, id).await.iter().map(|s| s.hash).collect();
    assert_eq!(after, before, "the other one has the same events");
    let report = engine.verify(Scan::default(), Depth::Decisions, |_| {}).await.expect("verified");
    assert_eq!((report.executions, report.differing), (2, 0), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_waits_in_the_queue_equals_its_row() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = run(&engine, "w").await.execution_id;
    engine.fork(id, &from("three")).await.expect("a fork");
    let report = engine.verify(Scan::default(), Depth::Decisions, |_| {}).await.expect("verified");
    assert_eq!((report.executions, report.differing), (2, 0), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_begins_where_everything_before_is_done() {
    let database = TestDatabase::new().await;
    let engine = engine_of(&database).await;
    let id = submit(&engine, "w").await;
    let refused = |said: Result<longhaul::store::Submitted, ProcessError>| match said {
        Err(error @ ProcessError::Refused(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = refused(engine.fork(id, &from("two")).await);
    assert!(said.contains("needs `one`, which is not done"), "{said}");
    let said = refused(engine.fork(id, &from("nowhere")).await);
    assert!(said.contains("no stage `nowhere`"), "{said}");
    let set = json!({"nonsense": 1});
    let said = refused(engine.fork(id, &Fork { set, ..from("one") }).await);
    assert!(said.contains("nonsense"), "{said}");
    assert!(engine.fork(id, &from("one")).await.is_ok(), "from the first stage nothing is needed");
}

/// A kind that asks, and counts how often it did something.
struct Asks(Arc<AtomicU32>);

#[async_trait::async_trait]
impl StageExecutor for Asks {
    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        if context.input.what_if {
            return Ok(StageOutcome::Done(json!({"would_have": "asked"})));
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(StageOutcome::Done(json!({"done": true})))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_what_if_does_nothing_to_the_outside() {
    let database = TestDatabase::new().await;
    let done = Arc::new(AtomicU32::new(0));
    let counts = {
        let done = Arc::clone(&done);
        Fake::new(move |_| {
            done.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(StageOutcome::Done(json!({"sent": 1}))) })
        })
    };
    let mut send = StageDefinition::new("send", "send");
    // It cannot hold for what was not done, and need not.
    let sent = json!([{"path": "send.sent", "at_least": 1}]);
    send.success = serde_json::from_value(sent).expect("conditions");
    send.config = json!({"to": "all"});
    let stages =
        vec![StageDefinition::new("one", "ok"), send, StageDefinition::new("asks", "asks")];
    let engine = database
        .builder()
        .workflow(Definition::new("w", stages))
        .stage("ok", Fake::ok())
        .stage("send", counts)
        .stage("asks", Asks(Arc::clone(&done)))
        .build()
        .await
        .expect("an engine");
    let id = run(&engine, "w").await.execution_id;
    assert_eq!(done.load(Ordering::SeqCst), 2);
    let fork = Fork { what_if: true, ..from("send") };
    let made = engine.fork(id, &fork).await.expect("a fork");
    let view = engine.process(made.execution_id).await.expect("processed");
    assert_eq!(view.status, Status::Completed, "{:?}", view.error);
    let output = |stage: usize| view.stages[stage].output.clone().unwrap_or_default();
    let expected = json!({"would_have": {"run": "send", "config": {"to": "all"}}});
    assert_eq!((output(1), output(2)), (expected, json!({"would_have": "asked"})));
    assert_eq!(done.load(Ordering::SeqCst), 2, "nothing more was done");
    assert!(view.origin.is_some_and(|o| o.what_if));
    // A fork of a what-if is one too.
    let again = engine.fork(made.execution_id, &from("send")).await.expect("a fork");
    assert!(engine.state(again.execution_id).await.expect("a state").is_what_if());
}

#[test]
fn a_running_execution_is_forked_without_what_runs() {
    let request = json!({"task_id": uuid::Uuid::nil(), "task": {}, "priority": 5,
        "definition": {"name": "w", "stages": [
            {"name": "a", "kind": "x"}, {"name": "b", "kind": "x", "needs": ["a"]},
            {"name": "c", "kind": "x", "needs": ["a"]}]}});
    let event = |value: Value| longhaul::workflow::event::Happened {
        at: DateTime::UNIX_EPOCH,
        event: serde_json::from_value(value).expect("an event"),
    };
    let mut requested = json!({"type": "ExecutionRequested"});
    longhaul::config::run::merge(&mut requested, &request);
    let state = longhaul::workflow::evolve::fold(&[
        event(requested),
        event(json!({"type": "StageStarted", "stage": "a", "attempt": 1})),
        event(json!({"type": "StageSucceeded", "stage": "a", "attempt": 1, "output": {"n": 1}})),
        event(json!({"type": "StageStarted", "stage": "b", "attempt": 1})),
    ]);
    let id = uuid::Uuid::nil();
    let made = longhaul::workflow::fork::request(&state, id, &from("c"), DateTime::UNIX_EPOCH);
    let origin = made.expect("a request").origin.expect("an origin");
    let carried: Vec<&str> = origin.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!((carried, origin.sequence), (vec!["a"], 4));
}

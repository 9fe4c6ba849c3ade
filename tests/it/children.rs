//! Children: executions that a stage asks for, and what becomes of them.

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::{Fake, names, row};
use crate::worker::{Working, history, is_running, run, state_where, submit};
use longhaul::Longhaul;
use longhaul::clock::{Clock, SystemClock};
use longhaul::engine::Submission;
use longhaul::stages::StageOutcome;
use longhaul::store::{Append, Filter};
use longhaul::workflow::command::Command;
use longhaul::workflow::decide::apply;
use longhaul::workflow::definition::Definition;
use longhaul::workflow::event::{Cost, Motive};
use longhaul::workflow::failure::ErrorKind;
use longhaul::workflow::state::{Execution, Status};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// `first` gives files, `child` runs the workflow `small` with them.
fn parent(config: Value) -> Definition {
    let mut workflow = row("parent", &["first", "child"]);
    workflow.stages[1].config = config;
    workflow
}

fn waits() -> Value {
    json!({"workflow": "small", "input": {"n": 1}, "input_from": {"files": "first.files"}})
}

fn first() -> Fake {
    Fake::new(|_| Box::pin(async { Ok(StageOutcome::Done(json!({"files": ["a", "b"]}))) }))
}

async fn engine(database: &TestDatabase, work: Fake, config: Value) -> Longhaul {
    let builder = database.builder().stage("first", first()).stage("work", work);
    let builder = builder.workflow(row("small", &["work"])).workflow(parent(config));
    builder.build().await.expect("an engine")
}

/// The child of a parent, from the step by which the parent knows it.
fn child_of(state: &Execution) -> Option<Uuid> {
    let link = state.stages[1].steps.get("child:0")?;
    Uuid::parse_str(link["execution_id"].as_str()?).ok()
}

async fn child_where(
    engine: &Longhaul,
    id: Uuid,
    what: &str,
    check: impl Fn(&Execution) -> bool,
) -> Uuid {
    eventually(what, || async {
        let child = child_of(&engine.state(id).await.ok()?)?;
        let state = engine.state(child).await.ok()?;
        check(&state).then_some(child)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_for_its_child_and_gets_its_outputs_and_its_cost() {
    let database = TestDatabase::new().await;
    let work = Fake::new(|context| {
        Box::pin(async move {
            context.spend(Cost { usd: 0.25, ..Cost::default() });
            let (input, budget) = (context.input.input.clone(), context.input.budget_usd);
            Ok(StageOutcome::Done(json!({"input": input, "budget": budget})))
        })
    });
    let engine = engine(&database, work, waits()).await;
    let submission = Submission {
        workflow: Some("parent".to_owned()),
        settings: json!({"limits": {"cost_usd": 2.0}}),
        ..Submission::text("Do it with a child")
    };
    let submitted = engine.submit(submission).await.expect("submitted");
    let view = engine.process_task(submitted.task_id).await.expect("processed");
    let said = view.error.as_ref().map(|e| e.message.clone());
    assert_eq!(view.status, Status::Completed, "{said:?}");
    let output = view.stages[1].output.clone().expect("an output");
    let expected = json!({"input": {"n": 1, "files": ["a", "b"]}, "budget": 2.0});
    assert_eq!(output["outputs"]["work"], expected);
    assert_eq!(view.cost.usd, 0.25, "what a child costs its parent pays");
    let child = Uuid::parse_str(output["execution_id"].as_str().expect("an id")).expect("an id");
    let state = engine.state(child).await.expect("a state");
    let link = state.request.as_ref().and_then(|r| r.parent.clone()).expect("a parent");
    assert_eq!(
        (link.execution_id, link.stage.as_str(), link.depth),
        (view.execution_id, "child", 1)
    );
    let again = engine.store().newest_execution(submitted.task_id).await.expect("an execution");
    assert_eq!(again, view.execution_id, "a child is not what the task was processed by");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_fails_fails_its_stage_and_a_new_try_is_a_new_child() {
    let database = TestDatabase::new().await;
    let engine = engine(&database, Fake::failing(1, ErrorKind::Permanent), waits()).await;
    let view = run(&engine, "parent").await;
    let error = view.error.expect("an error");
    assert!(error.message.ends_with("failed: failure 1"), "{}", error.message);
    let mut workflow = parent(waits());
    workflow.name = "again".to_owned();
    workflow.stages[1].attempts = Some(2);
    workflow.stages[1].retry.on.insert(ErrorKind::Permanent, true);
    let builder = database.builder().stage("first", first());
    let builder = builder.stage("work", Fake::failing(1, ErrorKind::Permanent));
    let builder = builder.workflow(row("small", &["work"])).workflow(workflow);
    let engine = builder.build().await.expect("an engine");
    let view = run(&engine, "again").await;
    assert_eq!((view.status, view.stages[1].attempts), (Status::Completed, 2));
    let state = engine.state(view.execution_id).await.expect("a state");
    let [one, two] =
        ["child:0", "child:1"].map(|k| state.stages[1].steps[k]["execution_id"].clone());
    assert_ne!(one, two);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_cancelled_with_their_parent() {
    let database = TestDatabase::new().await;
    let engine = engine(&database, Fake::endless(), waits()).await;
    let working = Working::start(&engine);
    let id = submit(&engine, "parent").await;
    let child = child_where(&engine, id, "the child runs", |s| is_running(s, "work")).await;
    state_where(&engine, id, "the parent waits", |s| s.status() == Status::Waiting).await;
    let row = engine.store().execution_row(id).await.expect("a row");
    assert_eq!(row.worker_id, None, "who waits for a child holds no worker");
    engine.cancel(id, "changed my mind").await.expect("cancelled");
    let view = engine.wait_for_end(child).await.expect("ended");
    assert_eq!(view.status, Status::Cancelled);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_abandoned_goes_on_without_its_parent() {
    let database = TestDatabase::new().await;
    let config = json!({"workflow": "small", "fate": "abandon"});
    let engine = engine(&database, Fake::ok(), config).await;
    let view = run(&engine, "parent").await;
    let output = view.stages[1].output.clone().expect("an output");
    assert_eq!((view.status, &output["status"]), (Status::Completed, &json!("requested")));
    let child = Uuid::parse_str(output["execution_id"].as_str().expect("an id")).expect("an id");
    let view = engine.process(child).await.expect("processed");
    assert_eq!(view.status, Status::Completed);
}

/// Whoever cancels the parent is cut off right after that is durable: the next worker finds the child.
#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_parent_that_ended_without_a_word_are_found() {
    let database = TestDatabase::new().await;
    let waits_for_ever = Fake::new(|context| {
        Box::pin(async move {
            context.wait_signal("never").await?;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let engine = engine(&database, waits_for_ever, waits()).await;
    let working = Working::start(&engine);
    let id = submit(&engine, "parent").await;
    let waiting = |s: &Execution| s.status() == Status::Waiting;
    let child = child_where(&engine, id, "the child waits", waiting).await;
    state_where(&engine, id, "the parent waits", waiting).await;
    working.end().await;
    let mut loaded = engine.store().load(id).await.expect("loaded");
    let now = SystemClock.now();
    let cancel = Command::Cancel { motive: Motive::default() };
    let happened = apply(&mut loaded.state, now, &cancel).expect("cancelled");
    let append = Append::new(id, &loaded.state, &happened, loaded.head_hash, "test", now);
    engine.store().append(append.expect("an append")).await.expect("appended");
    assert_eq!(engine.state(child).await.expect("a state").status(), Status::Waiting);
    let working = Working::start(&engine);
    assert_eq!(engine.wait_for_end(child).await.expect("ended").status, Status::Cancelled);
    working.end().await;
}

/// The worker's runtime goes when the child has begun and its parent does not know it waits yet; the
/// next worker makes no second child.
#[test]
fn a_crash_makes_no_second_child() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, theirs) = (runtime(), runtime());
    let database = ours.block_on(TestDatabase::new());
    let id = theirs.block_on(async {
        let engine = engine(&database, Fake::endless(), waits()).await;
        let id = submit(&engine, "parent").await;
        std::mem::forget(Working::start(&engine));
        child_where(&engine, id, "the child exists", |_| true).await;
        id
    });
    theirs.shutdown_timeout(Duration::from_secs(30));
    ours.block_on(async {
        let engine = engine(&database, Fake::ok(), waits()).await;
        let view = engine.process(id).await.expect("processed");
        assert_eq!(view.status, Status::Completed, "{:?}", view.error.map(|e| e.message));
        let all = engine.store().list(&Filter::default()).await.expect("a list");
        assert_eq!(all.len(), 2, "one parent, one child");
        let ends = names(&history(&engine, all[0].execution_id).await);
        assert_eq!(ends.iter().filter(|n| *n == "ExecutionCompleted").count(), 1);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_no_workflow_or_of_itself_is_an_error_that_says_so() {
    let database = TestDatabase::new().await;
    let engine1 = engine(&database, Fake::ok(), json!({"workflow": "nobody"})).await;
    let said = run(&engine1, "parent").await.error.expect("an error").message;
    assert!(said.starts_with("child of workflow `nobody`: "), "{said}");
    let engine2 = engine(&database, Fake::ok(), json!({"workflow": "parent"})).await;
    let said = run(&engine2, "parent").await.error.expect("an error").message;
    assert!(said.ends_with("16 deep: does a workflow start itself?"), "{said}");
}

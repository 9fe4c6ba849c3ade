//! Stages that do their work for each item of a list, and stages that wait for one of several.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, names, row};
use crate::worker::{Working, history, run, state_where};
use longhaul::engine::Submission;
use longhaul::stages::{Item, StageOutcome};
use longhaul::workflow::definition::{Definition, Join, MapDefinition, OnItemFailure};
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::state::Status;
use longhaul::{Builder, Longhaul};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

fn over(list: &str) -> MapDefinition {
    serde_json::from_value(json!({"over": list})).expect("a map")
}

/// `list` gives what the input holds, `each` is done for each item of it.
fn mapped(change: impl Fn(&mut MapDefinition)) -> Definition {
    let mut workflow = row("mapped", &["list", "each"]);
    let mut map = over("list.files");
    change(&mut map);
    workflow.stages[1].map = Some(map);
    workflow
}

fn lists() -> Fake {
    Fake::new(|context| {
        let files = context.input.input["files"].clone();
        Box::pin(async move { Ok(StageOutcome::Done(json!({"files": files}))) })
    })
}

fn item(context: &longhaul::stages::StageContext) -> Item {
    context.input.item.clone().expect("an item")
}

async fn engine(builder: Builder, each: Fake, workflow: Definition) -> Longhaul {
    let builder = builder.stage("list", lists()).stage("each", each).workflow(workflow);
    builder.build().await.expect("an engine")
}

async fn submit_files(engine: &Longhaul, files: Value) -> uuid::Uuid {
    let submission = Submission {
        workflow: Some("mapped".to_owned()),
        input: json!({"files": files}),
        ..Submission::text("Do it for each")
    };
    engine.submit(submission).await.expect("submitted").execution_id
}

/// Three at a time: they meet, so that fewer would wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn items_run_side_by_side_and_their_outputs_come_in_order() {
    let database = TestDatabase::new().await;
    let [most, now] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let (together, counts) = (Arc::new(Barrier::new(3)), (Arc::clone(&most), now));
    let each = Fake::new(move |context| {
        let (together, (most, now)) = (Arc::clone(&together), counts.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait().await;
            now.fetch_sub(1, Ordering::SeqCst);
            let Item { index, value, .. } = item(context);
            Ok(StageOutcome::Done(json!({"index": index, "file": value})))
        })
    });
    let engine = engine(database.builder(), each, mapped(|m| m.max_parallel = 3)).await;
    let id = submit_files(&engine, json!(["a", "b", "c", "d", "e", "f"])).await;
    let view = engine.process(id).await.expect("processed");
    let output = view.stages[1].output.clone().expect("an output");
    let files: Vec<&Value> =
        output["items"].as_array().expect("items").iter().map(|o| &o["file"]).collect();
    assert_eq!(files, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!((&output["succeeded"], &output["failed"]), (&json!(6), &json!([])));
    assert_eq!(most.load(Ordering::SeqCst), 3, "never more than `max_parallel`");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_has_tries_of_its_own_and_may_fail_alone() {
    let database = TestDatabase::new().await;
    let each = Fake::new(|context| {
        Box::pin(async move {
            let Item { value, attempt, .. } = item(context);
            match value.as_str() {
                Some("bad") => Err(Failure::new(ErrorKind::Permanent, "cannot be read")),
                Some("panics") => panic!("out of cheese"),
                Some("shaky") if attempt < 3 => Err(Failure::new(ErrorKind::Transient, "away")),
                _ => Ok(StageOutcome::Done(json!({"tries": attempt}))),
            }
        })
    });
    let workflow = mapped(|m| m.on_item_failure = OnItemFailure::Continue);
    let engine = engine(database.builder(), each, workflow).await;
    let id = submit_files(&engine, json!(["shaky", "bad", "good", "panics"])).await;
    let view = engine.process(id).await.expect("processed");
    let output = view.stages[1].output.clone().expect("an output");
    assert_eq!(output["items"], json!([{"tries": 3}, null, {"tries": 1}, null]));
    assert_eq!((&output["succeeded"], &output["failed"][0]["item"]), (&json!(2), &json!(1)));
    assert_eq!(output["failed"][0]["error"]["message"], "cannot be read");
    let said = output["failed"][1]["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("out of cheese"), "{said}");
    let items = view.stages[1].items.expect("a map shows its items");
    assert_eq!((items.total, items.succeeded, items.failed), (4, 2, 2));
    let steps = engine.state(id).await.expect("a state").stages[1].steps.clone();
    assert!(steps.contains_key("item:0:try:2"), "each failed try is recorded: {steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_failed_for_good_fails_the_stage_once() {
    let database = TestDatabase::new().await;
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let each = Fake::new(move |context| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            if item(context).index == 1 {
                count.fetch_add(1, Ordering::SeqCst);
                return Err(Failure::new(ErrorKind::Transient, "away"));
            }
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let mut workflow = mapped(|_| {});
    workflow.stages[1].attempts = Some(2);
    let engine = engine(database.builder(), each, workflow).await;
    let id = submit_files(&engine, json!(["a", "b"])).await;
    let view = engine.process(id).await.expect("processed");
    let error = view.error.expect("an error");
    assert_eq!((error.kind, error.message.as_str()), ("permanent", "item 1: away"));
    assert_eq!((view.stages[1].attempts, tries.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_must_be_one_and_not_too_long() {
    let database = TestDatabase::new().await;
    let engine = engine(database.builder(), Fake::ok(), mapped(|m| m.max_items = 2)).await;
    let mut said = Vec::new();
    for files in [json!(["a", "b", "c"]), json!("a")] {
        let id = submit_files(&engine, files).await;
        let view = engine.process(id).await.expect("processed");
        said.push(view.error.expect("an error").message);
    }
    assert!(said[0].starts_with("`list.files` has 3 items, more than the 2 of"), "{said:?}");
    assert_eq!(said[1], "`map.over`: `list.files` is not a list");
    let id = submit_files(&engine, Value::Null).await;
    let view = engine.process(id).await.expect("processed");
    let output = view.stages[1].output.clone().expect("an output");
    assert_eq!(output, json!({"items": [], "succeeded": 0, "failed": []}), "no list has no items");
}

/// The worker's whole runtime goes while the last item is under way.
#[test]
fn items_that_are_recorded_are_not_done_again_after_a_crash() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (ours, theirs) = (runtime(), runtime());
    let database = ours.block_on(TestDatabase::new());
    let done = Arc::new(Mutex::new(Vec::new()));
    let build = |hangs: bool| {
        let done = Arc::clone(&done);
        let each = Fake::new(move |context| {
            let done = Arc::clone(&done);
            Box::pin(async move {
                let index = item(context).index;
                context.step("prepared", async { Ok(index) }).await?;
                if hangs && index == 2 {
                    std::future::pending::<()>().await;
                }
                done.lock().expect("the list").push(index);
                Ok(StageOutcome::Done(json!({"n": index})))
            })
        });
        engine(database.builder(), each, mapped(|m| m.max_parallel = 1))
    };
    let id = theirs.block_on(async {
        let engine = build(true).await;
        let id = submit_files(&engine, json!(["a", "b", "c"])).await;
        std::mem::forget(Working::start(&engine));
        state_where(&engine, id, "the last item is under way", |s| {
            s.stages[1].steps.contains_key("item:2/prepared")
        })
        .await;
        id
    });
    theirs.shutdown_timeout(Duration::from_secs(30));
    ours.block_on(async {
        let engine = build(false).await;
        let view = engine.process(id).await.expect("processed");
        assert_eq!((view.status, view.stages[1].attempts), (Status::Completed, 2));
        let output = view.stages[1].output.clone().expect("an output");
        assert_eq!(output["items"], json!([{"n": 0}, {"n": 1}, {"n": 2}]));
        let names = names(&history(&engine, id).await);
        let steps = names.iter().filter(|n| n.starts_with("StepRecorded")).count();
        assert_eq!(
            steps, 7,
            "the count, and per item what it prepared and what it gave: {names:?}"
        );
    });
    assert_eq!(*done.lock().expect("the list"), [0, 1, 2]);
}

/// `slow` ends only after `join` has begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_stage_may_begin_when_one_of_those_it_needs_has_succeeded() {
    let database = TestDatabase::new().await;
    let begun = CancellationToken::new();
    let (told, waits) = (begun.clone(), begun);
    let slow = Fake::new(move |_| {
        let begun = waits.clone();
        Box::pin(async move {
            begun.cancelled().await;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let join = Fake::new(move |_| {
        told.cancel();
        Box::pin(async { Ok(StageOutcome::Done(json!({}))) })
    });
    let mut workflow = row("race", &["slow", "quick", "join"]);
    workflow.stages[1].needs = Some(Vec::new());
    workflow.stages[2].needs = Some(vec!["slow".into(), "quick".into()]);
    workflow.stages[2].join = Join::Any;
    let builder = database.builder().stage("slow", slow).stage("quick", Fake::ok());
    let engine = builder.stage("join", join).workflow(workflow).build().await.expect("an engine");
    let view = run(&engine, "race").await;
    assert_eq!(view.status, Status::Completed, "{:?}", view.error.map(|e| e.message));
}

//! The worker against a real Postgres, with small stage kinds: order, retries, waits, cancel, logs.
//! What becomes of work when something breaks is in `recovery`.

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::stages::{Fake, names, row};
use longhaul::Longhaul;
use longhaul::engine::Submission;
use longhaul::stages::{StageOutcome, Wait};
use longhaul::store::Stored;
use longhaul::view::ExecutionView;
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::event::WaitReason;
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::state::{Execution, StageState, Status};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) async fn submit(engine: &Longhaul, workflow: &str) -> Uuid {
    let submission = Submission {
        workflow: Some(workflow.to_owned()),
        ..Submission::text("Do what the test says")
    };
    engine.submit(submission).await.expect("submitted").execution_id
}

pub(crate) async fn history(engine: &Longhaul, id: Uuid) -> Vec<Stored> {
    engine.store().events(id, 0, 10_000).await.expect("events")
}

pub(crate) async fn run(engine: &Longhaul, workflow: &str) -> ExecutionView {
    let id = submit(engine, workflow).await;
    engine.process(id).await.expect("processed")
}

/// A worker that runs until it is told to stop.
pub(crate) struct Working {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Working {
    pub(crate) fn start(engine: &Longhaul) -> Self {
        Working::with(engine, |_| {})
    }

    pub(crate) fn with(
        engine: &Longhaul,
        change: impl Fn(&mut longhaul::worker::WorkerOptions),
    ) -> Self {
        let stop = CancellationToken::new();
        let mut options = engine.worker_options();
        change(&mut options);
        let worker = engine.worker_with(options);
        let token = stop.clone();
        let task = tokio::spawn(async move { worker.run(token).await.expect("the worker") });
        Working { stop, task }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("the worker ends");
    }
}

pub(crate) async fn state_where(
    engine: &Longhaul,
    id: Uuid,
    what: &str,
    check: impl Fn(&Execution) -> bool,
) -> Execution {
    eventually(what, || async {
        let state = engine.state(id).await.ok()?;
        check(&state).then_some(state)
    })
    .await
}

pub(crate) fn is_running(state: &Execution, stage: &str) -> bool {
    state.stage(stage).is_some_and(|s| matches!(s.state, StageState::Running { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_run_in_order_and_each_transition_is_an_event() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("one", Fake::ok()).stage("two", Fake::ok());
    let engine = builder.workflow(row("pair", &["one", "two"])).build().await.expect("an engine");
    let view = run(&engine, "pair").await;
    assert_eq!(view.status, Status::Completed);
    assert_eq!(view.stages[1].output, Some(json!({"stage": "two", "attempt": 1})));
    let expected = [
        "ExecutionRequested",
        "ExecutionClaimed",
        "StageStarted one",
        "StageSucceeded one",
        "StageStarted two",
        "StageSucceeded two",
        "ExecutionCompleted",
    ];
    assert_eq!(names(&history(&engine, view.execution_id).await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_processed_by_its_id() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("one", Fake::ok()).workflow(row("single", &["one"]));
    let engine = builder.build().await.expect("an engine");
    let submission = Submission { workflow: Some("single".into()), ..Submission::text("Do it") };
    let submitted = engine.submit(submission).await.expect("submitted");
    let view = engine.process_task(submitted.task_id).await.expect("processed");
    assert_eq!((view.execution_id, view.status), (submitted.execution_id, Status::Completed));
    let metrics = engine.metrics().await.expect("metrics");
    let metrics = metrics.metrics;
    assert_eq!((metrics.tasks_processed, metrics.success_rate), (1, Some(1.0)));
    assert!(engine.active_executions().await.expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let database = TestDatabase::new().await;
    let engine = database
        .builder()
        .stage("shaky", Fake::failing(2, ErrorKind::Transient))
        .stage("broken", Fake::failing(1, ErrorKind::Permanent))
        .workflow(row("shaky", &["shaky"]))
        .workflow(row("broken", &["broken"]))
        .build()
        .await
        .expect("an engine");
    let view = run(&engine, "shaky").await;
    assert_eq!((view.status, view.stages[0].attempts), (Status::Completed, 3));
    let view = run(&engine, "broken").await;
    let error = view.error.expect("an error");
    assert_eq!(
        (view.status, error.kind, error.message.as_str()),
        (Status::Failed, "permanent", "failure 1")
    );
    let again = engine.retry(view.execution_id, "mended").await.expect("rewound");
    assert_eq!(again.branch, 2);
    let view = engine.process(view.execution_id).await.expect("processed");
    assert_eq!((view.status, view.branch), (Status::Completed, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_ended() {
    let database = TestDatabase::new().await;
    let mut workflow = row("slow", &["endless"]);
    workflow.stages[0].timeout_ms = Some(50);
    workflow.stages[0].attempts = Some(2);
    let engine = database.builder().stage("endless", Fake::endless()).workflow(workflow);
    let engine = engine.build().await.expect("an engine");
    let view = run(&engine, "slow").await;
    let error = view.error.expect("an error");
    assert_eq!((error.kind, view.stages[0].attempts), ("timeout", 2));
    assert!(error.message.contains("took longer than its 0.05 s"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_attempt_and_not_the_worker() {
    let database = TestDatabase::new().await;
    let engine = database
        .builder()
        .stage("panics", Fake::new(|_| Box::pin(async { panic!("out of cheese") })))
        .stage("ok", Fake::ok())
        .workflow(row("panics", &["panics"]))
        .workflow(row("ok", &["ok"]))
        .build()
        .await
        .expect("an engine");
    let working = Working::start(&engine);
    let bad = submit(&engine, "panics").await;
    let view = engine.wait_for_end(bad).await.expect("ended");
    let said = view.error.expect("an error").message;
    assert_eq!(said, "stage kind `panics` panicked: out of cheese");
    let good = submit(&engine, "ok").await;
    assert_eq!(engine.wait_for_end(good).await.expect("ended").status, Status::Completed);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_must_be_a_small_object() {
    let database = TestDatabase::new().await;
    let huge = Fake::new(|_| {
        Box::pin(async { Ok(StageOutcome::Done(json!({"x": "y".repeat(300_000)}))) })
    });
    let list = Fake::new(|_| Box::pin(async { Ok(StageOutcome::Done(json!([1, 2]))) }));
    let engine = database
        .builder()
        .stage("huge", huge)
        .stage("list", list)
        .workflow(row("huge", &["huge"]))
        .workflow(row("list", &["list"]))
        .build()
        .await
        .expect("an engine");
    let said = run(&engine, "huge").await.error.expect("an error").message;
    assert!(said.contains("262144 bytes"), "{said}");
    let said = run(&engine, "list").await.error.expect("an error").message;
    assert!(said.contains("must be a JSON object"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn independent_stages_run_at_the_same_time() {
    let database = TestDatabase::new().await;
    let both = Arc::new(Barrier::new(2));
    let meet = Fake::new(move |_| {
        let both = Arc::clone(&both);
        Box::pin(async move {
            both.wait().await;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let mut workflow = row("diamond", &["left", "right", "join"]);
    workflow.stages[1].needs = Some(Vec::new());
    workflow.stages[2].needs = Some(vec!["left".into(), "right".into()]);
    let builder = database.builder().stage("left", meet.clone()).stage("right", meet);
    let engine =
        builder.stage("join", Fake::ok()).workflow(workflow).build().await.expect("an engine");
    assert_eq!(run(&engine, "diamond").await.status, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_what_runs_and_is_confirmed() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("endless", Fake::endless());
    let engine = builder.workflow(row("endless", &["endless"])).build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = submit(&engine, "endless").await;
    state_where(&engine, id, "the stage runs", |s| is_running(s, "endless")).await;
    engine.cancel(id, "changed my mind").await.expect("accepted");
    let view = engine.wait_for_end(id).await.expect("ended");
    assert_eq!(view.status, Status::Cancelled);
    let names = names(&history(&engine, id).await);
    let tail = ["CancellationRequested", "StageInterrupted endless", "ExecutionCancelled"];
    assert_eq!(names[names.len() - 3..], tail);
    let refused = engine.cancel(id, "").await.expect_err("refused").to_string();
    assert!(refused.starts_with("the execution is cancelled and takes no `cancel`"), "{refused}");
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lets_the_stage_end_and_a_resume_goes_on() {
    let database = TestDatabase::new().await;
    let gate = CancellationToken::new();
    let open = gate.clone();
    let gated = Fake::new(move |_| {
        let open = open.clone();
        Box::pin(async move {
            open.cancelled().await;
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let builder = database.builder().stage("gated", gated).stage("ok", Fake::ok());
    let engine = builder.workflow(row("gated", &["gated", "ok"])).build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = submit(&engine, "gated").await;
    state_where(&engine, id, "the stage runs", |s| is_running(s, "gated")).await;
    engine.pause(id, "lunch").await.expect("paused");
    gate.cancel();
    let state = state_where(&engine, id, "it is paused", |s| s.status() == Status::Paused).await;
    assert_eq!(state.stage("ok").expect("a stage").state, StageState::Pending);
    let row = engine.store().execution_row(id).await.expect("a row");
    assert_eq!(row.worker_id, None, "a paused execution holds no worker");
    engine.resume(id, "").await.expect("resumed");
    assert_eq!(engine.wait_for_end(id).await.expect("ended").status, Status::Completed);
    working.end().await;
}

/// Waits for a signal `go` and gives what it carried.
fn waiting() -> Fake {
    Fake::new(|context| {
        Box::pin(async move {
            if let Some(signal) = context.input.signals.last() {
                return Ok(StageOutcome::Done(json!({"got": signal.payload})));
            }
            let reason = WaitReason { kind: "signal".into(), detail: "for `go`".into() };
            let signal = Some("go".to_owned());
            Ok(StageOutcome::Wait(Wait { reason, signal, wake_at: None, memo: Value::Null }))
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_execution_holds_nothing_and_its_signal_wakes_it() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("waits", waiting());
    let engine = builder.workflow(row("waits", &["waits"])).build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = submit(&engine, "waits").await;
    state_where(&engine, id, "it waits", |s| s.status() == Status::Waiting).await;
    let row = engine.store().execution_row(id).await.expect("a row");
    assert_eq!(row.worker_id, None);
    working.end().await;
    // Nobody works now: the signal is kept.
    engine.signal(id, "go", json!(7), Some("k".into()), "").await.expect("sent");
    engine.signal(id, "go", json!(8), Some("k".into()), "").await.expect("a repeat is harmless");
    let view = engine.process(id).await.expect("processed");
    assert_eq!(view.stages[0].output, Some(json!({"got": 7})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_recorded_is_not_done_again() {
    let database = TestDatabase::new().await;
    let done = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&done);
    let steps = Fake::new(move |context| {
        let count = Arc::clone(&count);
        Box::pin(async move {
            let n = context
                .step("expensive", async { Ok(count.fetch_add(1, Ordering::SeqCst) + 1) })
                .await?;
            context.progress("half", Some(0.5)).await?;
            if context.input.attempt == 1 {
                return Err(Failure::new(ErrorKind::Transient, "after the step"));
            }
            Ok(StageOutcome::Done(json!({"n": n})))
        })
    });
    let builder = database.builder().stage("steps", steps);
    let engine = builder.workflow(row("steps", &["steps"])).build().await.expect("an engine");
    let view = run(&engine, "steps").await;
    assert_eq!(view.stages[0].output, Some(json!({"n": 1})));
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_executions_at_once_do_not_disturb_each_other() {
    let database = TestDatabase::new().await;
    let all = Arc::new(Barrier::new(20));
    let meet = Fake::new(move |context| {
        let (all, me) = (Arc::clone(&all), context.input.execution_id);
        Box::pin(async move {
            all.wait().await;
            Ok(StageOutcome::Done(json!({"me": me})))
        })
    });
    let builder = database.builder().stage("meet", meet).stage("ok", Fake::ok());
    let engine = builder.workflow(row("meet", &["meet", "ok"])).build().await.expect("an engine");
    let working = Working::start(&engine);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(submit(&engine, "meet").await);
    }
    for id in ids {
        let view = engine.wait_for_end(id).await.expect("ended");
        assert_eq!(view.stages[0].output, Some(json!({"me": id})));
    }
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_stage_is_kept_and_its_digest_is_in_the_event() {
    let database = TestDatabase::new().await;
    let talks = Fake::new(|context| {
        Box::pin(async move {
            context.log("first line");
            context.log("with a NUL: \0, and ünïcode");
            Ok(StageOutcome::Done(json!({})))
        })
    });
    let builder = database.builder().stage("talks", talks).workflow(row("talks", &["talks"]));
    let engine = builder.build().await.expect("an engine");
    let view = run(&engine, "talks").await;
    let chunks = engine.store().logs(view.execution_id, Some("talks"), None).await.expect("logs");
    let text: String = chunks.iter().map(|c| c.content.as_str()).collect();
    assert_eq!(text, "first line\nwith a NUL: , and ünïcode\n");
    let history = history(&engine, view.execution_id).await;
    let event: Value = serde_json::from_str(&history[3].payload).expect("a payload");
    use sha2::Digest;
    assert_eq!(event["log_digest"], json!(hex::encode(sha2::Sha256::digest(text.as_bytes()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_this_worker_does_not_know_fails_with_those_it_knows() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("exotic", Fake::ok());
    let engine = builder.workflow(row("exotic", &["exotic"])).build().await.expect("an engine");
    let id = submit(&engine, "exotic").await;
    let plain = database.builder().build().await.expect("an engine without the kind");
    let said = plain.process(id).await.expect("processed").error.expect("an error").message;
    assert!(
        said.starts_with("this worker does not know stage kind `exotic`; it knows: "),
        "{said}"
    );
}

#[tokio::test]
async fn a_wrong_workflow_is_refused_with_every_problem_at_once() {
    let database = TestDatabase::new().await;
    let mut wrong = Definition::new("Wrong Name", vec![StageDefinition::new("a", "nonsense")]);
    wrong.stages.push(StageDefinition::new("a", "analysis"));
    wrong.stages[1].needs = Some(vec!["ghost".into()]);
    wrong.stages[1].attempts = Some(0);
    let said = database.builder().workflow(wrong).build().await.err().expect("refused").to_string();
    for part in
        ["5 problems", "Wrong Name", "`nonsense` is unknown", "used twice", "`ghost`", "attempts"]
    {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
}

#[tokio::test]
async fn an_idempotency_key_returns_the_first_execution() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("ok", Fake::ok()).workflow(row("ok", &["ok"]));
    let engine = builder.build().await.expect("an engine");
    let submission = Submission {
        workflow: Some("ok".into()),
        idempotency_key: Some("order-7".into()),
        ..Submission::text("Do it")
    };
    let first = engine.submit(submission.clone()).await.expect("submitted");
    let second = engine.submit(submission).await.expect("submitted");
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!(first.execution_id, second.execution_id);
}

/// With a poll of a minute only the first look into the queue is made in time: whatever is done
/// after it was begun by its submission.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_beside_a_free_worker_begins_at_once() {
    let database = TestDatabase::new().await;
    let builder = database.builder_with(&[("LONGHAUL_POLL_MS", "60000")]);
    let builder = builder.stage("one", Fake::ok()).workflow(row("single", &["one"]));
    let engine = builder.build().await.expect("an engine");
    let working = Working::start(&engine);
    let id = eventually("the worker offers its slots", || async {
        let id = submit(&engine, "single").await;
        let held = engine.state(id).await.ok()?.worker.is_some();
        held.then_some(id)
    })
    .await;
    let view = engine.wait_for_end(id).await.expect("an end");
    assert_eq!(view.status, Status::Completed);
    let expected = [
        "ExecutionRequested",
        "ExecutionClaimed",
        "StageStarted one",
        "StageSucceeded one",
        "ExecutionCompleted",
    ];
    let events = history(&engine, id).await;
    assert_eq!(names(&events), expected);
    let place = |n: usize| (events[n].lane, events[n].lane_sequence);
    let (lane, first) = place(0);
    assert_eq!([place(1), place(2)], [(lane, first + 1), (lane, first + 2)], "one statement");
    working.end().await;
}

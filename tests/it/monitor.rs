//! Figures and checks: over a window, from the outside and from the library.

use crate::support::database::TestDatabase;
use crate::support::stages::{Fake, row};
use longhaul::Submission;
use longhaul::clock::{Clock, SystemClock};
use longhaul::engine::{CheckState, Health, Thresholds};
use longhaul::workflow::failure::ErrorKind;

fn state(health: &Health, name: &str) -> Option<CheckState> {
    health.checks.iter().find(|c| c.name == name).map(|c| c.state)
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_count_what_was_requested_in_the_window() {
    let database = TestDatabase::new().await;
    let engine = database
        .builder()
        .stage("fine", Fake::ok())
        .stage("broken", Fake::failing(1, ErrorKind::Permanent))
        .workflow(row("fine", &["fine"]))
        .workflow(row("broken", &["broken"]))
        .build()
        .await
        .expect("an engine");
    for workflow in ["fine", "broken"] {
        let submission =
            Submission { workflow: Some(workflow.into()), ..Submission::text("Do it") };
        let submitted = engine.submit(submission).await.expect("submitted");
        engine.process_task(submitted.task_id).await.expect("processed");
    }
    let figures = engine.metrics().await.expect("metrics");
    let m = &figures.metrics;
    assert_eq!((m.tasks_processed, m.tasks_succeeded, m.tasks_failed), (2, 1, 1));
    assert_eq!((m.success_rate, m.failure_rate), (Some(0.5), Some(0.5)));
    assert!(m.p50_execution_ms.is_some() && m.p95_execution_ms >= m.p50_execution_ms, "{m:?}");
    assert!(m.database_bytes > 0 && m.connections_used > 0, "{m:?}");
    assert!(m.connections_used <= m.connections_max, "{m:?}");
    let later = SystemClock.now() + chrono::TimeDelta::days(1);
    let none = engine.store().metrics(Some(later)).await.expect("metrics");
    assert_eq!((none.tasks_processed, none.failure_rate), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_without_a_worker_is_a_failed_check() {
    let database = TestDatabase::new().await;
    let builder = database.builder().stage("fine", Fake::ok()).workflow(row("fine", &["fine"]));
    let engine = builder.build().await.expect("an engine");
    let health = engine.health().await;
    assert_eq!(state(&health, "workers"), Some(CheckState::Ok));
    assert_eq!(state(&health, "database"), Some(CheckState::Ok));
    let submission = Submission { workflow: Some("fine".into()), ..Submission::text("Do it") };
    engine.submit(submission).await.expect("submitted");
    let health = engine.health().await;
    assert_eq!(state(&health, "workers"), Some(CheckState::Fail));
    assert_eq!(state(&health, "queue_depth"), Some(CheckState::Ok));
    assert_eq!(health.status, CheckState::Fail);
    let strict = Thresholds { queue_depth: 0, ..Thresholds::default() };
    let (home, now) = (engine.home().root(), SystemClock.now());
    let health = longhaul::monitor::health(engine.store(), home, &strict, now).await;
    assert_eq!(state(&health, "queue_depth"), Some(CheckState::Fail));
}

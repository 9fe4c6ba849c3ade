//! The recorded histories through every read model: what is shown is what the states say.

use super::log::Log;
use chrono::{DateTime, Utc};
use longhaul::projector::{BUILT_IN, Projector};
use longhaul::view;
use longhaul::workflow::event::Event;
use longhaul::workflow::evolve::fold;
use longhaul::workflow::state::Execution;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

#[derive(Debug, PartialEq, FromRow)]
struct Listed {
    status: String,
    branch: i32,
    version: i64,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    attempts: i32,
    cost_usd: f64,
    worker: Option<Uuid>,
    waiting_kind: Option<String>,
    error_kind: Option<String>,
}

fn listed_of(state: &Execution) -> Listed {
    let shown = view::execution(Uuid::nil(), state);
    let attempts: u32 = state.stages.iter().map(|s| s.attempts).sum();
    let reason = shown.waiting_reason.filter(|_| state.status().as_str() == "waiting");
    Listed {
        status: state.status().as_str().to_owned(),
        branch: state.branch as i32,
        version: state.version as i64,
        started_at: state.started_at,
        finished_at: state.finished_at,
        attempts: attempts as i32,
        cost_usd: (state.cost.usd * 1e6).round() / 1e6,
        worker: state.worker,
        waiting_kind: reason.map(|r| r.kind),
        error_kind: shown.error.map(|e| e.kind.to_owned()),
    }
}

async fn listed(pool: &PgPool, id: Uuid) -> Listed {
    let text = "select status, branch, version, started_at, finished_at, attempts, \
                round(cost_usd, 6)::float8 as cost_usd, worker, waiting_kind, error_kind \
                from projections.execution_list where execution_id = $1";
    sqlx::query_as(text).bind(id).fetch_one(pool).await.expect("a row")
}

pub(super) async fn number(pool: &PgPool, text: &str) -> i64 {
    sqlx::query_scalar(text).fetch_one(pool).await.expect("a number")
}

/// One by one and all at once must give the same; so must the state that the events fold to.
#[tokio::test]
async fn what_is_shown_is_what_happened() {
    let mut log = Log::of_histories(3).await;
    let projector = log.projector().await;
    let mut writes = 0;
    while log.write_some().await {
        writes += 1;
        if writes % 7 == 0 {
            projector.catch_up().await.expect("caught up");
            every_life_is_shown_as_it_is(&log).await;
        }
        if writes == 77 {
            let rows = every_read_model_is_true(&projector).await;
            assert!(rows.iter().all(|(_, rows)| *rows > 0), "{rows:?}");
        }
    }
    projector.catch_up().await.expect("caught up");
    every_life_is_shown_as_it_is(&log).await;
    counts_are_those_of_the_log(&log).await;
    every_read_model_is_true(&projector).await;
    for p in projector.status().await.expect("a list") {
        assert_eq!((p.state, p.lag_events, p.stalled.is_none()), ("live", 0, true), "{p:?}");
    }
}

async fn every_life_is_shown_as_it_is(log: &Log) {
    for life in log.lives.iter().filter(|l| !l.written().is_empty()) {
        let state = fold(life.written());
        assert_eq!(listed(&log.pool, life.id).await, listed_of(&state), "{}", life.id);
        let active: Vec<String> = sqlx::query_scalar(
            "select status from projections.active_executions where execution_id = $1 and not ended",
        )
        .bind(life.id)
        .fetch_all(&log.pool)
        .await
        .expect("rows");
        let status = state.status();
        let expected = (!status.is_terminal()).then(|| status.as_str().to_owned());
        assert_eq!(active, Vec::from_iter(expected), "{}", life.id);
    }
}

/// Compares each with one that is folded anew; gives back how many rows it has.
pub(super) async fn every_read_model_is_true(projector: &Projector) -> Vec<(String, i64)> {
    let mut rows = Vec::new();
    for (name, _) in BUILT_IN {
        let verdict = projector.verify(name, &|_| {}).await.expect("verified");
        assert!(verdict.equal, "{verdict:?}");
        rows.push((name.to_owned(), verdict.rows));
    }
    rows
}

pub(super) async fn counts_are_those_of_the_log(log: &Log) {
    let count = |is: &dyn Fn(&Event) -> bool| {
        let events = log.lives.iter().flat_map(|l| &l.history);
        events.filter(|h| is(&h.event)).count() as i64
    };
    let all = count(&|_| true);
    let started = count(&|e| matches!(e, Event::StageStarted { .. }));
    let failed = count(&|e| matches!(e, Event::StageFailed { .. }));
    let spent = count(&|e| matches!(e, Event::BudgetSpent { .. }));
    let skipped = count(&|e| matches!(e, Event::StageSkipped { .. }));
    assert!(all > 0 && started > 0 && failed > 0 && spent > 0);
    let pool = &log.pool;
    let shown = async |text: &str| number(pool, text).await;
    assert_eq!(shown("select sum(events)::bigint from projections.daily_metrics").await, all);
    assert_eq!(shown("select sum(attempts)::bigint from projections.daily_metrics").await, started);
    assert_eq!(shown("select sum(attempts)::bigint from projections.stage_stats").await, started);
    assert_eq!(shown("select sum(failed)::bigint from projections.stage_stats").await, failed);
    assert_eq!(shown("select sum(skipped)::bigint from projections.stage_stats").await, skipped);
    assert_eq!(shown("select count(*) from projections.cost_ledger").await, spent);
    let attempts = "select count(*) from projections.execution_timeline where attempt > 0";
    assert_eq!(shown(attempts).await, started);
    let reasons = "select sum(failures)::bigint from projections.failure_reasons \
                   where subject = 'attempt' and error_kind <> 'interrupted'";
    assert_eq!(shown(reasons).await, failed);
    let ends =
        "select sum(executions)::bigint from projections.task_stats where outcome <> 'requested'";
    let ended = log.lives.iter().filter(|l| fold(&l.history).status().is_terminal()).count();
    assert_eq!(shown(ends).await, ended as i64, "ends that were taken back count no longer");
}

#[tokio::test]
async fn a_repeat_takes_nothing() {
    let mut log = Log::of_histories(1).await;
    let projector = log.projector().await;
    log.write_all().await;
    assert!(projector.catch_up().await.expect("caught up").events > 0);
    for _ in 0..3 {
        let pass = projector.catch_up().await.expect("caught up");
        assert_eq!((pass.events, pass.behind), (0, 0));
    }
    counts_are_those_of_the_log(&log).await;
}

//! What a worker tells its log of the whole: figures, and checks that do not hold.
//!
//! It looks beside the work and stops nothing: a look that fails is told and tried again at the next.

use super::{Shared, WorkerOptions};
use crate::monitor::{self, CheckState, Health, Thresholds};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The looks beside the work; they end with this.
pub(super) struct Watch {
    _looks: JoinSet<()>,
}

impl Watch {
    pub(super) fn start(shared: &Arc<Shared>, options: &WorkerOptions) -> Self {
        let mut looks = JoinSet::new();
        if !options.metrics_every.is_zero() {
            let (shared, every) = (Arc::clone(shared), options.metrics_every);
            let window = options.thresholds.window;
            looks.spawn(async move {
                let mut look = interval(every);
                loop {
                    look.tick().await;
                    log_figures(&shared, window).await;
                }
            });
        }
        if !options.health_every.is_zero() {
            let (shared, every) = (Arc::clone(shared), options.health_every);
            let thresholds = options.thresholds.clone();
            looks.spawn(async move {
                let mut look = interval(every);
                loop {
                    look.tick().await;
                    log_health(&shared, &thresholds).await;
                }
            });
        }
        Watch { _looks: looks }
    }
}

/// The first look comes after one interval: a short run needs none.
fn interval(every: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

async fn log_figures(shared: &Shared, window: Duration) {
    let call = monitor::figures(&shared.store, shared.home.root(), window, shared.clock.now());
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(figures)) => {
            let figures = serde_json::to_string(&figures).unwrap_or_default();
            tracing::info!(%figures, "metrics");
        }
        Ok(Err(error)) => tracing::warn!(%error, "metrics cannot be taken"),
        Err(_) => tracing::warn!("metrics cannot be taken: no answer"),
    }
}

async fn log_health(shared: &Shared, thresholds: &Thresholds) {
    let call = monitor::health(&shared.store, shared.home.root(), thresholds, shared.clock.now());
    let late = Health::unreachable("no answer");
    let health = tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or(late);
    tracing::info!(status = health.status.as_str(), "health");
    for check in health.checks.iter().filter(|c| c.state != CheckState::Ok) {
        let (name, state) = (check.name, check.state.as_str());
        tracing::warn!(check = name, state, reason = %check.reason, "a check does not hold");
    }
}

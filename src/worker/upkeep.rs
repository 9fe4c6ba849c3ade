//! What a worker does for the tables besides its work: months of the log are made ahead.
//!
//! Every worker does it, so that it needs no leader; to do it twice is harmless. It is no reason to
//! stop: a month that nobody made ahead is taken by the default part, and `db status` says so.

use super::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks. Months are made two ahead, so that it may fail for weeks.
const EVERY: Duration = Duration::from_secs(3_600);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The task beside the work; ends with this.
pub(super) struct Upkeep(JoinHandle<()>);

impl Upkeep {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Upkeep(tokio::spawn(async move {
            let mut look = tokio::time::interval(EVERY);
            loop {
                look.tick().await;
                make_months(&shared).await;
            }
        }))
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn make_months(shared: &Shared) {
    let call = shared.store.create_months(shared.clock.now());
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(0)) => {}
        Ok(Ok(made)) => tracing::info!(made, "parts of the log were made for the months to come"),
        Ok(Err(error)) => tracing::warn!(%error, "months of the log cannot be made ahead"),
        Err(_) => tracing::warn!("months of the log cannot be made ahead: no answer"),
    }
}

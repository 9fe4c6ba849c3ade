//! What tests share: a database each, engines over it, small stage kinds, waiting for conditions.

pub(crate) mod database;
pub(crate) mod pooler;
pub(crate) mod proxy;
pub(crate) mod stages;

use std::time::{Duration, Instant};

/// Waits until `check` gives something; a test that waits too long says for what.
pub(crate) async fn eventually<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 60 s for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Feeds the event log to the read models of `projections/`.
//!
//! A batch of events and the position after it are one transaction: each event takes effect exactly
//! once, whoever is killed. The position is a vector with a place for each lane. Any process may do
//! it; who holds the row of a generation does. Never: a decision about an execution.

mod advance;
mod batch;
mod compare;
mod file;
mod generation;
mod install;
mod rebuild;
mod run;
mod status;
mod tail;

pub use advance::Sizes;
pub use compare::{Difference, Verdict};
pub use file::{BUILT_IN, File, built_in, of_directory};
pub use install::install;
pub use run::{Pass, ProjectorOptions};
pub use status::ProjectionStatus;

use crate::clock::Clock;
use crate::store::{Session, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// The feeder of the read models.
#[derive(Clone)]
pub struct Projector {
    store: Store,
    clock: Arc<dyn Clock>,
    sizes: Sizes,
}

impl Projector {
    /// A projector over a store whose read models are installed.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Projector { store, clock, sizes: Sizes::default() }
    }

    /// The same with other amounts at once.
    #[must_use]
    pub fn with_sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    async fn connection(&self) -> Result<Session, StoreError> {
        self.store.session().await
    }
}

/// A call that never ends must not hold us: the server has its own deadlines, this is for a network
/// that swallows packets.
async fn deadline<T, E: From<StoreError>>(
    seconds: u64,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(Duration::from_secs(seconds), call).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {seconds} s")).into()),
    }
}

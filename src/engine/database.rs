//! The way to a database: a URL, or the embedded Postgres and somebody who keeps it running.

use crate::embedded::{self, Attachment, EmbeddedError, GuardianMode};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the embedded database is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// Holds an attachment to the embedded database, and starts it again when it is gone.
pub(super) struct Keeper {
    attachment: Arc<Attachment>,
    watch: JoinHandle<()>,
}

impl Keeper {
    pub(super) async fn start(
        config: &embedded::Config,
        mode: GuardianMode,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, EmbeddedError> {
        let attachment = Arc::new(embedded::attach(config, mode, progress).await?);
        let watch = tokio::spawn(watch(Arc::clone(&attachment)));
        Ok(Keeper { attachment, watch })
    }

    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Statements meanwhile fail with a lost connection, which callers try again.
async fn watch(attachment: Arc<Attachment>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = attachment.ensure_running().await {
            tracing::warn!(%error, "the embedded database is not back yet");
        }
    }
}

//! Read models are fed by every worker process, beside its work.

use crate::engine::Longhaul;
use crate::projector::ProjectorOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A task that keeps them up to date beside the work, unless the settings say no.
pub(super) struct Feeding {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Feeding {
    pub(super) fn start(engine: &Longhaul) -> Self {
        let stop = CancellationToken::new();
        let task = engine.settings().switch("LONGHAUL_PROJECTOR").then(|| {
            let (projector, stop) = (engine.projector(), stop.clone());
            tokio::spawn(async move { projector.run(ProjectorOptions::default(), stop).await })
        });
        Feeding { stop, task }
    }

    /// What it was at is taken back with its transaction; another one does it again.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Some(task) = self.task {
            task.abort();
            let _ = task.await;
        }
    }
}

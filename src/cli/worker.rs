//! `worker`: works until told to stop.

use super::args::Worker;
use super::session::Session;
use super::{Done, out, signals};
use crate::worker::WorkerOptions;
use std::process::ExitCode;

pub(super) async fn worker(session: &Session, args: &Worker) -> Done {
    let engine = session.open_for_work().await?;
    let base = engine.worker_options();
    let options = WorkerOptions {
        slots: args.slots.unwrap_or(base.slots).max(1),
        labels: args.labels.clone(),
        name: args.name.clone().unwrap_or(base.name.clone()),
        ..base
    };
    out::note(&format!(
        "worker {} takes up to {} executions; Ctrl-C ends it",
        options.name, options.slots
    ));
    let worker = engine.worker_with(options);
    worker.run(signals::stop_token()).await?;
    out::note("worker ended; what it held is queued for the next one");
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

//! `worker`: works until told to stop.

use super::args::Worker;
use super::error::CliError;
use super::feeding::Feeding;
use super::session::Session;
use super::{Done, out, signals};
use crate::worker::WorkerOptions;
use crate::workflow::resources::{Offer, is_label};
use std::process::ExitCode;

pub(super) async fn worker(session: &Session, args: &Worker) -> Done {
    let engine = session.open_for_work().await?;
    let base = engine.worker_options();
    let options = WorkerOptions {
        slots: args.slots.unwrap_or(base.slots).max(1),
        offer: offer(args)?,
        name: args.name.clone().unwrap_or(base.name.clone()),
        ..base
    };
    out::note(&format!(
        "worker {} takes up to {} executions; Ctrl-C ends it",
        options.name, options.slots
    ));
    let worker = engine.worker_with(options);
    let feeding = Feeding::start(&engine);
    let ended = worker.run(signals::stop_token()).await;
    feeding.stop().await;
    ended?;
    out::note("worker ended; what it held is queued for the next one");
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

fn offer(args: &Worker) -> Result<Offer, CliError> {
    if let Some(wrong) = args.labels.iter().find(|l| !is_label(l)) {
        let said = "it must be 1 to 64 of the characters a-z, A-Z, 0-9 and . _ - : /";
        return Err(CliError::Usage(format!("--label `{wrong}`: {said}")));
    }
    Ok(Offer { labels: args.labels.clone(), cpu: args.cpu, memory_mb: args.memory_mb })
}

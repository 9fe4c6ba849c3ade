//! `bench`: measures the database that is given, or the embedded one; one JSON object each.

use super::error::CliError;
use super::session::Session;
use super::{Done, out, signals};
use crate::bench::{self, Arena, BenchError, RecoveryOptions, Rival};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    pub(super) what: BenchWhat,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchWhat {
    /// Many executions of six stages at once
    Throughput {
        /// How many in all
        #[arg(long, default_value_t = 2_000)]
        executions: usize,
        /// How many at a time
        #[arg(long, default_value_t = 500)]
        concurrency: usize,
    },
    /// Executions of six stages, one after the other
    Latency {
        /// How many
        #[arg(long, default_value_t = 100)]
        executions: usize,
    },
    /// Appends by many writers
    Append {
        /// How many
        #[arg(long, default_value_t = 1_000)]
        writers: usize,
        /// For how long
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Whose store
        #[arg(long, value_enum, default_value_t = BenchStore::Longhaul)]
        store: BenchStore,
    },
    /// One execution of many stages
    History {
        /// How many
        #[arg(long, default_value_t = 5_000)]
        stages: usize,
    },
    /// All read models folded anew from a made-up log
    Rebuild {
        /// How many events
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
        /// Only fold the streams to states
        #[arg(long)]
        replay: bool,
    },
    /// A worker process is killed in the midst of its work
    Recover {
        /// How many
        #[arg(long, default_value_t = 200)]
        executions: usize,
        /// How long each stage takes
        #[arg(long, default_value_t = 200)]
        stage_ms: u64,
        /// How many at a time
        #[arg(long, default_value_t = 100)]
        slots: usize,
    },
    /// The worker that `recover` kills
    #[command(hide = true)]
    Work {
        #[arg(long)]
        slots: usize,
        #[arg(long)]
        stage_ms: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum BenchStore {
    Longhaul,
    PostgresEs,
}

pub(super) async fn bench(session: &Session, args: &Bench) -> Done {
    if let BenchWhat::Work { slots, stage_ms } = args.what {
        return work(session, slots, stage_ms).await;
    }
    // The engine is opened for its database: it may be the embedded one, which it keeps running.
    let engine = session.open().await?;
    let arena = Arena::new(engine.database_url()).await?;
    let done = measure(&arena, &args.what).await;
    let closed = arena.close().await;
    done?;
    closed?;
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn measure(arena: &Arena, what: &BenchWhat) -> Result<(), CliError> {
    match what {
        BenchWhat::Throughput { executions, concurrency } => {
            say(&bench::throughput(arena, *executions, *concurrency).await?);
        }
        BenchWhat::Latency { executions } => say(&bench::latency(arena, *executions).await?),
        BenchWhat::Append { writers, seconds, store } => {
            let rival = match store {
                BenchStore::Longhaul => Rival::Longhaul,
                BenchStore::PostgresEs => Rival::PostgresEs,
            };
            let time = Duration::from_secs(*seconds);
            say(&bench::append(arena, *writers, time, rival).await?);
        }
        BenchWhat::History { stages } => say(&bench::history(arena, *stages).await?),
        BenchWhat::Rebuild { events, replay } => {
            say(&bench::rebuild(arena, *events, *replay).await?);
        }
        BenchWhat::Recover { executions, stage_ms, slots } => {
            let program = std::env::current_exe()
                .map_err(|source| BenchError::Machine { what: "this program", source })?;
            let nap = Duration::from_millis(*stage_ms);
            let options = RecoveryOptions { executions: *executions, nap, slots: *slots, program };
            say(&bench::recover(arena, &options).await?);
        }
        BenchWhat::Work { .. } => {}
    }
    Ok(())
}

fn say<T: Serialize>(seen: &T) {
    out::json(seen);
}

async fn work(session: &Session, slots: usize, stage_ms: u64) -> Done {
    let url = session.settings.database_url().ok_or_else(|| {
        CliError::Usage("`bench work` needs DATABASE_URL; `bench recover` sets it".to_owned())
    })?;
    let nap = Duration::from_millis(stage_ms);
    let stop = signals::stop_token();
    bench::work(url, session.home.clone(), slots, nap, stop).await?;
    Ok(ExitCode::SUCCESS)
}

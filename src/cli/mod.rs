//! The command line: one file per noun, each a thin layer over the library's public API.
//!
//! Names, JSON and exit codes are the contract's. Stdout belongs to results; progress, warnings and
//! errors go to stderr. Never: SQL, or a decision that the library does not offer to everybody.

mod archive;
mod args;
mod audit;
mod bench;
mod config;
mod control;
mod db;
mod demo;
mod diff;
mod error;
mod feeding;
mod follow;
mod fork;
mod health;
mod history;
mod logs;
mod out;
mod parse;
mod projections;
mod replay;
mod run;
mod session;
mod show;
mod signals;
mod state;
mod worker;
mod workflows;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use error::CliError;
use session::Session;
use std::process::ExitCode;

type Done = Result<ExitCode, CliError>;

/// Reads the arguments, runs the command, and turns its end into an exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; everything else is wrong usage.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    if let Command::Db(args::Db { action: args::DbAction::Guard { arguments } }) = cli.command {
        // Before any thread exists: the guardian changes users and lives by itself.
        return db::guard(arguments);
    }
    out::set_color(cli.globals.color);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out::error(&format!("the runtime cannot start: {error}"));
            return ExitCode::from(5);
        }
    };
    let code = runtime.block_on(run(cli)).unwrap_or_else(|error| {
        out::error(&error.to_string());
        error.exit_code()
    });
    // A task that hangs must not keep a finished command.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn run(cli: Cli) -> Done {
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "longhaul", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let session = Session::new(cli.globals)?;
    match cli.command {
        Command::Demo(args) => demo::demo(&session, &args).await,
        Command::Run(args) => run::run(&session, &args).await,
        Command::Submit(args) => run::submit(&session, &args).await,
        Command::Parse(args) => parse::parse(&session, &args),
        Command::Worker(args) => worker::worker(&session, &args).await,
        Command::List(args) => show::list(&session, &args).await,
        Command::Show(args) => show::show(&session, &args).await,
        Command::Tasks(args) => show::tasks(&session, &args).await,
        Command::Workers => show::workers(&session).await,
        Command::History(args) => history::history(&session, &args).await,
        Command::Logs(args) => logs::logs(&session, &args).await,
        Command::State(args) => state::state(&session, &args).await,
        Command::Diff(args) => diff::diff(&session, &args).await,
        Command::Replay(args) => replay::replay(&session, &args).await,
        Command::Cancel(args) => control::cancel(&session, &args).await,
        Command::Pause(args) => control::pause(&session, &args).await,
        Command::Resume(args) => control::resume(&session, &args).await,
        Command::Retry(args) => control::retry(&session, &args).await,
        Command::Rewind(args) => control::rewind(&session, &args).await,
        Command::Fork(args) => fork::fork(&session, &args).await,
        Command::Signal(args) => control::signal(&session, &args).await,
        Command::Approve(args) => control::approve(&session, &args, "approve").await,
        Command::Reject(args) => control::approve(&session, &args, "reject").await,
        Command::Audit(args) => audit::audit(&session, &args).await,
        Command::Workflows(args) => workflows::workflows(&session, &args).await,
        Command::Projections(args) => projections::projections(&session, &args).await,
        Command::Metrics => show::metrics(&session).await,
        Command::Health => health::health(&session).await,
        Command::Config => config::config(&session),
        Command::Archive(args) => archive::archive(&session, &args).await,
        Command::Bench(args) => bench::bench(&session, &args).await,
        Command::Db(args) => db::db(&session, &args).await,
        Command::Completions { .. } => Ok(ExitCode::SUCCESS),
    }
}

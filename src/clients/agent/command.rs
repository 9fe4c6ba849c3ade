//! The agent `command`: any program that edits the worktree it is started in.
//!
//! The prompt comes on its standard input and in a file; what it prints is the log; its exit code
//! says how it went: 0 done, 75 try again later, 64 a person is needed, anything else failed.

use super::{Agent, Ended, Report, Turn};
use crate::clients::process::{self, Command, Environment, Exit, ProcessError, Sink};
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// From `sysexits.h`: EX_TEMPFAIL and EX_USAGE.
const TRY_LATER: i32 = 75;
const NEEDS_PERSON: i32 = 64;
/// What a shell says when a program is not there or cannot be run.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

const HOW_TO_SET: &str = "set `agent.command` (or --agent-command) to a program that edits the directory it is started in";

/// Runs `agent.command`.
pub(super) struct CommandAgent;

#[async_trait]
impl Agent for CommandAgent {
    async fn run(&self, turn: &Turn<'_>, sink: &Sink<'_>, cancelled: &CancellationToken) -> Ended {
        let started = async {
            let files = Files::prepare(turn)?;
            let command = command(turn, &files)?;
            let exit = process::run(command, sink, cancelled).await;
            Ok::<_, Failure>((files, exit.map_err(|e| not_started(turn, &e))?))
        };
        match started.await {
            Ok((files, exit)) => {
                Ended { report: Report::read(&files.result), result: judge(turn, &exit) }
            }
            Err(failure) => Ended { report: Report::default(), result: Err(failure) },
        }
    }
}

struct Files {
    prompt: PathBuf,
    result: PathBuf,
}

impl Files {
    fn prepare(turn: &Turn<'_>) -> Result<Files, Failure> {
        let (prompt, result) = (turn.notes.join("prompt.md"), turn.notes.join("result.json"));
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(turn.notes)?;
            std::fs::write(&prompt, turn.prompt)?;
            // The report of an earlier turn must not pass for one of this turn.
            match std::fs::remove_file(&result) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        };
        write().map_err(|e| {
            let said = format!("the prompt cannot be written to {}: {e}", turn.notes.display());
            Failure::new(ErrorKind::Transient, said)
        })?;
        Ok(Files { prompt, result })
    }
}

fn command(turn: &Turn<'_>, files: &Files) -> Result<Command, Failure> {
    let permanent = |said: String| Failure::new(ErrorKind::Permanent, said);
    let line = turn.settings.command.as_deref().unwrap_or_default();
    let words = shell_words::split(line).map_err(|e| {
        permanent(format!(
            "`agent.command` cannot be split into words: {e}; check its quotes: {line}"
        ))
    })?;
    let Some((program, args)) = words.split_first() else {
        return Err(permanent(format!("no coding agent is configured; {HOW_TO_SET}")));
    };
    let limits = turn.limits;
    Ok(Command::new(program, turn.tree)
        .args(args)
        .env(environment(turn, files))
        .marked(turn.tree)
        .stdin(turn.prompt)
        .timeout(turn.timeout)
        .output_limit(limits.output_mb.saturating_mul(1_000_000))
        .keep(16 * 1024))
}

fn environment(turn: &Turn<'_>, files: &Files) -> Environment {
    let env = Environment::harmless(&turn.settings.env)
        .with("LONGHAUL_EXECUTION_ID", turn.execution_id.to_string())
        .with("LONGHAUL_STAGE", turn.stage)
        .with("LONGHAUL_ATTEMPT", turn.attempt.to_string())
        .with("LONGHAUL_LOOP", turn.repair_loop.to_string())
        .with("LONGHAUL_PROMPT_FILE", &files.prompt)
        .with("LONGHAUL_RESULT_FILE", &files.result);
    match turn.session {
        Some(session) => env.with("LONGHAUL_SESSION", session),
        None => env,
    }
}

fn not_started(turn: &Turn<'_>, error: &ProcessError) -> Failure {
    match error {
        ProcessError::NotFound { .. } | ProcessError::NotExecutable { .. } => {
            let from = turn.tree.display();
            let said = format!("the coding agent cannot be started: {error}");
            let hint = format!("it was started in {from}, so a relative path is looked for there");
            Failure::new(ErrorKind::Permanent, format!("{said}; {HOW_TO_SET}; {hint}"))
        }
        ProcessError::NoDirectory { .. } | ProcessError::System { .. } => {
            let said = format!("the coding agent cannot be started: {error}");
            Failure::new(ErrorKind::Transient, said)
        }
    }
}

fn judge(turn: &Turn<'_>, exit: &Exit) -> Result<(), Failure> {
    let name = turn.settings.command.as_deref().unwrap_or_default();
    let (kind, hint) = match (exit.ended_by, exit.code) {
        (process::Ended::Itself, Some(0)) => return Ok(()),
        (process::Ended::Itself, Some(TRY_LATER)) => {
            (ErrorKind::Transient, "that means: try again later")
        }
        (process::Ended::Itself, Some(NEEDS_PERSON)) => {
            (ErrorKind::NeedsPerson, "that means: a person has to look at it, then resume")
        }
        (process::Ended::Itself, Some(NOT_FOUND | NOT_EXECUTABLE)) => {
            (ErrorKind::Permanent, HOW_TO_SET)
        }
        // A crash may pass: another try is worth its price.
        (process::Ended::Itself, _) => (ErrorKind::Transient, "its log has the rest"),
        (process::Ended::Timeout, _) => (
            ErrorKind::Timeout,
            "does it wait for input? If it needs longer, raise `timeout_ms` of the stage",
        ),
        (process::Ended::OutputLimit, _) => {
            (ErrorKind::Permanent, "make it quieter, or raise `limits.output_mb`")
        }
        (process::Ended::Cancelled, _) => (ErrorKind::Interrupted, "nothing of it was kept"),
    };
    let said = format!("the coding agent `{name}` failed: {}{}", exit.describe(), last_words(exit));
    Err(Failure::new(kind, format!("{said}; {hint}")))
}

/// The last line it printed, which usually is its error.
fn last_words(exit: &Exit) -> String {
    let last = exit.output.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or(String::new(), |line| {
        let line: String = line.chars().filter(|c| !c.is_control()).take(300).collect();
        format!(" (it said last: {line})")
    })
}

//! The stage kind `command`: any line of shell.
//!
//! `config`: `{"command": "...", "cwd": "sub/dir", "env": ["NAME"], "allow_failure": false,
//! "safe": false}`. With a
//! repository it runs in the worktree of the execution, at its newest commit; without one, in an empty
//! directory of the execution. Exit 75 means try again later, 64 that a person is needed, anything
//! else but 0 sends the work back.

use super::lines::Line;
use super::workbench::{TREE, Workbench};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::clients::git::Place;
use crate::clients::process::{Ended, Exit};
use crate::config::run::RunSettings;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::fork::WOULD_HAVE;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What of the output goes into the stage's own output, in characters.
const OUTPUT_CHARS_MAX: usize = 16_000;

/// Runs `config.command`.
pub(super) struct CommandLine;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    command: String,
    cwd: Option<PathBuf>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    allow_failure: bool,
    /// Whether it does nothing to the outside, so that it may run in a what-if.
    #[serde(default)]
    safe: bool,
}

impl Config {
    fn read(config: &Value) -> Result<Config, String> {
        let read: Result<Config, _> = serde_json::from_value(config.clone());
        let problem = match read {
            Ok(read) if !read.command.trim().is_empty() => return Ok(read),
            Ok(_) => "`command` is empty".to_owned(),
            Err(error) => error.to_string(),
        };
        let hint = r#"write for example {"command": "make lint"}"#;
        Err(format!("the config of a stage of kind `command` is wrong: {problem}; {hint}"))
    }
}

#[async_trait]
impl StageExecutor for CommandLine {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["exit_code", "output", "duration_ms"])
    }

    fn preflight(&self, _settings: &RunSettings, config: &Value) -> Vec<String> {
        Config::read(config).err().into_iter().collect()
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let wrong = |said: String| Failure::new(ErrorKind::Permanent, said);
        let config = Config::read(&ctx.input.config).map_err(wrong)?;
        if ctx.input.what_if && !config.safe {
            ctx.log(format!("what-if: would have run `{}`", config.command));
            return Ok(StageOutcome::Done(denied(&config)));
        }
        let (place, timeout) = place(ctx).await?;
        let dir =
            config.cwd.as_ref().map_or_else(|| place.dir().to_owned(), |cwd| place.dir().join(cwd));
        let line = Line::new("command", &config.command, place.dir());
        let line = Line { dir: &dir, env: &config.env, ..line };
        let exit = line.run(ctx, timeout).await?;
        if exit.ended_by == Ended::Itself {
            place.settle()?;
        }
        judge(ctx, &line, &config, &exit)
    }
}

/// Where it runs, and for how long.
async fn place(ctx: &StageContext) -> Result<(Place, Duration), Failure> {
    if ctx.input.repository.is_some() {
        let bench = Workbench::open(ctx).await?;
        let place = bench.enter(ctx, TREE).await?;
        let commit = bench.current(ctx);
        place.checkout(&bench.mirror, &bench.head(&commit)).await?;
        return Ok((place, bench.time_left()));
    }
    let began = Instant::now();
    let workspace = ctx.home().workspace(ctx.input.execution_id);
    let item = ctx.input.item.as_ref();
    let name = item.map_or_else(|| "scratch".to_owned(), |i| format!("scratch-{}", i.index));
    let place = Place::enter(&workspace, &name, ctx.cancelled()).await?;
    let said = |error| {
        Failure::new(
            ErrorKind::Transient,
            format!("cannot create {}: {error}", place.dir().display()),
        )
    };
    std::fs::create_dir_all(place.dir()).map_err(said)?;
    let left = ctx.input.timeout.saturating_sub(began.elapsed());
    Ok((place, left.mul_f64(0.9)))
}

/// The output of a what-if, unless the config says `"safe": true`.
fn denied(config: &Config) -> Value {
    json!({"exit_code": null, "output": null, "duration_ms": null,
           WOULD_HAVE: {"run": config.command}})
}

fn judge(
    ctx: &StageContext,
    line: &Line<'_>,
    config: &Config,
    exit: &Exit,
) -> Result<StageOutcome, Failure> {
    let output = super::lines::tail(&exit.output, OUTPUT_CHARS_MAX);
    let is_fine = exit.is_success() || (config.allow_failure && exit.ended_by == Ended::Itself);
    if is_fine {
        return Ok(StageOutcome::Done(json!({
            "exit_code": exit.code,
            "output": output,
            "duration_ms": exit.duration.as_millis() as u64,
        })));
    }
    let summary = format!("`{}`: {}", config.command, exit.describe());
    match (exit.ended_by, exit.code) {
        (Ended::Itself, Some(75)) => Err(Failure::new(ErrorKind::Transient, summary)),
        (Ended::Itself, Some(64)) => {
            Err(Failure::new(ErrorKind::NeedsPerson, format!("{summary}; its log says why")))
        }
        (Ended::Itself, _) => {
            Err(line.red(summary, exit).with("exit_code", json!(exit.code)).into())
        }
        (Ended::Timeout | Ended::OutputLimit | Ended::Cancelled, _) => Err(line.failed(ctx, exit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_or_explained() {
        assert!(Config::read(&json!({"command": "true", "cwd": "x", "env": ["A"]})).is_ok());
        for wrong in
            [json!(null), json!({}), json!({"command": " "}), json!({"command": "x", "dir": 1})]
        {
            let said = Config::read(&wrong).expect_err("refused");
            assert!(said.contains("make lint"), "{said}");
        }
    }
}

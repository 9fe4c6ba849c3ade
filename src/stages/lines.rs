//! Running a line of shell in a checkout, for tests, checks and deployments.
//!
//! Knows what an exit means for an attempt, and nothing of what the line is for.

use super::StageContext;
use super::red::Red;
use crate::clients::process::{self, Command, Ended, Environment, Exit};
use crate::workflow::failure::{ErrorKind, Failure};
use std::path::Path;
use std::time::Duration;

/// What of an output is passed on as feedback, in characters.
pub(super) const FEEDBACK_CHARS_MAX: usize = 24_000;

/// A line to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// What it is, for people: `setup`, `tests`.
    pub(super) name: &'a str,
    /// For `sh -c`.
    pub(super) command: &'a str,
    /// Where.
    pub(super) dir: &'a Path,
    /// The place that it runs for, by which it is found again if we die.
    pub(super) place: &'a Path,
    /// Names of variables that it may see besides the harmless ones.
    pub(super) env: &'a [String],
    /// Variables of its own.
    pub(super) extra: &'a [(&'a str, &'a str)],
}

impl<'a> Line<'a> {
    /// A line that runs in a place, with nothing but harmless variables.
    pub(super) fn new(name: &'a str, command: &'a str, place: &'a Path) -> Self {
        Line { name, command, dir: place, place, env: &[], extra: &[] }
    }

    /// Runs it; whatever it prints goes to the stage's log.
    pub(super) async fn run(&self, ctx: &StageContext, timeout: Duration) -> Result<Exit, Failure> {
        ctx.log(format!("$ {}", self.command));
        let sink = ctx.log_sink();
        let limits = &ctx.input.settings.limits;
        let command = Command::shell(self.command, self.dir)
            .env(self.environment(ctx))
            .marked(self.place)
            .timeout(timeout)
            .output_limit(limits.output_mb.saturating_mul(1_000_000))
            .keep(usize::try_from(limits.log_kib).unwrap_or(4_096).saturating_mul(1_024));
        let exit = process::run(command, &|text| sink.write(text), ctx.cancelled()).await;
        let exit = exit.map_err(|error| {
            let said = format!("{} could not be run: {error}", self.name);
            Failure::new(ErrorKind::Transient, said)
        })?;
        ctx.log(format!("[{}: {}, {} ms]", self.name, exit.describe(), exit.duration.as_millis()));
        match exit.ended_by {
            Ended::Cancelled => {
                Err(Failure::new(ErrorKind::Interrupted, format!("{} was cancelled", self.name)))
            }
            Ended::Itself | Ended::Timeout | Ended::OutputLimit => Ok(exit),
        }
    }

    fn environment(&self, ctx: &StageContext) -> Environment {
        let env = Environment::harmless(self.env)
            // Test runners ask for input, or watch files for ever, unless they are told that nobody
            // is there.
            .with("CI", "true")
            .with("LONGHAUL_EXECUTION_ID", ctx.input.execution_id.to_string())
            .with("LONGHAUL_STAGE", &ctx.input.stage)
            .with("LONGHAUL_ATTEMPT", ctx.input.attempt.to_string());
        let env = match &ctx.input.item {
            Some(item) => env
                .with("LONGHAUL_ITEM", item.value.to_string())
                .with("LONGHAUL_ITEM_INDEX", item.index.to_string()),
            None => env,
        };
        self.extra.iter().fold(env, |env, (name, value)| env.with(name, value))
    }

    /// What a line that did not exit with 0 means: it may pass by itself once; the second time in a
    /// row it is the work's fault.
    pub(super) fn failed(&self, ctx: &StageContext, exit: &Exit) -> Failure {
        let may_pass = |kind| matches!(kind, ErrorKind::Transient | ErrorKind::Timeout);
        let is_repeated = ctx.input.last_error.as_ref().is_some_and(|error| may_pass(error.kind));
        let (name, how) = (self.name, exit.describe());
        let hint = match exit.ended_by {
            Ended::Timeout => "raise `timeout_ms` of the stage if it needs longer",
            Ended::OutputLimit => "make it quieter, or raise `limits.output_mb`",
            Ended::Itself | Ended::Cancelled => "its output is in the stage's log",
        };
        let summary = format!("{name} failed: `{}`: {how}; {hint}", self.command);
        match exit.ended_by {
            Ended::Timeout if !is_repeated => Failure::new(ErrorKind::Timeout, summary),
            Ended::Itself if !is_repeated => Failure::new(ErrorKind::Transient, summary),
            Ended::Itself | Ended::Timeout | Ended::OutputLimit | Ended::Cancelled => {
                self.red(summary, exit).into()
            }
        }
    }

    /// The same as work to be sent back.
    pub(super) fn red(&self, summary: String, exit: &Exit) -> Red {
        let output = tail(&exit.output, FEEDBACK_CHARS_MAX);
        let feedback = format!("{summary}\nThe end of its output:\n{output}");
        Red::new(summary, feedback)
    }
}

/// The last `chars` characters, from the beginning of a line where there is one.
pub(super) fn tail(text: &str, chars: usize) -> &str {
    let text = text.trim_end();
    let Some((cut, _)) = text.char_indices().rev().nth(chars) else { return text };
    let rest = &text[cut..];
    rest.split_once('\n').map_or(rest, |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn a_tail_begins_with_a_line() {
        assert_eq!(tail("one\ntwo\nthree\n", 100), "one\ntwo\nthree");
        assert_eq!(tail("one\ntwo\nthree\n", 8), "three");
        assert_eq!(tail("ünbroken", 4), "roken");
    }
}

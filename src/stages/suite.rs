//! Running the tests and judging what they say.
//!
//! Longhaul runs them itself; an agent's word counts for nothing.

use super::StageContext;
use super::lines::{FEEDBACK_CHARS_MAX, Line};
use super::red::Red;
use super::workbench::Workbench;
use crate::clients::process::{Ended, Exit};
use crate::clients::test_run::{self, Outcome, TestPlan, Verdict};
use crate::config::run::Verdict as Policy;
use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::SystemTime;

/// What of the failing tests is put into events: the rest is in the log.
const FAILURES_MAX: usize = 50;
const MESSAGE_CHARS_MAX: usize = 600;

/// A test run.
pub(super) struct Suite<'a> {
    pub(super) plan: &'a TestPlan,
    pub(super) exit: Exit,
    pub(super) verdict: Verdict,
}

/// Runs `test.setup`, if there is one.
pub(super) async fn set_up(
    ctx: &StageContext,
    bench: &Workbench,
    dir: &Path,
) -> Result<Option<Exit>, Failure> {
    let test = &ctx.input.settings.test;
    let Some(command) = &test.setup else { return Ok(None) };
    let line = Line { env: &test.env, ..Line::new("setup", command, dir) };
    let exit = line.run(ctx, bench.time_left()).await?;
    if exit.is_success() { Ok(Some(exit)) } else { Err(line.failed(ctx, &exit)) }
}

impl<'a> Suite<'a> {
    /// Runs the tests of `plan` in `dir`. An error when that says nothing about the work.
    pub(super) async fn run(
        ctx: &StageContext,
        bench: &Workbench,
        dir: &Path,
        plan: &'a TestPlan,
    ) -> Result<Suite<'a>, Failure> {
        if let Some(hint) = &plan.hint {
            ctx.log(hint);
        }
        let began = SystemTime::now();
        let env = &ctx.input.settings.test.env;
        let line = Line { env, ..Line::new("tests", &plan.command, dir) };
        let exit = line.run(ctx, bench.time_left()).await?;
        if exit.ended_by != Ended::Itself {
            return Err(line.failed(ctx, &exit));
        }
        let report = plan.report.as_ref().and_then(|r| test_run::collect_report(dir, r, began));
        let verdict = test_run::read_with_report(&exit.output, exit.code, Some(plan), report)
            .relative_to(&dir.to_string_lossy());
        if let Outcome::Inconclusive(reason) = &verdict.outcome {
            return Err(inconclusive(plan, reason));
        }
        Ok(Suite { plan, exit, verdict })
    }

    /// Why the work is sent back, unless the tests are green. What no tests mean is a policy.
    pub(super) fn red(&self, ctx: &StageContext) -> Option<Red> {
        match &self.verdict.outcome {
            Outcome::Passed => None,
            Outcome::NoTests if ctx.input.settings.policy.no_tests != Policy::Reject => None,
            Outcome::NoTests => Some(none_found(&format!("`{}` ran no test", self.plan.command))),
            Outcome::Failed | Outcome::Inconclusive(_) => {
                let feedback = test_run::feedback(&self.verdict, FEEDBACK_CHARS_MAX);
                Some(Red::new(self.summary(), feedback).with("results", self.figures()))
            }
        }
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let s = &self.verdict.summary;
        let command = &self.plan.command;
        if s.executed() + s.skipped > 0 {
            return format!(
                "{} failed, {} passed, {} skipped: `{command}`",
                s.failed, s.passed, s.skipped
            );
        }
        format!("`{command}` ended with {}", self.exit.describe())
    }

    /// The figures, as they stand in outputs and events.
    pub(super) fn figures(&self) -> Value {
        let s = &self.verdict.summary;
        let failures: Vec<Value> = s.failures.iter().take(FAILURES_MAX).map(|failure| {
            let message: String = failure.message.chars().take(MESSAGE_CHARS_MAX).collect();
            json!({"name": failure.name, "message": message, "file": failure.file, "line": failure.line})
        }).collect();
        json!({
            "passed": s.passed,
            "failed": s.failed,
            "skipped": s.skipped,
            "failures": failures,
            "coverage": s.coverage,
            "framework": s.framework,
            "command": self.plan.command,
            "duration_ms": self.exit.duration.as_millis() as u64,
            "exit_code": self.exit.code,
            "notes": self.verdict.notes,
        })
    }
}

/// No tests: what to do about that.
pub(super) fn none_found(what: &str) -> Red {
    let hint = "set `test.command`, add tests, or allow it with `policy.no_tests=warn`";
    let feedback = format!("{what}. The work cannot be judged without tests: add some that run.");
    Red::new(format!("{what}; {hint}"), feedback)
}

fn inconclusive(plan: &TestPlan, reason: &str) -> Failure {
    let mut said = format!("the tests could not be judged: `{}`: {reason}", plan.command);
    if let Some(hint) = &plan.hint {
        said = format!("{said}; {hint}");
    }
    let hint = "set `test.command`, and `test.setup` for what has to be installed before";
    Failure::new(ErrorKind::Permanent, format!("{said}; {hint}"))
}

//! The checks of a commit where the forge runs none: in a clean checkout, with nothing in it but the
//! commit.
//!
//! Used by validation on what is proposed, and by deployment on what a merge would make of it.

use super::StageContext;
use super::lines::Line;
use super::red::Red;
use super::suite::{self, Suite};
use super::test_plan;
use super::workbench::Workbench;
use crate::clients::forge::Check;
use crate::clients::process::{Ended, Exit};
use crate::config::run::Verdict as Policy;
use crate::workflow::failure::Failure;
use serde_json::json;
use std::path::Path;

/// What the checks said.
#[derive(Debug, Default)]
pub(super) struct Checkup {
    /// Each of them, in order.
    pub(super) checks: Vec<Check>,
    /// Why the work is sent back, if it is.
    pub(super) red: Option<Red>,
}

impl Checkup {
    /// Checks `commit` in the place `name`, which is emptied again afterwards.
    pub(super) async fn of(
        ctx: &StageContext,
        bench: &Workbench,
        name: &str,
        commit: &str,
    ) -> Result<Checkup, Failure> {
        let plan_needed = ctx.input.settings.validation.command.is_none();
        let plan = match plan_needed {
            true => test_plan::find(ctx, bench, commit).await?,
            false => None,
        };
        let place = bench.enter(ctx, name).await?;
        place.checkout_clean(&bench.mirror, &bench.head(commit)).await?;
        ctx.log(format!("checking {commit} in a clean checkout"));
        let mut checkup = Checkup::default();
        if let Some(exit) = suite::set_up(ctx, bench, place.dir()).await? {
            let command = ctx.input.settings.test.setup.as_deref().unwrap_or_default();
            checkup.add("setup", command, &exit, true);
        }
        match (&ctx.input.settings.validation.command, &plan) {
            (Some(command), _) => checkup.run_line(ctx, bench, place.dir(), command).await?,
            (None, Some(plan)) => {
                let suite = Suite::run(ctx, bench, place.dir(), plan).await?;
                ctx.log(suite.summary());
                checkup.red = suite.red(ctx);
                let is_green = checkup.red.is_none();
                checkup.add("tests", &plan.command, &suite.exit, is_green);
            }
            (None, None) if ctx.input.settings.policy.no_tests == Policy::Reject => {
                checkup.red =
                    Some(suite::none_found("no check is configured, and no tests were found"));
            }
            (None, None) => ctx.log("warning: nothing to check with"),
        }
        place.clear().await?;
        checkup.red = checkup
            .red
            .map(|red| red.with("commit", json!(commit)).with("checks", json!(checkup.checks)));
        Ok(checkup)
    }

    async fn run_line(
        &mut self,
        ctx: &StageContext,
        bench: &Workbench,
        dir: &Path,
        command: &str,
    ) -> Result<(), Failure> {
        let env = &ctx.input.settings.test.env;
        let line = Line { env, ..Line::new("validation", command, dir) };
        let exit = line.run(ctx, bench.time_left()).await?;
        if exit.ended_by != Ended::Itself {
            return Err(line.failed(ctx, &exit));
        }
        if !exit.is_success() {
            let summary = format!("validation failed: `{command}`: {}", exit.describe());
            self.red = Some(line.red(summary, &exit));
        }
        self.add("validation", command, &exit, exit.is_success());
        Ok(())
    }

    fn add(&mut self, name: &str, command: &str, exit: &Exit, is_green: bool) {
        self.checks.push(Check {
            name: name.to_owned(),
            conclusion: if is_green { "success" } else { "failure" }.to_owned(),
            duration_ms: exit.duration.as_millis() as u64,
            command: command.to_owned(),
        });
    }
}

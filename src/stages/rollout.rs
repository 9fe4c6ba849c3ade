//! The lines that bring a version to its environment, prove that it works there, and undo it.
//!
//! A deploy line that died before its outcome was recorded is run again, with the same
//! LONGHAUL_DEPLOYMENT_ID: only the line itself can know how to look for its effect. Each runs in a
//! clean checkout of the version.

use super::StageContext;
use super::lines::Line;
use super::workbench::Workbench;
use crate::clients::git::Place;
use crate::clients::process::Exit;
use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::json;

/// The same for every attempt to deploy this version for this execution.
pub(super) fn deployment_id(ctx: &StageContext, version: &str) -> String {
    let short: String = version.chars().take(12).collect();
    format!("{}-{}-{short}", ctx.input.settings.deploy.environment, ctx.input.execution_id)
}

/// Runs `deploy.command` and `deploy.verify`, each if there is one.
pub(super) async fn deploy(
    ctx: &StageContext,
    bench: &Workbench,
    version: &str,
    id: &str,
) -> Result<(), Failure> {
    let settings = &ctx.input.settings.deploy;
    if settings.command.is_none() && settings.verify.is_none() {
        return Ok(());
    }
    let place = bench.enter(ctx, &format!("deploy.{}", ctx.input.stage)).await?;
    place.checkout_clean(&bench.mirror, &bench.head(version)).await?;
    let rollout = Rollout { ctx, bench, place: &place, version, id };
    if let Some(command) = &settings.command {
        ctx.step(&format!("deploy {id}"), rollout.must_succeed("deploy", command)).await?;
    }
    if let Some(command) = &settings.verify {
        rollout.verify(command).await?;
    }
    Ok(place.clear().await?)
}

struct Rollout<'a> {
    ctx: &'a StageContext,
    bench: &'a Workbench,
    place: &'a Place,
    version: &'a str,
    id: &'a str,
}

impl Rollout<'_> {
    async fn run(&self, name: &str, command: &str) -> Result<Exit, Failure> {
        let deploy = &self.ctx.input.settings.deploy;
        let extra = [
            ("LONGHAUL_DEPLOYMENT_ID", self.id),
            ("LONGHAUL_VERSION", self.version),
            ("LONGHAUL_ENVIRONMENT", deploy.environment.as_str()),
        ];
        let line = Line::new(name, command, self.place.dir());
        let line = Line { extra: &extra, env: &deploy.env, ..line };
        line.run(self.ctx, self.bench.time_left()).await
    }

    async fn must_succeed(&self, name: &str, command: &str) -> Result<(), Failure> {
        let exit = self.run(name, command).await?;
        if exit.is_success() {
            return Ok(());
        }
        let said = format!("{name} failed: `{command}`: {}", exit.describe());
        let hint = "its output is in the stage's log; mend it and retry";
        Err(Failure::new(ErrorKind::Transient, format!("{said}; {hint}")))
    }

    async fn verify(&self, command: &str) -> Result<(), Failure> {
        let exit = self.run("verify", command).await?;
        if exit.is_success() {
            return Ok(());
        }
        let undone = self.roll_back().await;
        let environment = &self.ctx.input.settings.deploy.environment;
        let (version, how) = (self.version, exit.describe());
        let summary =
            format!("version {version} does not work on `{environment}` ({how}); {undone}");
        let line = Line::new("verify", command, self.place.dir());
        Err(line.red(summary, &exit).with("version", json!(version)).into())
    }

    async fn roll_back(&self) -> String {
        let Some(command) = &self.ctx.input.settings.deploy.rollback else {
            return "nothing was rolled back (`deploy.rollback` is not set)".to_owned();
        };
        match self.must_succeed("rollback", command).await {
            Ok(()) => "it was rolled back".to_owned(),
            Err(error) => format!("and it could not be rolled back: {}", error.message),
        }
    }
}

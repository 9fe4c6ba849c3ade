//! The stage kind `deployment`: merges the change, runs the deploy step, verifies, rolls back.
//!
//! A merge that was made before is found in the base and not made again. When the base has moved on
//! since validation, what the merge makes of it is checked before the base moves. Never: the lines
//! that deploy, see `rollout`.

use super::checkup::Checkup;
use super::red::Red;
use super::rollout;
use super::workbench::{Workbench, text};
use super::{StageContext, StageExecutor, StageOutcome, Wait};
use crate::clients::forge::{ChangeRequest, Judge, Landing, Merge};
use crate::clients::git::Lock;
use crate::workflow::event::WaitReason;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::fork::WOULD_HAVE;
use async_trait::async_trait;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait for others before the worker is let go.
const PATIENCE: Duration = Duration::from_secs(15);
const WAKE_SECONDS: i64 = 3;

/// Merges and deploys.
pub(super) struct Deployment;

#[async_trait]
impl StageExecutor for Deployment {
    /// Two deployments to one place would undo each other.
    fn keys(&self) -> &'static [&'static str] {
        &["deploy:{repository}:{settings.deploy.environment}"]
    }

    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["environment", "version", "deployment_id", "verified", "merged_into"])
    }

    fn needs_repository(&self) -> bool {
        true
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let bench = Workbench::open(ctx).await?;
        if ctx.input.what_if {
            return Ok(StageOutcome::Done(denied(ctx, &bench)));
        }
        let shift = Shift { ctx, bench: &bench };
        let Some(version) = shift.merge().await? else {
            return Ok(wait(ctx, "other changes are being merged into the same repository"));
        };
        let deploy = &ctx.input.settings.deploy;
        let Some(_turn) = shift.take_turn().await? else {
            return Ok(wait(
                ctx,
                &format!("something else is being deployed to `{}`", deploy.environment),
            ));
        };
        let id = rollout::deployment_id(ctx, &version);
        rollout::deploy(ctx, &bench, &version, &id).await?;
        Ok(StageOutcome::Done(json!({
            "environment": deploy.environment,
            "version": version,
            "deployment_id": id,
            "verified": true,
            "merged_into": deploy.merge.then_some(bench.base.branch.as_str()),
        })))
    }
}

/// What is merged, once it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MergedAs {
    commit: String,
    base: String,
}

/// One attempt.
struct Shift<'a> {
    ctx: &'a StageContext,
    bench: &'a Workbench,
}

impl Shift<'_> {
    /// The commit to deploy; none while others are merging.
    async fn merge(&self) -> Result<Option<String>, Failure> {
        let (ctx, bench) = (self.ctx, self.bench);
        let change = self.change().await?;
        if !ctx.input.settings.deploy.merge {
            return Ok(Some(change.head_sha));
        }
        let forge = bench.forge(ctx)?;
        let merge = Merge {
            execution: ctx.input.execution_id,
            title: &ctx.input.task.title,
            change: &change,
            patience: PATIENCE,
        };
        let Landing::Landed { commit, was_before } = forge.merge(&merge, self).await? else {
            return Ok(None);
        };
        let (number, base) = (change.number, change.base);
        let when = if was_before { "had been merged before" } else { "is merged" };
        ctx.log(format!("change request #{number} {when} into `{base}` as {commit}"));
        let merged = MergedAs { commit: commit.clone(), base };
        ctx.step("merge", async { Ok(merged) }).await?;
        Ok(Some(commit))
    }

    /// The change, at the commit that was validated.
    async fn change(&self) -> Result<ChangeRequest, Failure> {
        let (ctx, bench) = (self.ctx, self.bench);
        let found = bench.forge(ctx)?.find(ctx.input.execution_id).await?;
        let mut change = found.ok_or_else(|| {
            let said = "there is no change request to deploy";
            let hint = "a stage of kind `pr_creation` has to succeed before this one";
            Failure::new(ErrorKind::Permanent, format!("{said}; {hint}"))
        })?;
        let validated = text(ctx.output_of_kind("validation"), "head_sha");
        let proposed = || text(ctx.output_of_kind("pr_creation"), "head_sha");
        if let Some(head) = validated.or_else(proposed) {
            change.head_sha = head;
        }
        bench.mirror.need(&change.head_sha).await?;
        Ok(change)
    }

    /// The change is fine alone, so whoever mends it has to see it together with the base:
    /// `merge` makes the next round begin with that.
    async fn blame_merge(&self, red: Red, merge: &str) -> Result<Red, Failure> {
        let git = self.bench.mirror.git();
        let tip = git.text(["rev-parse", &format!("{merge}^1")]).await?;
        let head = git.text(["rev-parse", &format!("{merge}^2")]).await?;
        let base = &self.bench.base.branch;
        let summary = format!("merged with what came into `{base}` meanwhile, {}", red.summary);
        let facts = json!({"base": base, "base_commit": tip, "files": []});
        Ok(Red { summary, ..red }.with("merge", facts).with("commit", json!(head)))
    }

    /// The right to deploy to the environment; none while somebody else on this machine has it.
    async fn take_turn(&self) -> Result<Option<Lock>, Failure> {
        let path = self.lock_path();
        Ok(Lock::take_within(&path, PATIENCE, self.ctx.cancelled()).await?)
    }

    fn lock_path(&self) -> PathBuf {
        let environment = &self.ctx.input.settings.deploy.environment;
        let name: String =
            environment.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.bench.mirror.dir().with_extension(format!("deploy-{name}.lock"))
    }
}

#[async_trait]
impl Judge for Shift<'_> {
    async fn judge(&self, commit: &str) -> Result<(), Failure> {
        let ctx = self.ctx;
        ctx.log("the base has moved on since validation; checking what the merge makes of it");
        let place = format!("merge.{}", ctx.input.stage);
        let checkup = Checkup::of(ctx, self.bench, &place, commit).await?;
        match checkup.red {
            None => Ok(()),
            Some(red) => Err(self.blame_merge(red, commit).await?.into()),
        }
    }
}

/// The output of a what-if: nothing is merged and no line is run.
fn denied(ctx: &StageContext, bench: &Workbench) -> Value {
    let deploy = &ctx.input.settings.deploy;
    let validated = text(ctx.output_of_kind("validation"), "head_sha");
    let head = validated.unwrap_or_else(|| bench.current(ctx));
    let base = &bench.base.branch;
    ctx.log(format!("what-if: would have merged {head} into `{base}` and deployed it"));
    let merge = deploy.merge.then(|| json!({"commit": head, "into": base}));
    json!({
        "environment": deploy.environment, "version": head, "deployment_id": null,
        "verified": null, "merged_into": null,
        WOULD_HAVE: {"merge": merge, "deploy": deploy.command, "verify": deploy.verify},
    })
}

fn wait(ctx: &StageContext, detail: &str) -> StageOutcome {
    ctx.log(format!("waiting: {detail}"));
    StageOutcome::Wait(Wait {
        reason: WaitReason { kind: "timer".to_owned(), detail: detail.to_owned() },
        signal: None,
        wake_at: Some(ctx.clock().now() + TimeDelta::seconds(WAKE_SECONDS)),
        memo: Value::Null,
    })
}

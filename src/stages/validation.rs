//! The stage kind `validation`: the checks of exactly the proposed commit.
//!
//! Where the forge runs checks, this waits for them; where it runs none, they run here, in a clean
//! checkout. The commit is the proposed one, by its id; what is on the branch meanwhile is not asked.

use super::checkup::Checkup;
use super::red::Red;
use super::workbench::{Workbench, text};
use super::{StageContext, StageExecutor, StageOutcome, Wait};
use crate::clients::forge::{Check, Checks};
use crate::workflow::event::WaitReason;
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// How often a forge is asked when no word comes from it.
const POLL_SECONDS: i64 = 60;

/// Waits for the checks, or runs them.
pub(super) struct Validation;

#[async_trait]
impl StageExecutor for Validation {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["status", "checks", "head_sha"])
    }

    fn needs_repository(&self) -> bool {
        true
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let bench = Workbench::open(ctx).await?;
        let head = proposed(ctx, &bench).await?;
        bench.mirror.need(&head).await?;
        match bench.forge(ctx)?.checks(&head).await? {
            Checks::RunHere => {
                let place = format!("checks.{}", ctx.input.stage);
                let checkup = Checkup::of(ctx, &bench, &place, &head).await?;
                match checkup.red {
                    Some(red) => Err(red.with("head_sha", json!(head)).into()),
                    None => Ok(done(&checkup.checks, &head)),
                }
            }
            Checks::Pending { detail } => Ok(wait(ctx, detail)),
            Checks::Reported(checks) => match judge(&checks, &head) {
                Some(red) => Err(red.into()),
                None => Ok(done(&checks, &head)),
            },
        }
    }
}

/// The commit that was proposed: as the stage before said, else as the forge says.
async fn proposed(ctx: &StageContext, bench: &Workbench) -> Result<String, Failure> {
    if let Some(head) = text(ctx.output_of_kind("pr_creation"), "head_sha") {
        return Ok(head);
    }
    let change = bench.forge(ctx)?.find(ctx.input.execution_id).await?;
    change.map(|change| change.head_sha).ok_or_else(|| {
        let said = "there is no change request to validate";
        let hint = "a stage of kind `pr_creation` has to succeed before this one";
        Failure::new(ErrorKind::Permanent, format!("{said}; {hint}"))
    })
}

fn done(checks: &[Check], head: &str) -> StageOutcome {
    let status = if checks.is_empty() { "skipped" } else { "success" };
    let output: Value = json!({"status": status, "checks": checks, "head_sha": head});
    StageOutcome::Done(output)
}

fn wait(ctx: &StageContext, detail: String) -> StageOutcome {
    StageOutcome::Wait(Wait {
        reason: WaitReason { kind: "ci".to_owned(), detail },
        signal: Some("ci".to_owned()),
        wake_at: Some(ctx.clock().now() + TimeDelta::seconds(POLL_SECONDS)),
        memo: Value::Null,
    })
}

fn judge(checks: &[Check], head: &str) -> Option<Red> {
    let is_bad =
        |check: &&Check| !matches!(check.conclusion.as_str(), "success" | "skipped" | "neutral");
    let bad: Vec<&str> = checks.iter().filter(is_bad).map(|check| check.name.as_str()).collect();
    let summary = format!("checks failed: {}", bad.join(", "));
    let red = Red::new(summary.clone(), summary)
        .with("head_sha", json!(head))
        .with("commit", json!(head));
    (!bad.is_empty()).then(|| red.with("checks", json!(checks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_check_is_enough() {
        let check = |name: &str, conclusion: &str| Check {
            name: name.to_owned(),
            conclusion: conclusion.to_owned(),
            duration_ms: 1,
            command: String::new(),
        };
        let fine = [check("build", "success"), check("docs", "skipped")];
        assert_eq!(judge(&fine, "abc"), None);
        let bad = [check("build", "success"), check("lint", "timed_out"), check("test", "failure")];
        let red = judge(&bad, "abc").expect("red");
        assert_eq!(red.summary, "checks failed: lint, test");
        assert_eq!(red.facts["head_sha"], "abc");
    }
}

//! The stage kind `pr_creation`: proposes the commit on the forge, as the one change request of the
//! execution.

use super::workbench::{Workbench, no_github};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::clients::forge::Proposal;
use crate::config::run::{Forge, RunSettings};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::fork::WOULD_HAVE;
use async_trait::async_trait;
use serde_json::{Value, json};

/// Proposes the change.
pub(super) struct PrCreation;

#[async_trait]
impl StageExecutor for PrCreation {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["number", "url", "head_sha", "branch", "base"])
    }

    fn preflight(&self, settings: &RunSettings, _config: &Value) -> Vec<String> {
        match settings.forge {
            Forge::Local => Vec::new(),
            Forge::Github => vec![no_github().message],
        }
    }

    fn needs_repository(&self) -> bool {
        true
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let bench = Workbench::open(ctx).await?;
        let head = bench.current(ctx);
        if head == bench.base.commit {
            return Err(nothing_to_propose(&bench));
        }
        bench.mirror.need(&head).await?;
        if ctx.input.what_if {
            return Ok(StageOutcome::Done(denied(ctx, &bench, &head)));
        }
        let forge = bench.forge(ctx)?;
        let proposal = Proposal {
            execution: ctx.input.execution_id,
            title: &ctx.input.task.title,
            branch: &bench.branch,
            base: &bench.base.branch,
            head: &head,
        };
        let change = forge.propose(&proposal).await?;
        ctx.log(format!("change request #{}: {}", change.number, change.url));
        Ok(StageOutcome::Done(json!(change)))
    }
}

/// The output of a what-if: nothing is pushed and nothing is proposed.
fn denied(ctx: &StageContext, bench: &Workbench, head: &str) -> Value {
    let (branch, base) = (&bench.branch, &bench.base.branch);
    ctx.log(format!(
        "what-if: would have pushed {head} to `{branch}` and proposed it for `{base}`"
    ));
    json!({
        "number": null, "url": null, "head_sha": head, "branch": branch, "base": base,
        WOULD_HAVE: {
            "push": {"commit": head, "branch": branch},
            "propose": {"title": ctx.input.task.title, "branch": branch, "base": base},
        },
    })
}

fn nothing_to_propose(bench: &Workbench) -> Failure {
    let Workbench { base, .. } = bench;
    let said = format!("there is nothing to propose: no commit on top of `{}`", base.branch);
    let hint = "a stage of kind `code_generation` has to succeed, with a change, before this one";
    Failure::new(ErrorKind::Permanent, format!("{said}; {hint}"))
}

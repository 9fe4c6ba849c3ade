//! The stage kind `testing`: Longhaul runs the tests itself, in the worktree, on the very commit.
//!
//! Red tests send the work back with what failed. Which tests are run is settled before the work
//! begins, see `test_plan`.

use super::red::Red;
use super::suite::{self, Suite};
use super::test_plan;
use super::workbench::{TREE, Workbench};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::clients::test_run::{Outcome, TestPlan};
use crate::config::run::Verdict as Policy;
use crate::workflow::failure::Failure;
use async_trait::async_trait;
use serde_json::{Value, json};

/// Runs the tests.
pub(super) struct Testing;

#[async_trait]
impl StageExecutor for Testing {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec![
            "passed",
            "failed",
            "skipped",
            "failures",
            "coverage",
            "framework",
            "command",
            "duration_ms",
            "exit_code",
            "notes",
            "commit",
            "warnings",
        ])
    }

    fn needs_repository(&self) -> bool {
        true
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let bench = Workbench::open(ctx).await?;
        let commit = bench.current(ctx);
        bench.mirror.need(&commit).await?;
        let Some(plan) = test_plan::find(ctx, &bench, &commit).await? else {
            return without_tests(ctx, &commit);
        };
        ctx.log(format!("commit {commit}; tests: `{}` ({})", plan.command, plan.why));
        let place = bench.enter(ctx, TREE).await?;
        place.checkout(&bench.mirror, &bench.head(&commit)).await?;
        suite::set_up(ctx, &bench, place.dir()).await?;
        ctx.progress("the tests run", None).await?;
        let suite = Suite::run(ctx, &bench, place.dir(), &plan).await?;
        place.settle()?;
        keep(ctx, &bench, &suite);
        ctx.log(suite.summary());
        match suite.red(ctx) {
            Some(red) => Err(red.with("commit", json!(commit)).into()),
            None => Ok(StageOutcome::Done(output(&suite, &commit))),
        }
    }
}

fn output(suite: &Suite<'_>, commit: &str) -> Value {
    let warnings = match suite.verdict.outcome {
        Outcome::NoTests => vec![format!("`{}` ran no test", suite.plan.command)],
        Outcome::Passed | Outcome::Failed | Outcome::Inconclusive(_) => Vec::new(),
    };
    let mut output = suite.figures();
    if let Value::Object(fields) = &mut output {
        fields.insert("commit".to_owned(), json!(commit));
        fields.insert("warnings".to_owned(), json!(warnings));
    }
    output
}

/// The repository has no tests, and no setting names any.
fn without_tests(ctx: &StageContext, commit: &str) -> Result<StageOutcome, Failure> {
    let what = "no tests were found in the repository";
    if ctx.input.settings.policy.no_tests == Policy::Reject {
        let red: Red = suite::none_found(what);
        return Err(red.with("commit", json!(commit)).into());
    }
    ctx.log(format!("warning: {what}"));
    let plan = TestPlan::default();
    Ok(StageOutcome::Done(json!({
        "passed": 0, "failed": 0, "skipped": 0, "failures": [], "coverage": null,
        "framework": plan.framework, "command": null, "duration_ms": 0, "exit_code": null,
        "notes": [], "commit": commit, "warnings": [what],
    })))
}

/// The whole result, every failure in full, beside the worktree; events hold the gist of it.
fn keep(ctx: &StageContext, bench: &Workbench, suite: &Suite<'_>) {
    let dir = bench.workspace.join("results");
    let path = dir.join(format!("{}-{}.json", ctx.input.stage, ctx.input.attempt));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(&path, serde_json::to_vec_pretty(&suite.verdict)?)
    };
    match write() {
        Ok(()) => ctx.log(format!("full result: {}", path.display())),
        Err(error) => ctx.log(format!("the full result could not be kept: {error}")),
    }
}

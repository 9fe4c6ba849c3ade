//! Which tests judge the work: the configured ones, else those that the repository had *before* the
//! work began, so that nobody can pass by changing what is run.

use super::StageContext;
use super::workbench::{Workbench, text};
use crate::clients::process::Environment;
use crate::clients::test_run::{self, TestPlan};
use crate::workflow::failure::Failure;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The tests to run on `commit`; none when neither the base nor the commit has any.
pub(super) async fn find(
    ctx: &StageContext,
    bench: &Workbench,
    commit: &str,
) -> Result<Option<TestPlan>, Failure> {
    if let Some(plan) = configured(ctx).or_else(|| known(ctx, bench)) {
        return Ok(Some(plan));
    }
    let place = bench.enter(ctx, "base").await?;
    let mut found = None;
    for commit in [bench.base.commit.as_str(), commit] {
        place.checkout(&bench.mirror, &bench.head(commit)).await?;
        found = detect(place.dir());
        if found.is_some() {
            break;
        }
    }
    place.clear().await?;
    Ok(found)
}

/// The command that a setting names.
pub(super) fn configured(ctx: &StageContext) -> Option<TestPlan> {
    let command = ctx.input.settings.test.command.clone()?;
    Some(TestPlan { command, why: "test.command".to_owned(), ..TestPlan::default() })
}

/// What analysis found, as long as it looked at the commit that the change is built on.
fn known(ctx: &StageContext, bench: &Workbench) -> Option<TestPlan> {
    let output = ctx.output_of_kind("analysis");
    if text(output, "base_commit")? != bench.base.commit {
        return None;
    }
    serde_json::from_value(output?.get("test_plan")?.clone()).ok()
}

/// The tests that the files in `tree` call for.
pub(super) fn detect(tree: &Path) -> Option<TestPlan> {
    let env = Environment::harmless(&[]);
    let path = env.get("PATH").map(|path| path.to_owned()).unwrap_or_default();
    let which =
        |program: &str| std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)));
    test_run::detect(tree, &which).into_iter().next()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

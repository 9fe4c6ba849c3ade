//! The stage kind `analysis`: reads the repository and plans, by rules and without a model.
//!
//! It looks at the commit that the execution starts from, so that later stages know what was true
//! before any work began: above all, which tests there were. Runs nothing of the repository.

use super::test_plan;
use super::workbench::{TREE, Workbench};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::clients::git::name_some;
use crate::clients::test_run::{TestPlan, languages};
use crate::task::{Task, TaskType};
use crate::workflow::failure::Failure;
use async_trait::async_trait;
use serde_json::{Value, json};

/// A name that fits more files than this says nothing.
const MATCHES_MAX: usize = 5;

/// Reads and plans.
pub(super) struct Analysis;

#[async_trait]
impl StageExecutor for Analysis {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec![
            "summary",
            "plan",
            "affected_files",
            "test_command",
            "test_plan",
            "risk_factors",
            "acceptance_criteria",
            "complexity",
            "languages",
            "files_total",
            "base",
            "base_commit",
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
        let place = bench.enter(ctx, TREE).await?;
        place.checkout(&bench.mirror, &bench.head(&bench.base.commit)).await?;
        let asked = ["ls-tree", "-r", "-z", "--name-only", &bench.base.commit];
        let files: Vec<String> = bench.mirror.git().run(asked).await?.fields().collect();
        let found = Found {
            languages: languages(place.dir()),
            plan: test_plan::configured(ctx).or_else(|| test_plan::detect(place.dir())),
            named: named_files(&ctx.input.task, &files),
            files_total: files.len(),
        };
        place.settle()?;
        let output = found.output(&ctx.input.task, &bench);
        ctx.log(output["summary"].as_str().unwrap_or_default());
        for warning in output["warnings"].as_array().into_iter().flatten() {
            ctx.log(format!("warning: {}", warning.as_str().unwrap_or_default()));
        }
        Ok(StageOutcome::Done(output))
    }
}

struct Found {
    languages: Vec<(String, usize)>,
    plan: Option<TestPlan>,
    named: Named,
    files_total: usize,
}

/// The files that the task names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    there: Vec<String>,
    missing: Vec<String>,
}

/// A name is a path, or the end of one: `login.js` is `src/auth/login.js` if that is the only one, or
/// one of a few.
fn named_files(task: &Task, files: &[String]) -> Named {
    let mut named = Named::default();
    for name in &task.affected_files {
        let wanted = name.trim_start_matches("./");
        let end = format!("/{wanted}");
        let fits = |file: &&String| *file == wanted || file.ends_with(&end);
        let exact = files.iter().find(|file| *file == wanted);
        let matches: Vec<String> = match exact {
            Some(file) => vec![file.clone()],
            None => files.iter().filter(fits).cloned().collect(),
        };
        match matches.len() {
            1..=MATCHES_MAX => named.there.extend(matches),
            _ => named.missing.push(name.clone()),
        }
    }
    named.there.dedup();
    named
}

impl Found {
    fn output(&self, task: &Task, bench: &Workbench) -> Value {
        let risks: Vec<Value> = task.risk_factors.iter().map(|risk| json!(risk)).collect();
        let criteria: Vec<&str> =
            task.acceptance_criteria.iter().map(|c| c.text.as_str()).collect();
        let languages: Vec<Value> = self
            .languages
            .iter()
            .take(8)
            .map(|(name, files)| json!({"name": name, "files": files}))
            .collect();
        json!({
            "summary": self.summary(task),
            "plan": self.plan_of(task),
            "affected_files": self.named.there,
            "test_command": self.plan.as_ref().map(|plan| plan.command.as_str()),
            "test_plan": self.plan,
            "risk_factors": risks,
            "acceptance_criteria": criteria,
            "complexity": task.complexity,
            "languages": languages,
            "files_total": self.files_total,
            "base": bench.base.branch,
            "base_commit": bench.base.commit,
            "warnings": self.warnings(),
        })
    }

    fn summary(&self, task: &Task) -> String {
        let mut parts =
            vec![format!("{} in a repository of {} files", task.task_type, self.files_total)];
        if let Some((language, _)) = self.languages.first() {
            parts.push(format!("mostly {language}"));
        }
        if !self.named.there.is_empty() {
            parts.push(format!("names {}", name_some(&self.named.there)));
        }
        parts.push(match &self.plan {
            Some(plan) => format!("tests run with `{}`", plan.command),
            None => "no tests found".to_owned(),
        });
        parts.join("; ")
    }

    fn warnings(&self) -> Vec<String> {
        let missing =
            self.named.missing.iter().map(|name| format!("`{name}` is named but not there (yet)"));
        let hint = self.plan.as_ref().and_then(|plan| plan.hint.clone());
        let no_tests = self.plan.is_none().then(|| {
            "no tests were found; set `test.command`, or the work cannot be judged".to_owned()
        });
        missing.chain(hint).chain(no_tests).collect()
    }

    fn plan_of(&self, task: &Task) -> Vec<String> {
        let look = match self.named.there.as_slice() {
            [] => "Find the code that is concerned".to_owned(),
            files => format!("Read {}", name_some(files)),
        };
        let last = match &self.plan {
            Some(plan) => format!("Run `{}` and mend what fails", plan.command),
            None => "Check that everything still works".to_owned(),
        };
        let steps = steps(task.task_type).iter().map(|step| (*step).to_owned());
        std::iter::once(look).chain(steps).chain([last]).collect()
    }
}

/// What each type of work needs, between looking and testing.
fn steps(task_type: TaskType) -> &'static [&'static str] {
    match task_type {
        TaskType::Feature => &[
            "Write a test for each acceptance criterion",
            "Implement the feature in the style of the code around it",
            "Document what a user can see",
        ],
        TaskType::Bugfix => {
            &["Reproduce the defect with a test that fails", "Mend the cause, not the symptom"]
        }
        TaskType::Hotfix => &[
            "Reproduce the defect with a test that fails",
            "Make the smallest change that mends it",
        ],
        TaskType::Refactor => &[
            "Make sure that tests cover the present behaviour",
            "Change the structure in small steps; behaviour does not change",
        ],
        TaskType::Experimental => &["Build the smallest thing that answers the question"],
        TaskType::Docs => &["Write it for somebody who sees this for the first time"],
        TaskType::Test => &["Write tests that fail when the behaviour breaks"],
        TaskType::Chore => &["Make the change, and nothing else"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are() {
        let files: Vec<String> =
            ["src/auth/login.js", "src/a/mod.rs", "src/b/mod.rs", "README.md", "docs/README.md"]
                .map(str::to_owned)
                .into();
        let cases: [(&str, &[&str], bool); 5] = [
            ("login.js", &["src/auth/login.js"], false),
            ("./src/auth/login.js", &["src/auth/login.js"], false),
            ("mod.rs", &["src/a/mod.rs", "src/b/mod.rs"], false),
            ("README.md", &["README.md"], false),
            ("ogin.js", &[], true),
        ];
        for (name, there, is_missing) in cases {
            let json = json!({"title": "t", "description": "d", "type": "chore", "affected_files": [name]});
            let task: Task = serde_json::from_value(json).expect("task");
            let named = named_files(&task, &files);
            assert_eq!(
                (named.there.as_slice(), !named.missing.is_empty()),
                (there.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>().as_slice(), is_missing),
                "{name}"
            );
        }
    }
}

//! What an agent must not do, and what is said when it does.
//!
//! Each finding is judged by its policy: allowed, a warning in the output and the log, or the reason
//! why the attempt is rejected. All findings are said at once.

use super::super::StageContext;
use super::super::red::Red;
use super::super::workbench::Workbench;
use super::start::Start;
use crate::clients::git::{GitError, Outside, name_some};
use crate::clients::test_run::{TestDelta, test_count_delta};
use crate::config::run::Verdict;
use std::cmp::Ordering;
use std::path::Path;

/// How many findings are told.
const SAID_MAX: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// To be told.
    pub(super) warnings: Vec<String>,
    rejections: Vec<String>,
}

impl Findings {
    /// Judges the tree that an agent left.
    pub(super) async fn of(
        ctx: &StageContext,
        bench: &Workbench,
        start: &Start,
        tree: &str,
        dir: &Path,
        is_user_disturbed: bool,
    ) -> Result<Findings, GitError> {
        let policy = &ctx.input.settings.policy;
        let mut findings = Findings::default();
        if start.is_same(tree) {
            findings.add(policy.empty_diff, nothing_changed(ctx));
        }
        let changes = bench.mirror.changes(&start.base_commit, tree).await?;
        for outside in bench.mirror.outside(&changes, dir).await? {
            findings.add(policy.outside, outside_said(&outside));
        }
        if is_user_disturbed && policy.outside != Verdict::Allow {
            // The user may have worked in it meanwhile, so this is never more than a warning.
            let path = bench.mirror.source().path().display();
            findings
                .add(Verdict::Warn, format!("files in {path} changed while the agent was at work"));
        }
        findings.judge_tests(policy.deleted_tests, bench, start, tree).await?;
        findings.judge_markers(bench, start, tree).await?;
        Ok(findings)
    }

    fn add(&mut self, verdict: Verdict, said: String) {
        let list = match verdict {
            Verdict::Allow => return,
            Verdict::Warn => &mut self.warnings,
            Verdict::Reject => &mut self.rejections,
        };
        // Whoever makes a thousand links out of the worktree is told of the first few.
        match list.len().cmp(&SAID_MAX) {
            Ordering::Less => list.push(said),
            Ordering::Equal => list.push("and more of the same".to_owned()),
            Ordering::Greater => {}
        }
    }

    async fn judge_tests(
        &mut self,
        verdict: Verdict,
        bench: &Workbench,
        start: &Start,
        tree: &str,
    ) -> Result<(), GitError> {
        if verdict == Verdict::Allow {
            return Ok(());
        }
        match bench.mirror.patch(&start.base_commit, tree).await {
            Ok(patch) => {
                let delta = test_count_delta(&patch);
                if delta.weakens_tests() {
                    self.add(verdict, tests_taken_away(&delta));
                }
                Ok(())
            }
            Err(error @ GitError::TooMuch { .. }) => {
                self.add(Verdict::Warn, format!("tests were not compared: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A conflict that was left as it is cannot be what anybody wants, so no policy allows it.
    async fn judge_markers(
        &mut self,
        bench: &Workbench,
        start: &Start,
        tree: &str,
    ) -> Result<(), GitError> {
        if start.conflicts.is_empty() {
            return Ok(());
        }
        let asked = ["grep", "-l", "-I", "-E", "-e", "^(<{7}|>{7}) ", tree, "--"];
        let args = asked.into_iter().chain(start.conflicts.iter().map(String::as_str));
        let args: Vec<String> = args.map(str::to_owned).collect();
        let found = bench.mirror.git().ask(&args, None).await?.text();
        if !found.is_empty() {
            let files: Vec<&str> = found
                .lines()
                .map(|line| line.split_once(':').map_or(line, |(_, file)| file))
                .collect();
            let said = format!("conflict markers are left in: {}", name_some(files));
            self.add(
                Verdict::Reject,
                format!("{said}; resolve each conflict and remove its markers"),
            );
        }
        Ok(())
    }

    /// The rejection, if there is a reason for one.
    pub(super) fn red(&self) -> Option<Red> {
        let summary = self.rejections.join("; ");
        (!summary.is_empty())
            .then(|| Red::new(format!("the agent's work was not accepted: {summary}"), summary))
    }
}

fn nothing_changed(ctx: &StageContext) -> String {
    let hint = "its log says what it did; does it edit files in the directory it is started in?";
    match ctx.input.repair_loop {
        0 => format!("the agent changed nothing; {hint} (`policy.empty_diff` allows it)"),
        n => {
            let asked = ctx.input.feedback["message"].as_str().unwrap_or("nothing was said");
            format!(
                "the agent changed nothing in repair loop {n}, though it was told: {asked}; {hint}"
            )
        }
    }
}

fn outside_said(outside: &Outside) -> String {
    format!("{outside}; the change must stay inside, or allow it with `policy.outside=warn`")
}

fn tests_taken_away(delta: &TestDelta) -> String {
    let mut said = Vec::new();
    if !delta.deleted_files.is_empty() {
        said.push(format!("deleted: {}", name_some(&delta.deleted_files)));
    }
    if delta.removed_tests > 0 {
        let (removed, added) = (delta.removed_tests, delta.added_tests);
        said.push(format!("{removed} removed, {added} added"));
    }
    if delta.newly_ignored > 0 {
        said.push(format!("{} disabled", delta.newly_ignored));
    }
    format!(
        "tests were taken away ({}); keep them, or allow it with `policy.deleted_tests=warn`",
        said.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_decides_what_a_finding_means() {
        let mut findings = Findings::default();
        findings.add(Verdict::Allow, "a".to_owned());
        findings.add(Verdict::Warn, "b".to_owned());
        assert_eq!(
            (findings.red(), findings.warnings.as_slice()),
            (None, ["b".to_owned()].as_slice())
        );
        findings.add(Verdict::Reject, "c".to_owned());
        findings.add(Verdict::Reject, "d".to_owned());
        assert_eq!(findings.red().map(|red| red.feedback), Some("c; d".to_owned()));
        (0..100).for_each(|n| findings.add(Verdict::Warn, n.to_string()));
        assert_eq!(findings.warnings.len(), SAID_MAX + 1);
    }

    #[test]
    fn tests_that_went_are_named() {
        let delta = TestDelta {
            deleted_files: vec!["tests/a.rs".to_owned()],
            removed_tests: 3,
            added_tests: 1,
            newly_ignored: 2,
        };
        let said = tests_taken_away(&delta);
        assert!(said.contains("(deleted: tests/a.rs; 3 removed, 1 added; 2 disabled)"), "{said}");
    }
}

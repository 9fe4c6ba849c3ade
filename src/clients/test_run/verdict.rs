//! Decides what a test run means: the figures that were read, held against the exit code.
//!
//! Neither is believed against the other. A test may print `999 passed`, and a script may swallow an
//! exit code: a run has passed only when the command ended well *and* nothing says that a test
//! failed. Does not know how any framework prints.

use serde::{Deserialize, Serialize};

use super::coverage;
use super::detect::TestPlan;
use super::readers::Framework;
use super::summary::{Failure, Reading, Summary};
use super::text::{self, Lines};

/// What a test run means for the work that it judges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command ended well, and no test failed.
    Passed,
    /// A test failed, or the command ended with an error.
    Failed,
    /// Nothing was executed: no tests were found, or all of them were skipped.
    NoTests,
    /// It cannot be said, for this reason; nothing that a change of the code would mend.
    Inconclusive(String),
}

/// A test run, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What it means.
    pub outcome: Outcome,
    /// The figures.
    pub summary: Summary,
    /// The exit code of the command; `None` when it was killed.
    pub exit_code: Option<i32>,
    /// Remarks for whoever reads the result, such as why figures and exit code disagree.
    pub notes: Vec<String>,
}

impl Verdict {
    /// The same verdict with paths below `root` made relative to it: the folder of a worktree is of no use
    /// to anybody else, and does not belong into a pull request.
    pub fn relative_to(mut self, root: &str) -> Self {
        let root = root.trim_end_matches('/');
        if root.is_empty() {
            return self;
        }
        let prefix = format!("{root}/");
        let shorten = |text: &mut String| {
            if text.contains(&prefix) {
                *text = text.replace(&prefix, "");
            }
        };
        for failure in &mut self.summary.failures {
            shorten(&mut failure.name);
            shorten(&mut failure.message);
            failure.file.as_mut().map(shorten);
        }
        self
    }
}

/// How many of the last lines stand for a failure that nothing else explains.
const LAST_LINES: usize = 30;

/// Reads the output of a test command (standard output and error as they came, invalid UTF-8
/// replaced) and judges the run.
///
/// `plan` is the plan that was run, if there was one: its framework is looked for first. A plan that
/// names a framework whose closing lines are missing although the command ended well gives
/// [`Outcome::Inconclusive`]; without a named framework the exit code alone decides, and a note says so.
/// Takes time linear in the length of the output.
pub fn read(output: &str, exit_code: Option<i32>, plan: Option<&TestPlan>) -> Verdict {
    read_with_report(output, exit_code, plan, None)
}

/// Like [`read`], with the figures of the report files that the run wrote (see
/// [`super::collect_report`]); they are taken for the counts where they say more than the console.
pub fn read_with_report(
    output: &str,
    exit_code: Option<i32>,
    plan: Option<&TestPlan>,
    report: Option<Summary>,
) -> Verdict {
    let text = text::clean(output);
    let mut lines = Lines::new(&text);
    let planned = plan.map_or(Framework::Unknown, |plan| plan.framework);
    let mut found = recognise(&mut lines, planned);
    if let Some(report) = report {
        found.add_report(report, planned);
    }
    found.summary.coverage = coverage::total(&lines);
    if lines.omission().is_some() {
        found.notes.push(
            "the middle of the output was left out; the figures are those of the rest".to_owned(),
        );
        found.summary.complete &= !found.summary.framework.prints_parts();
    }
    let judgement = judge(&found, exit_code, planned);
    finish(judgement, found, &lines, exit_code, plan)
}

/// What the readers found, all together.
struct Found {
    summary: Summary,
    /// Some framework was recognised.
    recognised: bool,
    says_none: bool,
    notes: Vec<String>,
}

/// Lets the readers look, the planned framework's first. When that one is found the others are not
/// asked: what looks like theirs is then printed by a test.
fn recognise(lines: &mut Lines<'_>, planned: Framework) -> Found {
    let family = planned.family();
    let found = gather(lines, family.iter().copied());
    if found.recognised {
        return found;
    }
    let others = Framework::ALL.iter().filter(|framework| !family.contains(framework));
    let mut found = gather(lines, others.copied());
    if !found.recognised {
        found.summary.framework = planned;
    }
    found
}

fn gather(lines: &mut Lines<'_>, frameworks: impl Iterator<Item = Framework>) -> Found {
    let mut readings: Vec<(Framework, Reading)> = Vec::new();
    for framework in frameworks {
        let reading = framework.reader().and_then(|read| read(lines));
        readings.extend(reading.map(|reading| (framework, reading)));
    }
    let mut found = Found {
        summary: Summary::default(),
        recognised: !readings.is_empty(),
        says_none: !readings.is_empty() && readings.iter().all(|(_, reading)| reading.says_none),
        notes: readings.iter().filter_map(|(_, r)| r.note).map(str::to_owned).collect(),
    };
    if readings.len() > 1 {
        let names: Vec<&str> = readings.iter().map(|(framework, _)| framework.name()).collect();
        found.notes.push(format!("the figures are summed over {}", names.join(" and ")));
    }
    let summaries =
        readings.into_iter().map(|(framework, reading)| reading.into_summary(framework));
    let sum = summaries.reduce(|mut all, part| {
        all.add(part);
        all
    });
    found.summary = sum.unwrap_or_default();
    found
}

impl Found {
    /// Takes the counts of report files, unless the console knows of more failures.
    fn add_report(&mut self, report: Summary, planned: Framework) {
        let console = &self.summary;
        if report.executed() == 0 || report.failed < console.failed {
            return;
        }
        let framework = match (self.recognised, planned) {
            (true, _) => console.framework,
            (false, Framework::Unknown) => report.framework,
            (false, planned) => planned,
        };
        let mut failures = report.failures;
        if console.failed == 0 {
            // What the console says besides tests: compile errors of another module.
            failures.extend(console.failures.iter().cloned());
        }
        self.summary = Summary { failures, framework, ..report };
        self.recognised = true;
        self.says_none = false;
        self.notes.retain(|note| !note.starts_with("gradle prints figures"));
    }
}

/// An outcome, and a remark on how it came about.
type Judgement = (Outcome, Option<String>);

fn judge(found: &Found, exit_code: Option<i32>, planned: Framework) -> Judgement {
    let summary = &found.summary;
    let something_failed = summary.failed > 0 || !summary.failures.is_empty();
    match exit_code {
        None if something_failed => {
            (Outcome::Failed, Some("the command was killed before it ended".to_owned()))
        }
        None => {
            let reason = "the command ended without an exit code: it was killed or timed out";
            (Outcome::Inconclusive(reason.to_owned()), None)
        }
        Some(0) if something_failed => {
            let note = "the command ended with exit code 0 although there were failures";
            (Outcome::Failed, Some(note.to_owned()))
        }
        Some(0) => judge_good_end(found, planned),
        Some(code) => judge_bad_end(found, code, planned, something_failed),
    }
}

/// Exit code 0 and no failure in sight.
fn judge_good_end(found: &Found, planned: Framework) -> Judgement {
    let summary = &found.summary;
    if summary.passed > 0 {
        return (Outcome::Passed, None);
    }
    if found.recognised && (found.says_none || summary.complete || summary.skipped > 0) {
        let note = match summary.skipped {
            0 => "no test was executed".to_owned(),
            skipped => format!("no test was executed: all {skipped} were skipped"),
        };
        return (Outcome::NoTests, Some(note));
    }
    if !found.recognised && planned != Framework::Unknown {
        let name = planned.name();
        let reason = format!(
            "the command ended with exit code 0, but printed no result of {name}; to have it judged \
             by its exit code alone, set `test.command`"
        );
        return (Outcome::Inconclusive(reason), None);
    }
    (Outcome::Passed, Some("judged by its exit code alone".to_owned()))
}

fn judge_bad_end(found: &Found, code: i32, planned: Framework, failed: bool) -> Judgement {
    let executed = found.summary.executed() > 0;
    let python = [found.summary.framework, planned]
        .iter()
        .any(|framework| matches!(framework, Framework::Pytest | Framework::Unittest));
    // Both Python runners end with 5 when they collected nothing.
    if !executed && !failed && (found.says_none || (code == 5 && python)) {
        return (Outcome::NoTests, Some(format!("no test was found (exit code {code})")));
    }
    // The shell's codes for a program that it could not start. No change of the code mends that.
    if !found.recognised && matches!(code, 126 | 127) {
        let reason = format!("the test command could not be started (exit code {code})");
        return (Outcome::Inconclusive(reason), None);
    }
    let note = match code {
        124 => Some("exit code 124: `timeout` stopped the command".to_owned()),
        129..=165 => Some(format!("exit code {code}: ended by signal {}", code - 128)),
        _ if failed => None,
        _ if executed => Some(format!("exit code {code} although no test failed")),
        _ => None,
    };
    (Outcome::Failed, note)
}

fn finish(
    (outcome, note): Judgement,
    found: Found,
    lines: &Lines<'_>,
    exit_code: Option<i32>,
    plan: Option<&TestPlan>,
) -> Verdict {
    let Found { mut summary, recognised, mut notes, .. } = found;
    notes.extend(note);
    let went_wrong = matches!(outcome, Outcome::Failed | Outcome::Inconclusive(_));
    summary.complete &= recognised && !matches!(outcome, Outcome::Inconclusive(_));
    if went_wrong && summary.failures.is_empty() {
        summary.failures.extend(last_words(lines, exit_code));
    }
    if went_wrong && summary.executed() == 0 {
        notes.extend(plan.and_then(|plan| plan.hint.clone()));
    }
    Verdict { outcome, summary, exit_code, notes }
}

/// The end of the output, for a failure that nothing else explains.
fn last_words(lines: &Lines<'_>, exit_code: Option<i32>) -> Option<Failure> {
    let last = lines.last_useful(LAST_LINES);
    if last.is_empty() {
        return None;
    }
    let name = match exit_code {
        Some(0) | None => "end of the output".to_owned(),
        Some(code) => format!("the command failed with exit code {code}"),
    };
    Some(Failure::new(name, last))
}

//! Which test commands a repository wants, read off its files.
//!
//! Never runs anything and never installs anything: when dependencies look missing, the plan carries a
//! hint that says what to set. Which programs exist is asked of the caller.
//!
//! To add a language: a detector in one of the files below, and its line in `NATIVE` or `GENERIC`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::languages;
use super::readers::Framework;

mod generic;
mod javascript;
mod jvm;
mod node_packages;
mod others;
mod php;
mod python;
mod ruby;
mod rust;
pub(super) mod tree;

use tree::{Project, Tree};

/// A test command that a repository wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestPlan {
    /// The language of the project, e.g. `Rust`; empty for a Makefile and the like.
    pub language: String,
    /// The command, for `sh -c` in the root of the repository.
    pub command: String,
    /// The framework that will print the results, when it can be told.
    pub framework: Framework,
    /// The file that gave the command, e.g. `Cargo.toml`, with the reason where that is not plain.
    pub why: String,
    /// Where the run leaves report files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportFile>,
    /// What seems to be missing and which setting would mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Report files that a test run writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFile {
    /// Path from the root of the repository; `*` stands for anything in one name, `**` for folders.
    pub path: String,
    /// The format of the files.
    pub format: ReportFormat,
}

/// The format of a report file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportFormat {
    /// JUnit's XML.
    Junit,
}

/// Asks whether a program can be found.
pub(super) type Which<'w> = &'w dyn Fn(&str) -> bool;

/// A detector: the plans for the project in a folder, most specific first.
type Detector = fn(&Project<'_>, Which<'_>) -> Vec<TestPlan>;

/// Detectors that know a language and its test tool.
const NATIVE: &[Detector] = &[
    rust::detect,
    python::detect,
    javascript::detect,
    jvm::detect,
    ruby::detect,
    php::detect,
    others::detect,
    generic::native,
];

/// Detectors of a test target whose tool is not known.
const GENERIC: &[Detector] = &[generic::detect];

/// The test commands that the repository at `root` wants, in order of preference.
///
/// First those of languages, the language with the most files first; then general ones (a Makefile, a
/// script). Only when the root has none are the folders directly below it looked at; such a plan changes
/// into its folder and names it in `why`. `which` says whether a program is on the path. Reads a bounded
/// number of files and never fails: what cannot be read is not there.
pub fn detect(root: &Path, which: &dyn Fn(&str) -> bool) -> Vec<TestPlan> {
    let tree = Tree::new(root);
    let project = tree.project("");
    let mut plans = run(NATIVE, &project, which);
    let counts = languages::count(tree.files());
    // A stable sort: within a language the detector's order stays.
    plans.sort_by_key(|plan| std::cmp::Reverse(languages::files_of(&counts, &plan.language)));
    plans.extend(run(GENERIC, &project, which));
    if plans.is_empty() {
        let folders = tree.folders();
        plans.extend(folders.iter().flat_map(|folder| in_folder(&tree, folder, which)));
    }
    plans
}

fn run(detectors: &[Detector], project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    detectors.iter().flat_map(|detect| detect(project, which)).collect()
}

/// The plans of a project in a folder below the root.
fn in_folder(tree: &Tree, folder: &str, which: Which<'_>) -> Vec<TestPlan> {
    let project = tree.project(folder);
    let mut plans = run(NATIVE, &project, which);
    if plans.is_empty() {
        plans = run(GENERIC, &project, which);
    }
    for plan in &mut plans {
        plan.command = format!("cd {} && {}", quoted(folder), plan.command);
        plan.why = format!("{folder}/{}", plan.why);
        if let Some(report) = &mut plan.report {
            report.path = format!("{folder}/{}", report.path);
        }
    }
    plans
}

impl TestPlan {
    fn new(language: &str, command: impl Into<String>, framework: Framework, why: &str) -> Self {
        Self {
            language: language.to_owned(),
            command: command.into(),
            framework,
            why: why.to_owned(),
            report: None,
            hint: None,
        }
    }

    fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    fn with_junit(mut self, path: &str) -> Self {
        self.report = Some(ReportFile { path: path.to_owned(), format: ReportFormat::Junit });
        self
    }
}

/// A hint that a program is missing.
fn missing_program(program: &str, which: Which<'_>) -> Option<String> {
    (!which(program)).then(|| format!("`{program}` is not on the path"))
}

/// A word for the shell. Names of files come from the repository and may hold anything.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./@".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

//! The figures of a test run: what every reader gives and what the stage `testing` reports.
//!
//! Plain data. Does not know how a framework prints them, nor whether the run is to be believed:
//! that is `verdict.rs`.

use serde::{Deserialize, Serialize};

use super::readers::Framework;
use super::text;

/// One test that failed, or one reason why tests could not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The test as its framework calls it, e.g. `tests/test_prices.py::test_add`. For something that
    /// is not a test it says what it is, e.g. `does not compile: src/lib.rs`.
    pub name: String,
    /// What went wrong, in the framework's words; at most about 2,000 characters, may be empty.
    pub message: String,
    /// The file as printed, often relative to the repository, when one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in `file`, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Failure {
    /// A failure whose message is made of the lines of a report.
    pub(super) fn new<'a>(
        name: impl Into<String>,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            name: text::bounded(name.into().trim(), NAME_CHARS_MAX),
            message: text::message(lines),
            file: None,
            line: None,
        }
    }

    /// The same failure at a place.
    pub(super) fn at(mut self, place: Option<(String, u64)>) -> Self {
        if let Some((file, line)) = place {
            self.file = Some(file);
            self.line = (line > 0).then_some(line);
        }
        self
    }
}

/// The longest name of a test that is kept, in characters.
const NAME_CHARS_MAX: usize = 300;

/// How many failures are kept one by one; `failed` counts them all.
pub(super) const FAILURES_MAX: usize = 200;

/// The figures of a test run.
///
/// ```json
/// {"passed": 12, "failed": 1, "skipped": 0, "framework": "pytest", "complete": true,
///  "coverage": 81.5, "failures": [{"name": "tests/test_a.py::test_b", "message": "...",
///  "file": "tests/test_a.py", "line": 12}]}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Tests that ran and held. An unexpected pass that the framework tolerates counts here.
    pub passed: u64,
    /// Tests that ran and did not hold: failures, errors, time-outs, crashes.
    pub failed: u64,
    /// Tests that were left out: skipped, ignored, pending, to do, or expected to fail and failing.
    pub skipped: u64,
    /// The failed tests, at most 200, and compile errors, which are not counted in `failed`.
    pub failures: Vec<Failure>,
    /// The framework whose results these are; of several, the one with the most tests.
    pub framework: Framework,
    /// Whether the framework's own closing figures were found for everything it ran.
    pub complete: bool,
    /// Covered share of lines or statements in percent, when a total was printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

impl Summary {
    /// Tests that were executed.
    pub fn executed(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    /// Adds the figures of another part of the same run.
    pub(super) fn add(&mut self, other: Summary) {
        if other.total() > self.total() {
            self.framework = other.framework;
        }
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.complete &= other.complete;
        self.coverage = self.coverage.or(other.coverage);
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_MAX);
    }

    fn total(&self) -> u64 {
        self.executed().saturating_add(self.skipped)
    }
}

/// What one reader found in an output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) failures: Vec<Failure>,
    /// The closing figures were there for every part that began.
    pub(super) complete: bool,
    /// The framework said in so many words that there was nothing to run.
    pub(super) says_none: bool,
    /// Something worth telling whoever reads the result.
    pub(super) note: Option<&'static str>,
}

impl Reading {
    /// A reading of figures, complete as long as nothing says otherwise.
    pub(super) fn figures(passed: u64, failed: u64, skipped: u64) -> Self {
        Self { passed, failed, skipped, complete: true, ..Self::default() }
    }

    /// A reading that says there was nothing to run.
    pub(super) fn none() -> Self {
        Self { complete: true, says_none: true, ..Self::default() }
    }

    /// Adds the figures of a further block of the same framework.
    pub(super) fn add(&mut self, other: Reading) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.complete &= other.complete;
        self.says_none |= other.says_none;
        self.note = self.note.or(other.note);
        self.fail_all(other.failures);
    }

    /// Adds several blocks; without any there is no reading.
    pub(super) fn sum(blocks: impl IntoIterator<Item = Reading>) -> Option<Reading> {
        blocks.into_iter().reduce(|mut all, block| {
            all.add(block);
            all
        })
    }

    /// How many tests it speaks of.
    pub(super) fn total(&self) -> u64 {
        self.passed.saturating_add(self.failed).saturating_add(self.skipped)
    }

    /// Keeps a failure, as long as there is room.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }

    /// Keeps failures, as long as there is room.
    pub(super) fn fail_all(&mut self, failures: impl IntoIterator<Item = Failure>) {
        let room = FAILURES_MAX.saturating_sub(self.failures.len());
        self.failures.extend(failures.into_iter().take(room));
    }

    /// The same figures under the name of their framework.
    pub(super) fn into_summary(self, framework: Framework) -> Summary {
        Summary {
            passed: self.passed,
            failed: self.failed,
            skipped: self.skipped,
            failures: self.failures,
            framework,
            complete: self.complete,
            coverage: None,
        }
    }
}

//! Runs nothing, but knows tests: which command a repository wants, what the output of a run says, and
//! what a change does to the tests.
//!
//! Longhaul believes no agent that says its tests pass. The stage `testing` asks [`detect`] for the
//! command (unless one is set), runs it, and gives what it printed to [`read`]; [`feedback`] turns a
//! failure into what the agent is told next. [`test_count_delta`] notices tests that were deleted or
//! disabled on the way.
//!
//! Pure but for two functions that read files, [`detect`] and [`collect_report`] (and [`languages`]).
//! Never: starts a process, looks at the environment, asks the clock.

mod coverage;
mod delta;
mod detect;
mod feedback;
mod languages;
mod readers;
mod report;
mod summary;
mod text;
mod verdict;

pub use delta::{TestDelta, is_test_path, test_count_delta};
pub use detect::{ReportFile, ReportFormat, TestPlan, detect};
pub use feedback::feedback;
pub use languages::languages;
pub use readers::Framework;
pub use readers::junit::read_junit;
pub use report::collect_report;
pub use summary::{Failure, Summary};
pub use verdict::{Outcome, Verdict, read, read_with_report};

#[cfg(test)]
mod tests;

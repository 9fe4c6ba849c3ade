//! How figures and exit code are weighed against each other.

use super::samples::sample;
use crate::clients::test_run::{
    Framework, Outcome, Summary, TestPlan, Verdict, read, read_with_report,
};

fn plan(framework: Framework) -> TestPlan {
    TestPlan { framework, hint: Some("set `test.setup`".to_owned()), ..TestPlan::default() }
}

fn with_plan(output: &str, exit_code: i32, framework: Framework) -> Verdict {
    read(output, Some(exit_code), Some(&plan(framework)))
}

#[test]
fn a_good_end_does_not_hide_failures() {
    let verdict = read(&sample("pytest_failing.txt"), Some(0), None);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert!(verdict.notes.iter().any(|note| note.contains("exit code 0 although")), "{verdict:?}");
}

#[test]
fn passing_figures_do_not_hide_a_bad_end() {
    let verdict = read(&sample("pytest_passing_coverage.txt"), Some(1), None);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert_eq!((verdict.summary.passed, verdict.summary.failed), (1, 0));
    // What went wrong (a coverage that is too low, say) stands at the end of the output.
    assert!(verdict.summary.failures[0].message.contains("1 passed, 8 deselected"));
    assert!(verdict.notes.iter().any(|note| note.contains("although no test failed")));
}

#[test]
fn a_test_that_prints_a_summary_changes_no_outcome() {
    let boast = "test result: ok. 999 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    let output = format!("{boast}{}{boast}", sample("cargo_failing.txt"));
    assert_eq!(read(&output, Some(101), None).outcome, Outcome::Failed);
    let output = format!("{boast}\nthread 'main' panicked\n");
    assert_eq!(read(&output, Some(101), None).outcome, Outcome::Failed);
}

#[test]
fn the_exit_code_alone_judges_what_nobody_knows() {
    let verdict = read("all fine\n", Some(0), None);
    assert_eq!(verdict.outcome, Outcome::Passed);
    assert_eq!((verdict.summary.passed, verdict.summary.complete), (0, false));
    assert!(verdict.notes.contains(&"judged by its exit code alone".to_owned()));
    assert_eq!(read("", Some(0), None).outcome, Outcome::Passed);
    assert_eq!(read("", Some(3), None).outcome, Outcome::Failed);
}

#[test]
fn a_planned_framework_must_be_heard_of() {
    let silent = with_plan("all fine\n", 0, Framework::Jest);
    assert!(matches!(silent.outcome, Outcome::Inconclusive(_)), "{silent:?}");
    let heard = with_plan(&sample("jest_passing_coverage.txt"), 0, Framework::Jest);
    assert_eq!(heard.outcome, Outcome::Passed);
    // A Makefile has no framework of its own.
    assert_eq!(with_plan("all fine\n", 0, Framework::Unknown).outcome, Outcome::Passed);
}

#[test]
fn another_framework_than_planned_is_recognised() {
    let verdict = with_plan(&sample("vitest_failing.txt"), 1, Framework::Jest);
    assert_eq!(verdict.summary.framework, Framework::Vitest);
    assert_eq!(verdict.summary.failed, 2);
}

#[test]
fn what_tests_of_the_planned_framework_print_is_not_counted() {
    let output = format!("{}{}", sample("tap_failing.txt"), sample("jest_passing_coverage.txt"));
    let verdict = with_plan(&output, 0, Framework::Jest);
    assert_eq!(verdict.outcome, Outcome::Passed);
    assert_eq!((verdict.summary.passed, verdict.summary.failed), (1, 0));
}

#[test]
fn documentation_tests_after_nextest_are_counted_as_well() {
    let output = format!("{}{}", sample("nextest_passing.txt"), sample("cargo_passing.txt"));
    let verdict = with_plan(&output, 0, Framework::Nextest);
    assert_eq!(verdict.summary.passed, 2);
    assert!(verdict.notes.iter().any(|note| note.contains("summed over")));
}

#[test]
fn nothing_to_run_is_no_success() {
    for name in ["cargo_none.txt", "go_none.txt", "unittest_none.txt", "phpunit_skipped_only.txt"] {
        assert_eq!(read(&sample(name), Some(0), None).outcome, Outcome::NoTests, "{name}");
    }
    // pytest says it by its exit code, even where it says nothing else.
    assert_eq!(with_plan("", 5, Framework::Pytest).outcome, Outcome::NoTests);
    assert_eq!(read("", Some(5), None).outcome, Outcome::Failed);
}

#[test]
fn a_command_that_was_killed_says_nothing_unless_tests_had_failed() {
    let verdict = read("running\n", None, None);
    assert!(matches!(verdict.outcome, Outcome::Inconclusive(_)));
    assert_eq!(read(&sample("jest_failing.txt"), None, None).outcome, Outcome::Failed);
}

#[test]
fn a_session_that_was_killed_is_counted_as_far_as_it_came() {
    let whole = sample("pytest_failing.txt");
    let output = &whole[..whole.find("= ERRORS =").expect("there is a report")];
    let verdict = read(output, None, Some(&plan(Framework::Pytest)));
    let summary = &verdict.summary;
    assert_eq!((summary.passed, summary.failed, summary.skipped), (3, 4, 2));
    assert!(!summary.complete);
}

#[test]
fn a_command_that_cannot_be_started_is_not_the_codes_fault() {
    let verdict = with_plan("sh: 1: jest: not found\n", 127, Framework::Jest);
    assert!(matches!(verdict.outcome, Outcome::Inconclusive(_)));
    assert!(
        verdict.notes.contains(&"set `test.setup`".to_owned()),
        "the hint of the plan is passed on"
    );
    assert!(verdict.summary.failures[0].message.contains("jest: not found"));
}

#[test]
fn signals_and_time_limits_are_named() {
    let notes = |code| read("", Some(code), None).notes.join("\n");
    assert!(notes(139).contains("signal 11"));
    assert!(notes(124).contains("`timeout`"));
}

fn report(passed: u64, failed: u64) -> Summary {
    Summary { passed, failed, complete: true, framework: Framework::Junit, ..Summary::default() }
}

#[test]
fn reports_give_the_figures_that_a_console_keeps_to_itself() {
    let plan = plan(Framework::Gradle);
    let console = sample("gradle_passing.txt");
    let without = read(&console, Some(0), Some(&plan));
    assert_eq!((without.summary.passed, without.summary.complete), (0, false));
    let with = read_with_report(&console, Some(0), Some(&plan), Some(report(7, 0)));
    assert_eq!(with.outcome, Outcome::Passed);
    assert_eq!((with.summary.passed, with.summary.complete), (7, true));
    assert_eq!(with.summary.framework, Framework::Gradle);
    assert_eq!(with.notes, Vec::<String>::new());
}

#[test]
fn reports_do_not_hide_failures_of_the_console() {
    let console = sample("gradle_failing.txt");
    let verdict = read_with_report(&console, Some(1), None, Some(report(7, 0)));
    assert_eq!(verdict.summary.failed, 2);
    // Nor does a report turn a bad end into a good one.
    let verdict = read_with_report("", Some(1), None, Some(report(7, 0)));
    assert_eq!(verdict.outcome, Outcome::Failed);
    // And failures in a report count although the command ended well.
    let verdict = read_with_report("", Some(0), None, Some(report(7, 1)));
    assert_eq!(verdict.outcome, Outcome::Failed);
}

#[test]
fn paths_can_be_made_relative_to_the_worktree() {
    let verdict = read(&sample("unittest_failing.txt"), Some(1), None).relative_to("/repo/");
    let failure = &verdict.summary.failures[0];
    assert_eq!(failure.file.as_deref(), Some("test_basket.py"));
    assert!(failure.message.contains("File \"test_basket.py\", line 12"), "{}", failure.message);
    let same = read(&sample("unittest_failing.txt"), Some(1), None);
    assert_eq!(same.clone().relative_to(""), same);
}

#[test]
fn a_verdict_survives_json() {
    let verdict = read(&sample("pytest_failing.txt"), Some(1), None);
    let json = serde_json::to_value(&verdict).expect("it is written");
    assert_eq!(json["outcome"], "failed");
    assert_eq!(json["summary"]["framework"], "pytest");
    assert_eq!(json["summary"]["failures"][0]["line"], 12);
    let back: Verdict = serde_json::from_value(json).expect("it is read");
    assert_eq!(back, verdict);
}

#[test]
fn coverage_is_read_whoever_prints_it() {
    let cases = [
        ("TOTAL                  6      3    50%", Some(50.0)),
        ("TOTAL   100   20   80.00%   10   2   75.00%   50   5   90.00%", Some(90.0)),
        ("All files      |   40.1 |        0 |      50 |    62.5 |", Some(62.5)),
        ("All files                |   50.00 |   66.67 |", Some(66.67)),
        ("# all files             |  81.82 |   100.00 |   44.44 |", Some(81.82)),
        ("total:\t\t\t\t(statements)\t\t75.3%", Some(75.3)),
        ("ok  \texample.com/shop\t0.002s\tcoverage: 71.4% of statements", Some(71.4)),
        ("75.00% coverage, 30/40 lines covered", Some(75.0)),
        ("Line Coverage: 80.0% (4 / 5)", Some(80.0)),
        ("  Lines:   85.71% ( 6/ 7)", Some(85.71)),
        ("    92.3% | Total", Some(92.3)),
        ("progress: 50% done", None),
        ("TOTAL 5", None),
    ];
    for (line, expected) in cases {
        assert_eq!(read(line, Some(0), None).summary.coverage, expected, "{line}");
    }
    let two = "ok  \ta\t0.1s\tcoverage: 71.4% of statements\nok  \tb\t0.1s\tcoverage: 10.0% of statements\n";
    assert_eq!(read(two, Some(0), None).summary.coverage, None, "a mean would be made up");
}

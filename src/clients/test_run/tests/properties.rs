//! What holds for any text.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::samples::sample;
use crate::clients::test_run::text::MESSAGE_CHARS_MAX;
use crate::clients::test_run::{
    Framework, Outcome, TestPlan, Verdict, feedback, read, read_junit, test_count_delta,
};

/// Lines of all samples: text made of them gets far into the readers.
fn all_lines() -> Vec<String> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test_run"));
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder exists")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".txt") || name.ends_with(".cases"))
        .collect();
    names.sort();
    names
        .iter()
        .flat_map(|name| sample(name).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn mixed_lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => proptest::sample::select(all_lines()),
        1 => any::<String>(),
        1 => "[0-9]{1,25} (passed|failed|tests?|skipped)[ ,:()0-9a-z]{0,20}",
    ];
    proptest::collection::vec(line, 0..80).prop_map(|lines| lines.join("\n"))
}

fn sane(verdict: &Verdict) -> Result<(), TestCaseError> {
    let summary = &verdict.summary;
    match &verdict.outcome {
        Outcome::Passed => {
            prop_assert_eq!(verdict.exit_code, Some(0));
            prop_assert_eq!(summary.failed, 0);
            prop_assert!(summary.failures.is_empty());
        }
        Outcome::NoTests => prop_assert_eq!(summary.passed + summary.failed, 0),
        Outcome::Failed => {}
        Outcome::Inconclusive(reason) => prop_assert!(!reason.is_empty()),
    }
    for failure in &summary.failures {
        prop_assert!(failure.message.chars().count() <= MESSAGE_CHARS_MAX + 60);
        prop_assert_ne!(failure.line, Some(0));
    }
    prop_assert!(summary.coverage.is_none_or(|share| (0.0..=100.0).contains(&share)));
    prop_assert!(feedback(verdict, 900).chars().count() <= 900);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_is_read(text in any::<String>(), code in any::<Option<i32>>()) {
        sane(&read(&text, code, None))?;
        let _ = read_junit(&text);
        let _ = test_count_delta(&text);
    }

    #[test]
    fn any_mixture_of_outputs_is_read(text in mixed_lines(), code in prop_oneof![Just(None), (0..140).prop_map(Some)]) {
        sane(&read(&text, code, None))?;
        let _ = read_junit(&text);
        let _ = test_count_delta(&text);
    }

    #[test]
    fn no_text_makes_a_bad_end_good(text in mixed_lines(), code in 1..256) {
        prop_assert_ne!(read(&text, Some(code), None).outcome, Outcome::Passed);
    }

    #[test]
    fn any_plan_is_read_for(text in mixed_lines(), index in 0..Framework::ALL.len()) {
        let plan = TestPlan { framework: Framework::ALL[index], ..TestPlan::default() };
        sane(&read(&text, Some(0), Some(&plan)))?;
    }
}

/// Text that makes a careless reader look at everything again for each line.
fn hostile_outputs() -> Vec<(String, String)> {
    let repeated = [
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        "running 5 tests\n",
        "---- a stdout ----\nfailures:\n",
        "error[E0001]: x\nerror: could not compile `x`\n",
        "    Starting 5 tests across 2 binaries\n        FAIL [   0.004s] (2/6) shop a\n",
        "     Summary [   0.016s] 6 tests run: 2 passed\n        FAIL [   0.004s] (2/6) shop a\n",
        "=== 1 passed in 0.01s ===\n",
        "=== test session starts ===\n",
        "____ a ____\n==== b ====\n",
        "Ran 3 tests in 0.1s\n",
        "======================================================================\nFAIL: a (b)\n",
        "FAIL a.js\n  ● a › b\nTests:       1 failed, 1 total\n",
        " FAIL  a.ts > b\n      Tests  1 failed (1)\n",
        "  1 passing (1ms)\n  1 failing\n  1) a\n",
        "    # Subtest: a\n    not ok 1 - a\n      ---\n# cancelled 0\n",
        "bun test v1\n(fail) a\n",
        "ok | 1 passed | 1 failed (1ms)\n",
        "=== RUN   TestA\n--- FAIL: TestA (0.0s)\n    x\n",
        "FAIL\ta\t0.1s\n# a\na.go:1:2: x\npanic: x\n",
        "{\"Action\":\"output\",\"Package\":\"p\",\"Output\":\"--- FAIL: TestA (0.00s)\\n\"}\n",
        "Tests run: 1, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0 s <<< FAILURE!\n",
        "a(b)  Time elapsed: 0 s  <<< FAILURE!\n\tat x\n",
        "A > b FAILED\n    x\n",
        "  Failed a [1 ms]\nFailed!  - Failed:     1, Passed:     1, Skipped:     1, Total:     4\n",
        "2 examples, 1 failure\nFailures:\n  1) a\n",
        "An error occurred while loading a.\n",
        "4 runs, 2 assertions, 1 failures, 1 errors, 1 skips\n  1) Failure:\n",
        "There was 1 failure:\n1) a\nTests: 1, Assertions: 1, Failures: 1.\n",
        " ✘ a\n   │ x\n",
        "Finished in 1s\n4 tests, 2 failures\n  1) test a (b)\n",
        "1/5 Test #1: a ....***Failed    0.00 sec\n50% tests passed, 1 tests failed out of 2\n",
        "1/4 a FAIL 0.1s\nOk: 1\nFail: 1\n",
        "1..4\nnot ok 1 a\n# b\n",
        "#   Failed test 'a'\n#   at b line 3.\nResult: FAIL\n",
        "<testsuite name='a'><testcase name='b'><failure>c\n",
        "[1 bytes omitted]\n",
        "TOTAL 1 2 3%\n",
        "\u{1b}]0;a\r\u{1b}[",
        "a.py:1:",
        "((((((((((",
        "--- --- --- ",
    ];
    repeated
        .iter()
        .map(|piece| (piece.to_string(), piece.repeat(OUTPUT_BYTES / piece.len())))
        .collect()
}

/// Enough to tell linear from quadratic, which would take minutes, in a build without optimisation.
const OUTPUT_BYTES: usize = 512 * 1024;

#[test]
fn hostile_outputs_are_read_in_linear_time() {
    for (piece, output) in hostile_outputs() {
        let start = Instant::now();
        let verdict = read(&output, Some(1), None);
        let _ = feedback(&verdict, 4_000);
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?} for {piece:?}");
    }
}

#[test]
fn hostile_diffs_are_read_in_linear_time() {
    let pieces = [
        "diff --git a/tests/a.rs b/tests/a.rs\ndeleted file mode 100644\n",
        "diff --git a/a.rs b/a.rs\n@@ -1,2 +1,1 @@\n-#[test]\n-fn a() {}\n",
        "@@ -1,9999999 +1,99999999 @@\n",
        "--- a/a.py\n+++ b/a.py\n",
        "-def test_a():\n",
    ];
    for piece in pieces {
        let diff = piece.repeat(OUTPUT_BYTES / piece.len());
        let start = Instant::now();
        let _ = test_count_delta(&diff);
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?} for {piece:?}");
    }
}

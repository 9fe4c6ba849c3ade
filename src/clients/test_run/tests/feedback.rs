//! What a coding agent is told.

use super::samples::sample;
use crate::clients::test_run::{Failure, Framework, Outcome, Summary, Verdict, feedback, read};

fn failed(failures: Vec<Failure>) -> Verdict {
    Verdict {
        outcome: Outcome::Failed,
        summary: Summary {
            failed: failures.len() as u64,
            failures,
            framework: Framework::Pytest,
            ..Summary::default()
        },
        exit_code: Some(1),
        notes: Vec::new(),
    }
}

fn failure(name: &str, message: &str, line: Option<u64>) -> Failure {
    Failure {
        name: name.to_owned(),
        message: message.to_owned(),
        file: line.map(|_| "a.py".to_owned()),
        line,
    }
}

#[test]
fn it_names_tests_places_and_reasons() {
    let verdict = read(&sample("pytest_failing.txt"), Some(1), None);
    let text = feedback(&verdict, 4_000);
    let expected = "\
The tests failed: 4 failed, 3 passed, 2 skipped (pytest).

1. tests/test_prices.py::test_add_wrongly (tests/test_prices.py:12)
   >       assert total == 4, \"the sum\"
   E       AssertionError: the sum
   E       assert 3 == 4
   tests/test_prices.py:12: AssertionError
   ----------------------------- Captured stdout call -----------------------------
   about to compare
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_does_not_compile_comes_first_and_what_has_no_message_last() {
    let verdict = failed(vec![
        failure("silent", "", None),
        failure("somewhere", "is wrong", None),
        failure("placed", "is wrong too", Some(3)),
        failure("does not compile: src/lib.rs", "missing `;`", Some(9)),
    ]);
    let text = feedback(&verdict, 2_000);
    let position = |name: &str| text.find(name).unwrap_or(usize::MAX);
    let order = ["does not compile", "placed", "somewhere", "silent"].map(position);
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn failures_that_say_the_same_share_an_entry() {
    let same: Vec<Failure> =
        (0..30).map(|n| failure(&format!("test_{n}"), "no database", Some(n + 1))).collect();
    let text = feedback(&failed(same), 2_000);
    assert_eq!(text.matches("no database").count(), 1, "{text}");
    assert!(
        text.contains("the same in: test_1, test_2, test_3, test_4, test_5 and 24 more"),
        "{text}"
    );
}

#[test]
fn it_never_exceeds_its_bound_and_says_what_it_left_out() {
    let many: Vec<Failure> = (0..150)
        .map(|n| {
            failure(&format!("test_{n}"), &format!("reason {n}\n{}", "ü".repeat(900)), Some(1))
        })
        .collect();
    let verdict = failed(many);
    for bound in [0, 1, 50, 200, 500, 1_000, 5_000, 50_000, 500_000] {
        let text = feedback(&verdict, bound);
        assert!(text.chars().count() <= bound, "{bound}: {}", text.chars().count());
        if (200..=1_000).contains(&bound) {
            assert!(text.ends_with(" more"), "{bound}: {text}");
        }
    }
    assert!(feedback(&verdict, 500_000).contains("test_149"));
}

#[test]
fn it_passes_on_the_remarks() {
    let verdict = read("nothing\n", Some(124), None);
    assert!(
        feedback(&verdict, 1_000).contains("Note: exit code 124: `timeout` stopped the command.")
    );
    let verdict = read("", None, None);
    assert!(
        feedback(&verdict, 1_000)
            .starts_with("The test run says nothing: the command ended without")
    );
}

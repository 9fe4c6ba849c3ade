//! What changes do to the tests: `tests/test_run/diffs.cases`.

use std::fs;
use std::path::PathBuf;

use crate::clients::test_run::{TestDelta, is_test_path, test_count_delta};

/// Title, diff and expectation of each case.
fn cases() -> Vec<(String, String, String)> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test_run/diffs.cases"));
    let text = fs::read_to_string(path).expect("the cases exist");
    let mut cases: Vec<(String, String, String)> = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("== ")) {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push((title.to_owned(), String::new(), String::new()));
            continue;
        }
        let (_, diff, expected) = cases.last_mut().expect("a case has begun");
        if line.starts_with("=> ") {
            line.clone_into(expected);
        } else if expected.is_empty() {
            diff.push_str(line);
            diff.push('\n');
        }
    }
    cases
}

fn shown(delta: &TestDelta) -> String {
    let files = match delta.deleted_files.join(", ") {
        none if none.is_empty() => "-".to_owned(),
        files => files,
    };
    let (removed, added) = (delta.removed_tests, delta.added_tests);
    format!("=> {files} | {removed} | {added} | {}", delta.newly_ignored)
}

#[test]
fn every_change_is_seen_for_what_it_does_to_tests() {
    let wrong: Vec<String> = cases()
        .into_iter()
        .filter_map(|(title, diff, expected)| {
            let actual = shown(&test_count_delta(&diff));
            (actual != expected)
                .then(|| format!("== {title}\nexpected {expected}\n  actual {actual}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_change_turned_around_swaps_removed_and_added() {
    for (title, diff, _) in cases() {
        let turned: String = diff.lines().map(turned).collect();
        // Headers do not turn around so simply; only changes inside of one file are compared.
        if diff.contains("rename")
            || diff.contains("mode")
            || title.contains("header")
            || title.contains("midst")
        {
            continue;
        }
        let (there, back) = (test_count_delta(&diff), test_count_delta(&turned));
        assert_eq!(there.removed_tests, back.added_tests, "{title}");
        assert_eq!(there.added_tests, back.removed_tests, "{title}");
    }
}

fn turned(line: &str) -> String {
    let line = match line.chars().next() {
        Some('-') if !line.starts_with("--- ") => format!("+{}", &line[1..]),
        Some('+') if !line.starts_with("+++ ") => format!("-{}", &line[1..]),
        _ => match line.strip_prefix("@@ -").and_then(|rest| rest.split_once(" @@")) {
            Some((ranges, rest)) => {
                let (old, new) = ranges.split_once(" +").expect("a hunk has two ranges");
                format!("@@ -{new} +{old} @@{rest}")
            }
            None => line.to_owned(),
        },
    };
    line + "\n"
}

#[test]
fn weakening_is_taking_away_or_disabling() {
    let none = TestDelta::default();
    assert!(!none.weakens_tests());
    assert!(!TestDelta { removed_tests: 1, added_tests: 1, ..none.clone() }.weakens_tests());
    assert!(TestDelta { removed_tests: 2, added_tests: 1, ..none.clone() }.weakens_tests());
    assert!(TestDelta { newly_ignored: 1, ..none.clone() }.weakens_tests());
    assert!(TestDelta { deleted_files: vec!["a".to_owned()], ..none }.weakens_tests());
}

#[test]
fn test_files_are_known_by_their_paths() {
    let tests = [
        "tests/a.rs",
        "src/tests/mod.rs",
        "src/tests.rs",
        "test_a.py",
        "a_test.py",
        "conftest.py",
        "web/a.test.ts",
        "web/a.spec.tsx",
        "web/__tests__/a.js",
        "a_test.go",
        "spec/a_spec.rb",
        "src/test/java/shop/A.java",
        "PricesTest.java",
        "Shop.Tests/Helper.cs",
        "PricesTests.cs",
        "test/a_test.exs",
        "t/a.t",
        "a.bats",
        "tests/data/input.json",
        "e2e/login.ts",
        "a.cy.ts",
        "test\\a.js",
    ];
    for path in tests {
        assert!(is_test_path(path), "{path} is a test");
    }
    let others = [
        "src/lib.rs",
        "contest.py",
        "latest.js",
        "src/attestation.go",
        "README.md",
        "Testing.md",
        "src/protest/a.rs",
        "manifest.json",
        "src/test.rs.bak",
        "docs/test-plan.md",
        "",
    ];
    for path in others {
        assert!(!is_test_path(path), "{path} is no test");
    }
}

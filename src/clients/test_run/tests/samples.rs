//! What real test runs printed, and what is read out of it.
//!
//! The outputs lie in `tests/test_run/*.txt`, the expectations in `tests/test_run/EXPECTED.txt`, one line
//! per output. Names ending in `_documented` are written after the documentation of a tool, those ending
//! in `_made` are put together out of recorded pieces; all others were recorded from runs. To add a case:
//! put the output there, run the tests, and copy the line they print once it is right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::clients::test_run::{Outcome, Verdict, read};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test_run"))
}

/// A recorded output, without the remark on where it comes from.
pub(super) fn sample(name: &str) -> String {
    let text = fs::read_to_string(folder().join(name)).expect("the sample exists");
    match text.strip_prefix("# documented ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest).to_owned(),
        None => text,
    }
}

/// Writes a file below `root`, or makes a folder for a name that ends in `/`.
pub(super) fn write(root: &Path, path: &str, text: &str) {
    let full = root.join(path);
    let folder = if path.ends_with('/') { Some(full.as_path()) } else { full.parent() };
    fs::create_dir_all(folder.expect("a file lies in a folder")).expect("a folder is made");
    if !path.ends_with('/') {
        fs::write(full, text).expect("a file is written");
    }
}

/// One line of the table.
fn row(name: &str, exit_code: &str, verdict: &Verdict) -> String {
    let outcome = match &verdict.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::NoTests => "no tests",
        Outcome::Inconclusive(_) => "inconclusive",
    };
    let summary = &verdict.summary;
    let complete = if summary.complete { "complete" } else { "partial" };
    let coverage = summary.coverage.map_or("-".to_owned(), |share| format!("{share}%"));
    let failures: Vec<String> = summary
        .failures
        .iter()
        .map(|failure| match (&failure.file, failure.line) {
            (Some(file), Some(line)) => format!("{} @ {file}:{line}", failure.name),
            (Some(file), None) => format!("{} @ {file}", failure.name),
            (None, _) => failure.name.clone(),
        })
        .collect();
    let counts = format!("{} {} {}", summary.passed, summary.failed, summary.skipped);
    let framework = summary.framework.name();
    format!(
        "{name} | {exit_code} | {outcome} | {framework} | {counts} | {complete} | {coverage} | {}",
        failures.join("; ")
    )
    .trim_end()
    .to_owned()
}

fn check(name: &str, exit_code: &str, expected: &str) -> Result<(), String> {
    let verdict = read(&sample(name), exit_code.parse().ok(), None);
    let actual = row(name, exit_code, &verdict);
    if actual == expected {
        Ok(())
    } else {
        Err(format!("expected: {expected}\n  actual: {actual}"))
    }
}

#[test]
fn every_sample_is_read_as_expected() {
    let table = fs::read_to_string(folder().join("EXPECTED.txt")).expect("the table exists");
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut cells = line.split(" | ");
        let (Some(name), Some(exit_code)) = (cells.next(), cells.next()) else {
            panic!("not a row: {line}");
        };
        seen.push(name.to_owned());
        wrong.extend(check(name, exit_code, line.trim_end()).err());
    }
    for entry in fs::read_dir(folder()).expect("the folder exists").flatten() {
        let name = entry.file_name().into_string().expect("names are plain");
        if name != "EXPECTED.txt" && name.ends_with(".txt") && !seen.contains(&name) {
            let verdict = read(&sample(&name), Some(1), None);
            wrong.push(format!("not in the table: {}", row(&name, "1", &verdict)));
        }
    }
    assert!(wrong.is_empty(), "{} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_failure_has_a_message() {
    let table = fs::read_to_string(folder().join("EXPECTED.txt")).expect("the table exists");
    for line in table.lines().filter(|line| line.contains(" | failed | ")) {
        let name = line.split(" | ").next().unwrap_or("");
        // A run without reports names the tests only.
        let without = ["pytest_bare", "maven_none", "cargo_truncated", "gradle_none"];
        if without.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        for failure in read(&sample(name), Some(1), None).summary.failures {
            assert!(!failure.message.is_empty(), "{name}: {} has no message", failure.name);
        }
    }
}

//! Reads Jest: `Tests: 2 failed, 1 skipped, 2 passed, 6 total` and the reports marked `●` above it.
//! A test file that cannot be loaded counts as one failure, since Jest counts none of its tests.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    TESTS = r"^Tests: +((?:\d+ [a-z]+, )*\d+ total)$";
    NONE = r"^No tests found(?: related to files changed .*)?, exiting with code \d$";
    COUNT = r"(\d+) ([a-z]+)";
    FILE = r"^ ?(PASS|FAIL) +(?:\S+ +)?(\S+\.[A-Za-z]+)(?: \(.*\))?$";
    REPORT = r"^  ● (.+)$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| (line.starts_with("Tests: ") && TESTS.is_match(line)) || is_none(line))
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for (end, line) in ends {
        if is_none(line) {
            lines.take(end..=end);
            readings.push(Reading::none());
            continue;
        }
        let start = lines
            .between(begin, end)
            .find(|(_, line)| FILE.is_match(line) || REPORT.is_match(line))
            .map_or(end, |(start, _)| start);
        let mut reading = figures(line);
        let block = lines.slice(start, end);
        reading.failed = reading.failed.saturating_add(unloadable(block));
        reading.fail_all(failures(block));
        readings.push(reading);
        lines.take(start..=end);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn is_none(line: &str) -> bool {
    line.starts_with("No tests found") && NONE.is_match(line)
}

fn figures(line: &str) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in COUNT.captures_iter(line) {
        let count = number(&found[1]);
        let figure = match &found[2] {
            "passed" => &mut reading.passed,
            "failed" => &mut reading.failed,
            "skipped" | "todo" | "pending" => &mut reading.skipped,
            _ => continue,
        };
        *figure = figure.saturating_add(count);
    }
    reading
}

const UNLOADABLE: &str = "  ● Test suite failed to run";

/// Test files that could not be loaded. With many failures all reports are shown twice, the second
/// time below a heading.
fn unloadable(block: &[&str]) -> u64 {
    block
        .iter()
        .take_while(|line| !line.starts_with("Summary of all failing tests"))
        .filter(|line| **line == UNLOADABLE)
        .count() as u64
}

fn failures(block: &[&str]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut file = "";
    let mut seen = std::collections::HashSet::new();
    let mut index = 0;
    while index < block.len() {
        let line = block[index];
        index += 1;
        if let Some(found) = FILE.captures(line) {
            file = found.get(2).map_or("", |path| path.as_str());
            continue;
        }
        let Some(name) = REPORT.captures(line).and_then(|found| found.get(1)) else {
            continue;
        };
        let length = block[index..]
            .iter()
            .take_while(|line| {
                !REPORT.is_match(line)
                    && !FILE.is_match(line)
                    && !line.starts_with("Test Suites: ")
                    && !line.starts_with("Summary of all failing tests")
            })
            .count();
        let report = &block[index..index + length];
        index += length;
        let name = name.as_str();
        // `Console` shows what was printed; a name of a test has its suites before it, or none.
        if name != "Console" && seen.insert((file, name)) {
            failures.push(failure(name, file, report));
        }
    }
    failures
}

fn failure(name: &str, file: &str, report: &[&str]) -> Failure {
    let name = match name {
        "Test suite failed to run" => format!("cannot be loaded: {file}"),
        test => test.to_owned(),
    };
    let place =
        place::first_in(report, file).or_else(|| (!file.is_empty()).then(|| (file.to_owned(), 0)));
    Failure::new(name, report.iter().copied()).at(place)
}

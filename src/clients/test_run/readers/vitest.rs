//! Reads Vitest: from ` RUN  v4.1.12` to `Tests  2 failed | 2 passed (6)` and `Duration`. A test file
//! that cannot be loaded and an error outside of any test count as one failure each.

use super::place;
use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    RUN = r"^ *(?:RUN|DEV) +v\d";
    TESTS = r"^ *Tests  +((?:\d+ [a-z ]+\| )*\d+ [a-z ]+ ?\(\d+\)|no tests)$";
    ERRORS = r"^ *Errors  +(\d+) errors?$";
    COUNT = r"(\d+) (failed|passed|skipped|todo|expected fail)";
    FAIL = r"^ ?FAIL +(?:\|[^|]*\| +)?(\S.*)$";
    NONE = r"^No test (?:files|suites?) found, exiting with code \d$";
    SEPARATOR = r"⎯{5,}";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| {
            line.trim_start().starts_with("Tests  ") && TESTS.is_match(line) || is_none(line)
        })
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
            .find(|(_, line)| RUN.is_match(line))
            .map_or(end, |(start, _)| start);
        readings.push(read_block(lines, start, end));
        lines.take(start..=end + 3);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn is_none(line: &str) -> bool {
    line.starts_with("No test ") && NONE.is_match(line)
}

fn read_block(lines: &Lines<'_>, start: usize, end: usize) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in COUNT.captures_iter(lines.at(end)) {
        let count = number(&found[1]);
        let figure = match &found[2] {
            "passed" => &mut reading.passed,
            "failed" => &mut reading.failed,
            _ => &mut reading.skipped,
        };
        *figure = figure.saturating_add(count);
    }
    if let Some(found) = ERRORS.captures(lines.at(end + 1)) {
        reading.failed = reading.failed.saturating_add(number(&found[1]));
    }
    for failure in failures(lines.slice(start, end)) {
        if failure.name.starts_with(UNLOADABLE) {
            reading.failed = reading.failed.saturating_add(1);
        }
        reading.fail(failure);
    }
    reading
}

const UNLOADABLE: &str = "cannot be loaded: ";

/// Reports: one or more ` FAIL ` lines that share one error, up to a separator.
fn failures(block: &[&str]) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut index = 0;
    while index < block.len() && failures.len() < FAILURES_MAX {
        let names: Vec<&str> = block[index..]
            .iter()
            .map_while(|line| Some(FAIL.captures(line)?.get(1)?.as_str()))
            .collect();
        if names.is_empty() {
            index += 1;
            continue;
        }
        index += names.len();
        let length = block[index..]
            .iter()
            .take_while(|line| !SEPARATOR.is_match(line) && !FAIL.is_match(line))
            .count();
        let report = &block[index..index + length];
        index += length;
        let room = FAILURES_MAX - failures.len();
        failures.extend(names.into_iter().take(room).map(|name| failure(name, report)));
    }
    failures
}

/// `src/prices.test.ts > prices > adds wrongly`, or `src/prices.test.ts [ src/prices.test.ts ]`.
fn failure(name: &str, report: &[&str]) -> Failure {
    let file = name.split(" > ").next().unwrap_or(name);
    let (file, unloadable) = match file.split_once(" [ ") {
        Some((file, _)) => (file, true),
        None => (file, false),
    };
    let name = if unloadable { format!("{UNLOADABLE}{file}") } else { name.to_owned() };
    let place = place::first_in(report, file).or_else(|| Some((file.to_owned(), 0)));
    Failure::new(name, report.iter().copied()).at(place)
}

//! Reads Playwright's test runner: from `Running 4 tests using 1 worker` to the closing figures, one
//! line each (`1 failed`, `1 flaky`, `1 passed (1.9s)`), with the names of failed tests below theirs. A
//! flaky test has passed in the end.

use std::collections::HashMap;

use super::place;
use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    RUNNING = r"^Running \d+ tests? using \d+ workers?";
    FIGURE = r"^  (\d+) (failed|flaky|skipped|did not run|interrupted|passed|error was not a part of any test|errors were not a part of any test.*)(?: \(.*\))?$";
    LISTED = r"^    (\S.*?) ─*$";
    REPORT = r"^  \d+\) (\S.*?) ─*$";
    NAME_PLACE = r"^(?:\[[^\]]*\] › )?(\S+?):(\d+):\d+ › ";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let starts: Vec<(usize, bool)> = lines
        .free()
        .filter(|(_, line)| *line == "Error: No tests found" || RUNNING.is_match(line))
        .map(|(index, line)| (index, line.starts_with("Running ")))
        .collect();
    let mut readings = Vec::new();
    for (position, (start, ran)) in starts.iter().enumerate() {
        if !ran {
            lines.take(*start..=*start);
            readings.push(Reading::none());
            continue;
        }
        let limit = starts.get(position + 1).map_or(lines.len(), |next| next.0);
        let block = lines.slice(*start, limit);
        match block.iter().rposition(|line| FIGURE.is_match(line)) {
            Some(last) => {
                let (reading, length) = read_block(block, last);
                readings.push(reading);
                lines.take(*start..=*start + length);
            }
            None => readings.push(Reading::default()),
        }
    }
    Reading::sum(readings)
}

/// The reading, and how many lines after the first belong to it.
fn read_block(block: &[&str], last: usize) -> (Reading, usize) {
    let is_closing =
        |line: &&&str| FIGURE.is_match(line) || LISTED.is_match(line) || line.is_empty();
    let closing = block[..=last].iter().rev().take_while(is_closing).count();
    let reports = reports(&block[..=last - closing.min(last)]);
    let end = last + block[last + 1..].iter().take_while(|line| LISTED.is_match(line)).count();
    let mut reading = Reading::figures(0, 0, 0);
    let mut failing = false;
    for line in &block[last + 1 - closing..=end] {
        if let Some(found) = FIGURE.captures(line) {
            let figure = match &found[2] {
                "passed" | "flaky" => &mut reading.passed,
                "skipped" | "did not run" => &mut reading.skipped,
                _ => &mut reading.failed,
            };
            *figure = figure.saturating_add(number(&found[1]));
            failing = matches!(&found[2], "failed" | "interrupted");
        } else if let (true, Some(found)) = (failing, LISTED.captures(line))
            && reading.failures.len() < FAILURES_MAX
        {
            reading.fail(failure(&found[1], reports.get(&found[1]).copied().unwrap_or(&[])));
        }
    }
    (reading, end)
}

/// Reports by the name of their test: of several tries the first one.
fn reports<'l, 'a>(block: &'l [&'a str]) -> HashMap<String, &'l [&'a str]> {
    let starts: Vec<(usize, String)> = block
        .iter()
        .enumerate()
        .filter_map(|(index, line)| Some((index, REPORT.captures(line)?[1].to_owned())))
        .collect();
    let mut reports = HashMap::new();
    for (position, (start, name)) in starts.iter().enumerate() {
        let end = starts.get(position + 1).map_or(block.len(), |next| next.0);
        let report = &block[start + 1..end];
        let retry = report.iter().position(|line| line.starts_with("    Retry #"));
        reports.entry(name.clone()).or_insert(&report[..retry.unwrap_or(report.len())]);
    }
    reports
}

fn failure(name: &str, report: &[&str]) -> Failure {
    let named = NAME_PLACE
        .captures(name)
        .and_then(|found| Some((found[1].to_owned(), found[2].parse().ok()?)));
    let place = match named {
        Some((file, line)) => place::first_in(report, &file).or(Some((file, line))),
        None => place::first(report),
    };
    Failure::new(name, report.iter().copied()).at(place)
}

//! Reads PHPUnit (`OK (1 test, 1 assertion)` or `Tests: 5, Assertions: 2, Failures: 1.`) and Pest
//! (`Tests:    1 failed, 2 passed (3 assertions)`).

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    OK = r"^OK \((\d+) tests?, \d+ assertions?\)$";
    FIGURES = r"^Tests: (\d+), Assertions: \d+(.*)\.$";
    COUNT = r", ([A-Z][A-Za-z ]*): (\d+)";
    PEST = r"^ *Tests: +((?:\d+ [a-z]+, )*\d+ [a-z]+) \(\d+ assertions?\)$";
    PEST_COUNT = r"(\d+) ([a-z]+)";
    PEST_FAIL = r"^ *FAILED +(\S.*?) *$";
    GROUP = r"^There (?:was|were) \d+ (.*?)s?:$";
    NUMBERED = r"^\d+\) (\S.*)$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, Reading)> =
        lines.free().filter_map(|(index, line)| Some((index, figures(line)?))).collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for (end, mut reading) in ends {
        let start = lines
            .between(begin, end)
            .find(|(_, line)| line.starts_with("PHPUnit ") || line.starts_with("There w"))
            .map_or(end, |(index, _)| index);
        if reading.failed > 0 {
            reading.fail_all(numbered(lines.slice(start, end)));
            // Other ways of printing show no numbered reports.
            if reading.failures.is_empty() {
                let all = lines.slice(begin, end);
                reading.fail_all(pest(all).into_iter().chain(testdox(all)));
            }
        }
        readings.push(reading);
        lines.take(start..=end);
        begin = end + 1;
    }
    Reading::sum(readings)
}

/// The figures, when the line is one that ends a run.
fn figures(line: &str) -> Option<Reading> {
    if line == "No tests executed!" {
        return Some(Reading::none());
    }
    if let Some(found) = line.starts_with("OK (").then(|| OK.captures(line)).flatten() {
        return Some(Reading::figures(number(&found[1]), 0, 0));
    }
    if !line.contains("Tests: ") || !line.to_ascii_lowercase().contains("assertion") {
        return None;
    }
    if let Some(found) = PEST.captures(line) {
        return Some(pest_figures(&found[1]));
    }
    let found = FIGURES.captures(line)?;
    let (mut failed, mut skipped) = (0_u64, 0_u64);
    for part in COUNT.captures_iter(&found[2]) {
        match &part[1] {
            "Failures" | "Errors" => failed = failed.saturating_add(number(&part[2])),
            "Skipped" | "Incomplete" => skipped = skipped.saturating_add(number(&part[2])),
            // Warnings, deprecations and risky tests have passed.
            _ => {}
        }
    }
    let passed = number(&found[1]).saturating_sub(failed).saturating_sub(skipped);
    Some(Reading::figures(passed, failed, skipped))
}

fn pest_figures(counts: &str) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in PEST_COUNT.captures_iter(counts) {
        let figure = match &found[2] {
            "passed" | "risky" | "warnings" | "deprecated" => &mut reading.passed,
            "failed" => &mut reading.failed,
            _ => &mut reading.skipped,
        };
        *figure = figure.saturating_add(number(&found[1]));
    }
    reading
}

/// Reports of failures and errors; those of risky and skipped tests have groups of their own.
fn numbered(block: &[&str]) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut wanted = false;
    for (index, line) in block.iter().enumerate() {
        if let Some(found) = GROUP.captures(line) {
            wanted = matches!(&found[1], "failure" | "error");
        } else if wanted && let Some(found) = NUMBERED.captures(line) {
            let length = block[index + 1..]
                .iter()
                .take(100)
                .take_while(|line| {
                    !NUMBERED.is_match(line)
                        && **line != "--"
                        && !GROUP.is_match(line)
                        && **line != "FAILURES!"
                        && **line != "ERRORS!"
                })
                .count();
            let report = &block[index + 1..index + 1 + length];
            failures.push(Failure::new(&found[1], report.iter().copied()).at(place::last(report)));
        }
    }
    failures
}

/// Pest's reports begin with ` FAILED  Tests\PricesTest > adds wrongly`.
fn pest(block: &[&str]) -> Vec<Failure> {
    let starts: Vec<usize> = (0..block.len()).filter(|i| PEST_FAIL.is_match(block[*i])).collect();
    starts
        .iter()
        .enumerate()
        .filter_map(|(position, start)| {
            let end = starts.get(position + 1).copied().unwrap_or(block.len());
            let name = PEST_FAIL.captures(block[*start])?[1].to_owned();
            let report = &block[start + 1..end];
            Some(Failure::new(name, report.iter().copied()).at(place::first(report)))
        })
        .collect()
}

/// `--testdox`: ` ✘ Adds wrongly`, with a report drawn below it, under the name of its class.
fn testdox(block: &[&str]) -> Vec<Failure> {
    let mut class = "";
    let mut failures = Vec::new();
    for (index, line) in block.iter().enumerate() {
        if !line.is_empty() && !line.starts_with(' ') {
            class = line;
        }
        let Some(name) = line.strip_prefix(" ✘ ") else {
            continue;
        };
        let report: Vec<&str> = block[index + 1..]
            .iter()
            .take(100)
            .map_while(|line| Some(line.trim_start().strip_prefix(['│', '├', '┴', '╵'])?.trim()))
            .collect();
        let name = format!("{class} > {name}");
        failures.push(Failure::new(name, report.iter().copied()).at(place::last(&report)));
    }
    failures
}

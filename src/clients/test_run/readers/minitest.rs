//! Reads Minitest (`4 runs, 2 assertions, 1 failures, 1 errors, 1 skips`) and its relative test-unit
//! (`4 tests, 2 assertions, 1 failures, 1 errors, 0 pendings, 1 omissions, ...`).

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^(\d+) (?:runs|tests), \d+ assertions, (\d+) failures, (\d+) errors(?:, (\d+) (?:skips|pendings))?(?:, (\d+) omissions)?";
    NUMBERED = r"^ *\d+\) (Failure|Error):";
    PLACED = r"^(.*?) \[([^\]]+):(\d+)\]:?$";
    UNIT_TITLE = r"^(Failure|Error): (.*)$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<usize> = lines
        .free()
        .filter(|(_, line)| line.contains(" assertions, ") && FIGURES.is_match(line))
        .map(|(index, _)| index)
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for end in ends {
        let mut reading = figures(lines.at(end));
        let block = lines.slice(begin, end);
        let starts: Vec<usize> = (0..block.len())
            .filter(|i| NUMBERED.is_match(block[*i]) || UNIT_TITLE.is_match(block[*i]))
            .collect();
        for (position, start) in starts.iter().enumerate() {
            let limit = starts.get(position + 1).copied().unwrap_or(block.len());
            reading.fail(failure(&block[*start..limit]));
        }
        lines.take(begin + starts.first().copied().unwrap_or(block.len())..=end);
        readings.push(reading);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn figures(line: &str) -> Reading {
    let Some(found) = FIGURES.captures(line) else {
        return Reading::default();
    };
    let count = |group| found.get(group).map_or(0, |digits| number(digits.as_str()));
    let failed = count(2).saturating_add(count(3));
    let skipped = count(4).saturating_add(count(5));
    let passed = count(1).saturating_sub(failed).saturating_sub(skipped);
    let mut reading = Reading::figures(passed, failed, skipped);
    reading.says_none = count(1) == 0;
    reading
}

/// A report: a heading, then the test, with its place for a failure, then the message.
fn failure(report: &[&str]) -> Failure {
    let first = report.first().copied().unwrap_or("");
    let unit = UNIT_TITLE.captures(first);
    let title = match &unit {
        Some(found) => found.get(2).map_or("", |title| title.as_str()),
        None => report.get(1).copied().unwrap_or(""),
    };
    let body = &report[report.len().min(if unit.is_some() { 1 } else { 2 })..];
    // The message ends before the next numbered line; a later empty line begins other things.
    let end = body.iter().position(|line| line.trim().is_empty()).unwrap_or(body.len());
    let body = &body[..end];
    if unit.is_some() {
        let (name, first) = title.split_once(": ").unwrap_or((title, ""));
        let lines = std::iter::once(first).chain(body.iter().copied());
        return Failure::new(name, lines).at(place::first(body));
    }
    if let Some(found) = PLACED.captures(title) {
        let place = Some((found[2].to_owned(), number(&found[3])));
        return Failure::new(&found[1], body.iter().copied()).at(place);
    }
    Failure::new(title.trim_end_matches(':'), body.iter().copied()).at(place::first(body))
}

//! Reads `meson test`: its closing table (`Ok: 1`, `Fail: 1`, ...) and the list of failures above it.

use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    OK = r"^ *Ok: +(\d+) *$";
    COUNT = r"^ *(Expected Fail|Fail|Unexpected Pass|Skipped|Timeout): +(\d+) *$";
    RESULT = r"^ *\d+/\d+ (\S.*?) +(OK|FAIL|SKIP|EXPECTEDFAIL|UNEXPECTEDPASS|TIMEOUT|ERROR|INTERRUPT) +\d[\d.]*s";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let tables: Vec<usize> = lines
        .free()
        .filter(|(_, line)| line.trim_start().starts_with("Ok:") && OK.is_match(line))
        .map(|(index, _)| index)
        // A table of one line is somebody else's.
        .filter(|index| (1..=2).any(|next| COUNT.is_match(lines.at(index + next))))
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for index in tables {
        let (mut reading, end) = table(lines, index);
        let start = lines
            .between(begin, index)
            .find(|(_, line)| RESULT.is_match(line))
            .map_or(index, |(start, _)| start);
        reading.fail_all(failures(lines.slice(start, index)));
        readings.push(reading);
        lines.take(start..=end);
        begin = end + 1;
    }
    if readings.is_empty() {
        let none = lines.free().find(|(_, line)| *line == "No tests defined.")?.0;
        lines.take(none..=none);
        return Some(Reading::none());
    }
    Reading::sum(readings)
}

fn table(lines: &Lines<'_>, index: usize) -> (Reading, usize) {
    let ok = OK.captures(lines.at(index)).map_or(0, |found| number(&found[1]));
    let mut reading = Reading::figures(ok, 0, 0);
    let mut end = index;
    for (next, line) in lines.from(index + 1).take(8) {
        let Some(found) = COUNT.captures(line) else {
            continue;
        };
        end = next;
        let figure = match &found[1] {
            "Fail" | "Unexpected Pass" | "Timeout" => &mut reading.failed,
            _ => &mut reading.skipped,
        };
        *figure = figure.saturating_add(number(&found[2]));
    }
    (reading, end)
}

/// Each failed test once: it is listed where it ran and again above the table.
fn failures(block: &[&str]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for (index, line) in block.iter().enumerate() {
        let Some(found) = RESULT.captures(line) else {
            continue;
        };
        let failed = matches!(&found[2], "FAIL" | "UNEXPECTEDPASS" | "TIMEOUT" | "ERROR");
        if !failed || failures.iter().any(|failure| failure.name == found[1]) {
            continue;
        }
        let length = block[index + 1..]
            .iter()
            .take(100)
            .take_while(|line| !RESULT.is_match(line) && !line.starts_with("Summary of Failures"))
            .count();
        let output = block[index + 1..index + 1 + length]
            .iter()
            .filter(|line| !line.starts_with("――") && !line.starts_with(">>> "));
        let status = found.get(2).map_or("", |status| status.as_str());
        let text = std::iter::once(status).chain(output.copied());
        failures.push(Failure::new(&found[1], text));
        if failures.len() >= FAILURES_MAX {
            break;
        }
    }
    failures
}

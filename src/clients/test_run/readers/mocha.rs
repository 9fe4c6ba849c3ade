//! Reads Mocha's closing figures (`2 passing (8ms)`, `2 pending`, `2 failing`) and the numbered
//! reports after them; all its human-readable reporters end so.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    PASSING = r"^  (\d+) passing \(\d[^)]*\)$";
    COUNT = r"^  (\d+) (pending|failing)$";
    NUMBERED = r"^  (\d+)\) (.*)$";
    NONE = r#"^Error: No test files found(?:: ".*")?$"#;
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let marks: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| {
            (line.contains(" passing (") && PASSING.is_match(line)) || is_none(line)
        })
        .collect();
    let mut readings = Vec::new();
    for (position, (index, line)) in marks.iter().enumerate() {
        if is_none(line) {
            lines.take(*index..=*index);
            readings.push(Reading::none());
            continue;
        }
        let end = marks.get(position + 1).map_or(lines.len(), |next| next.0);
        let (reading, length) = read_block(lines.slice(*index, end));
        readings.push(reading);
        lines.take(*index..=*index + length);
    }
    Reading::sum(readings)
}

fn is_none(line: &str) -> bool {
    line.starts_with("Error: No test files found") && NONE.is_match(line)
}

/// The figures, and how many lines after the first belong to them.
fn read_block(block: &[&str]) -> (Reading, usize) {
    let passed =
        block.first().and_then(|line| PASSING.captures(line)).map_or(0, |found| number(&found[1]));
    let mut reading = Reading::figures(passed, 0, 0);
    let mut length = 0;
    while let Some(found) = block.get(length + 1).and_then(|line| COUNT.captures(line)) {
        length += 1;
        match &found[2] {
            "failing" => reading.failed = number(&found[1]),
            _ => reading.skipped = number(&found[1]),
        }
    }
    // Mocha says nothing else when it found files without tests.
    reading.says_none = passed == 0 && reading.failed == 0 && reading.skipped == 0;
    for (wanted, report) in reports(&block[length + 1..]).into_iter().enumerate() {
        // Numbers count up from 1: what a test printed in the same shape ends the list.
        if report.0 != wanted as u64 + 1 || report.0 > reading.failed {
            break;
        }
        reading.fail(failure(report.1));
    }
    (reading, length)
}

/// Numbered reports: the number and the lines, the first of which carries the number.
fn reports<'l, 'a>(lines: &'l [&'a str]) -> Vec<(u64, &'l [&'a str])> {
    let starts: Vec<(usize, u64)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| Some((index, number(&NUMBERED.captures(line)?[1]))))
        .collect();
    starts
        .iter()
        .enumerate()
        .map(|(position, (start, wanted))| {
            let end = starts.get(position + 1).map_or(lines.len(), |next| next.0);
            (*wanted, &lines[*start..end])
        })
        .collect()
}

/// The title stands over several lines, one suite a line, and ends with a colon.
fn failure(report: &[&str]) -> Failure {
    let first = report
        .first()
        .and_then(|line| NUMBERED.captures(line))
        .map_or(String::new(), |found| found[2].to_owned());
    let title_lines = report
        .iter()
        .take(12)
        .position(|line| line.trim_end().ends_with(':'))
        .map_or(1, |end| end + 1);
    let rest =
        report[1.min(report.len())..title_lines.min(report.len())].iter().map(|line| line.trim());
    let title: Vec<&str> = std::iter::once(first.as_str()).chain(rest).collect();
    let name = title.join(" > ");
    let body = &report[title_lines.min(report.len())..];
    Failure::new(name.trim_end_matches(':'), body.iter().copied()).at(place::first(body))
}

//! Reads `deno test`: `FAILED | 1 passed (1 step) | 2 failed | 1 ignored (19ms)` and the reports under
//! `ERRORS`. Steps are parts of tests and are not counted by themselves.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    RESULT = r"^(?:ok|FAILED) \| \d+ passed\b.*\(\d+(?:ms|s|m\d*s?)\)$";
    COUNT = r"(?:\| )(\d+) (passed|failed|ignored)";
    REPORT = r"^(\S.*) => (\S+):(\d+):\d+$";
    TYPE_ERROR = r"^TS\d+ \[ERROR\]: ";
    RUNNING = r"^running \d+ tests? from \S";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, &str)> =
        lines.free().filter(|(_, line)| line.contains(" | ") && RESULT.is_match(line)).collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for (end, line) in ends {
        let start = lines
            .between(begin, end)
            .find(|(_, line)| RUNNING.is_match(line))
            .map_or(end, |(start, _)| start);
        let mut reading = figures(line);
        reading.fail_all(failures(lines.slice(start, end)));
        readings.push(reading);
        lines.take(start..=end);
        begin = end + 1;
    }
    readings.extend(type_errors(lines, begin));
    Reading::sum(readings)
}

/// Types are checked before anything runs; one failure each.
fn type_errors(lines: &mut Lines<'_>, begin: usize) -> Option<Reading> {
    let end = lines
        .free()
        .find(|(index, line)| *index >= begin && *line == "error: Type checking failed.")?
        .0;
    let mut reading = Reading::default();
    let starts: Vec<usize> = lines
        .between(begin, end)
        .filter(|(_, line)| TYPE_ERROR.is_match(line))
        .map(|(index, _)| index)
        .take(10)
        .collect();
    for start in starts {
        let length = lines.from(start).take(20).take_while(|(_, line)| !line.is_empty()).count();
        let report = lines.slice(start, start + length);
        let place = place::first(report);
        let file = place.as_ref().map_or("", |(file, _)| file.as_str());
        let name = format!("does not compile: {file}");
        reading.fail(Failure::new(name, report.iter().copied()).at(place));
    }
    lines.take(begin..=end);
    Some(reading)
}

fn figures(line: &str) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in COUNT.captures_iter(line) {
        let count = number(&found[1]);
        match &found[2] {
            "passed" => reading.passed = count,
            "failed" => reading.failed = count,
            _ => reading.skipped = count,
        }
    }
    reading.says_none = reading.total() == 0;
    reading
}

fn failures(block: &[&str]) -> Vec<Failure> {
    let Some(from) = block.iter().position(|line| line.trim() == "ERRORS") else {
        return Vec::new();
    };
    let until = block.iter().rposition(|line| line.trim() == "FAILURES").unwrap_or(block.len());
    let reports = block.get(from + 1..until).unwrap_or(&[]);
    let starts: Vec<usize> = (0..reports.len()).filter(|i| REPORT.is_match(reports[*i])).collect();
    starts
        .iter()
        .enumerate()
        .filter_map(|(position, start)| {
            let end = starts.get(position + 1).copied().unwrap_or(reports.len());
            let found = REPORT.captures(reports[*start])?;
            let body = &reports[start + 1..end];
            let file = found[2].trim_start_matches("./");
            let place = place::first_in(body, file)
                .or_else(|| Some((file.to_owned(), found[3].parse().ok()?)));
            Some(Failure::new(&found[1], body.iter().copied()).at(place))
        })
        .collect()
}

//! Reads `bun test`: ` 2 pass`, ` 2 fail` and `Ran 6 tests across 1 file.`, with each failure's
//! message printed above its `(fail)` line.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    RAN = r"^Ran \d+ tests? across \d+ files?\.";
    COUNT = r"^ +(\d+) (pass|fail|skip|todo|error|errors)$";
    RESULT = r"^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$";
    FILE = r"^(\S+\.[a-z]+):$";
    NONE = r"^The following filters did not match any test files:|^error: 0 test files matching";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let versions: Vec<usize> = lines
        .free()
        .filter(|(_, line)| line.starts_with("bun test v"))
        .map(|(index, _)| index)
        .collect();
    let mut readings = Vec::new();
    for (position, start) in versions.iter().enumerate() {
        let limit = versions.get(position + 1).copied().unwrap_or(lines.len());
        let block = lines.slice(*start, limit);
        if let Some(end) = block.iter().rposition(|line| RAN.is_match(line)) {
            readings.push(read_block(&block[..end]));
            lines.take(*start..=*start + end);
        } else if block.iter().any(|line| NONE.is_match(line)) {
            readings.push(Reading::none());
        } else {
            readings.push(Reading { complete: false, ..Reading::default() });
        }
    }
    Reading::sum(readings)
}

fn read_block(block: &[&str]) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    // The figures stand at the end; a test may print lines like them before.
    for found in block.iter().rev().take(10).filter_map(|line| COUNT.captures(line)) {
        let figure = match &found[2] {
            "pass" => &mut reading.passed,
            "fail" | "error" | "errors" => &mut reading.failed,
            _ => &mut reading.skipped,
        };
        *figure = figure.saturating_add(number(&found[1]));
    }
    let mut file = "";
    let mut message_start = 0;
    for (index, line) in block.iter().enumerate() {
        if let Some(found) = FILE.captures(line) {
            file = found.get(1).map_or("", |path| path.as_str());
            message_start = index + 1;
        } else if let Some(found) = RESULT.captures(line) {
            if &found[1] == "fail" {
                let report = &block[message_start..index];
                let place = place::first_in(report, file)
                    .or_else(|| (!file.is_empty()).then(|| (file.to_owned(), 0)));
                let message = report.iter().filter(|line| !is_source(line)).copied();
                reading.fail(Failure::new(&found[2], message).at(place));
            }
            message_start = index + 1;
        }
    }
    reading
}

/// `6 |   it("adds", ...` and a caret: the lines of source shown around an error.
fn is_source(line: &str) -> bool {
    line.trim() == "^"
        || line
            .split_once(" | ")
            .is_some_and(|(number, _)| number.trim().chars().all(|c| c.is_ascii_digit()))
}

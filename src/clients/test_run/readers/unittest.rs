//! Reads Python's unittest: `Ran 7 tests in 0.001s`, then `OK (skipped=1)` or
//! `FAILED (failures=1, errors=2)`. Expected failures count as skipped, unexpected successes as
//! failed, as unittest itself judges them.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, is_rule, number, patterns};

patterns! {
    RAN = r"^Ran (\d+) tests? in \d[\d.]*s$";
    VERDICT = r"^(OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$";
    COUNT = r"([a-z ]+)=(\d+)";
    TITLE = r"^(ERROR|FAIL|UNEXPECTED SUCCESS): (\S+)(?: \(([^)]*)\))?(.*)$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, u64)> = lines
        .free()
        .filter(|(_, line)| line.starts_with("Ran "))
        .filter_map(|(index, line)| Some((index, number(&RAN.captures(line)?[1]))))
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for (index, ran) in ends {
        let verdict = lines
            .from(index + 1)
            .take(4)
            .find(|(_, line)| !line.trim().is_empty() && VERDICT.is_match(line));
        let Some((end, verdict)) = verdict.filter(|_| index >= begin) else {
            continue;
        };
        let start = lines
            .between(begin, index)
            .find(|(_, line)| is_rule(line, '=', 70))
            .map_or(index, |(start, _)| start);
        let mut reading = figures(ran, verdict);
        reading.fail_all(failures(lines.slice(start, index)));
        readings.push(reading);
        lines.take(start..=end);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn figures(ran: u64, verdict: &str) -> Reading {
    let (mut failed, mut skipped) = (0_u64, 0_u64);
    for found in COUNT.captures_iter(verdict) {
        let count = number(&found[2]);
        match found[1].trim() {
            "failures" | "errors" | "unexpected successes" => failed = failed.saturating_add(count),
            "skipped" | "expected failures" => skipped = skipped.saturating_add(count),
            _ => {}
        }
    }
    // Each failing subtest is a failure of its own, so there may be more of them than tests.
    let passed = ran.saturating_sub(failed).saturating_sub(skipped);
    let mut reading = Reading::figures(passed, failed, skipped);
    reading.says_none = ran == 0 && failed == 0;
    reading
}

/// Reports lie between two rules of `=`, the last one ends at the rule of `-` before `Ran`.
fn failures(block: &[&str]) -> Vec<Failure> {
    let starts: Vec<usize> =
        (0..block.len()).filter(|index| is_rule(block[*index], '=', 70)).collect();
    starts
        .iter()
        .enumerate()
        .filter_map(|(position, start)| {
            let end = starts.get(position + 1).copied().unwrap_or(block.len());
            failure(&block[start + 1..end])
        })
        .collect()
}

fn failure(report: &[&str]) -> Option<Failure> {
    let found = TITLE.captures(report.first()?)?;
    let test = &found[2];
    // Since 3.11 the part in brackets is the whole name, before it was the class.
    let name = match found.get(3).map(|class| class.as_str()) {
        Some(class) if class.ends_with(&format!(".{test}")) => class.to_owned(),
        Some(class) => format!("{class}.{test}"),
        None => test.to_owned(),
    };
    let name = format!("{name}{}", &found[4]);
    let body: Vec<&str> =
        report[1..].iter().filter(|line| !is_rule(line, '-', 70)).copied().collect();
    let place = place::last(&body);
    let lines = match &found[1] {
        "UNEXPECTED SUCCESS" => vec!["unexpected success: it is marked as an expected failure"],
        _ => body,
    };
    Some(Failure::new(name, lines).at(place))
}

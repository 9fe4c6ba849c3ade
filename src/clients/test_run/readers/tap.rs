//! Reads the Test Anything Protocol, and two tools around it: `prove` (in a file of its own) and the
//! pretty form of `bats`. A `TODO` that fails counts as skipped.

use super::{place, prove};
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    PLAN = r"^1\.\.(\d+)(?: *# *(?i:skip).*)?$";
    RESULT = r"^(not )?ok\b(?: +(\d+))?(?: +-)?(?: +(.*?))?$";
    DIRECTIVE = r"(?i)# *(skip|todo)";
    BATS = r"^(\d+) tests?, (\d+) failures?(?:, (\d+) skipped)?(?: in \d.*)?$";
    BATS_NEXT = r"\d+/\d+ [✓✗-] ";
    BATS_PLACE = r"\((?:in|from) (?:test )?(?:file|function `.*' in file) (\S+), line (\d+)\)";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    Reading::sum(prove::read(lines).into_iter().chain(bats(lines)).chain(protocol(lines)))
}

/// The pretty form of bats: `3 tests, 1 failure, 1 skipped`.
fn bats(lines: &mut Lines<'_>) -> Option<Reading> {
    let (end, line) =
        lines.free().filter(|(_, line)| line.contains(" failure") && BATS.is_match(line)).last()?;
    let found = BATS.captures(line)?;
    let count = |group| found.get(group).map_or(0, |digits| number(digits.as_str()));
    let (total, failed, skipped) = (count(1), count(2), count(3));
    let mut reading =
        Reading::figures(total.saturating_sub(failed).saturating_sub(skipped), failed, skipped);
    reading.says_none = total == 0;
    let block = lines.slice(0, end);
    for (index, line) in block.iter().enumerate() {
        let Some((_, name)) = line.split_once("✗ ") else {
            continue;
        };
        let report: Vec<&str> = block[index + 1..]
            .iter()
            .take(40)
            .take_while(|line| line.starts_with("   ") && !BATS_NEXT.is_match(line))
            .copied()
            .collect();
        reading.fail(Failure::new(name, report.iter().copied()).at(bats_place(&report)));
    }
    lines.take(end..=end);
    Some(reading)
}

fn bats_place(report: &[&str]) -> Option<place::Place> {
    report.iter().find_map(|line| {
        let found = BATS_PLACE.captures(line)?;
        Some((found[1].to_owned(), found[2].parse().ok()?))
    })
}

/// Results at the margin: `ok 1 - adds`, `not ok 2 - adds wrongly # TODO`. A plan is asked for, since
/// a line that begins with `ok` is common.
fn protocol(lines: &mut Lines<'_>) -> Option<Reading> {
    let plans: Vec<u64> = lines
        .free()
        .filter(|(_, line)| line.starts_with("1.."))
        .filter_map(|(_, line)| Some(number(&PLAN.captures(line)?[1])))
        .collect();
    if plans.is_empty() {
        return None;
    }
    let results: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| {
            (line.starts_with("ok") || line.starts_with("not ok")) && RESULT.is_match(line)
        })
        .collect();
    let mut reading = Reading::figures(0, 0, 0);
    for (index, line) in &results {
        let Some(found) = RESULT.captures(line) else {
            continue;
        };
        let name = found.get(3).map_or("", |name| name.as_str());
        if DIRECTIVE.is_match(name) {
            reading.skipped = reading.skipped.saturating_add(1);
        } else if found.get(1).is_none() {
            reading.passed = reading.passed.saturating_add(1);
        } else {
            reading.failed = reading.failed.saturating_add(1);
            reading.fail(failure(name, &found, lines, *index));
        }
    }
    let planned = plans.iter().fold(0, |sum: u64, plan| sum.saturating_add(*plan));
    reading.complete = planned == results.len() as u64 && lines.omission().is_none();
    reading.says_none = planned == 0;
    if let (Some((first, _)), Some((last, _))) = (results.first(), results.last()) {
        lines.take(*first..=*last);
    }
    Some(reading)
}

/// What explains a result: YAML or comments below it.
fn failure(name: &str, found: &regex::Captures<'_>, lines: &Lines<'_>, index: usize) -> Failure {
    let report: Vec<&str> = lines
        .from(index + 1)
        .take(60)
        .take_while(|(_, line)| line.starts_with('#') || line.starts_with(' '))
        .map(|(_, line)| line.trim_start_matches('#'))
        .collect();
    let with_mark: Vec<&str> =
        lines.from(index + 1).take(report.len()).map(|(_, line)| line).collect();
    let place = with_mark
        .iter()
        .find_map(|line| prove::place(line))
        .or_else(|| bats_place(&with_mark))
        .or_else(|| place::first(&with_mark));
    let name = match (name, found.get(2)) {
        ("", Some(number)) => format!("test {}", number.as_str()),
        ("", None) => "a test without a name".to_owned(),
        (name, _) => name.to_owned(),
    };
    Failure::new(name, report).at(place)
}

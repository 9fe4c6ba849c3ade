//! Reads Elixir's ExUnit: `4 tests, 2 failures, 1 skipped` right after its `Finished in` line, the
//! numbered reports above it, and compile errors of `mix`.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^(?:\d+ (?:doctests?|propert(?:y|ies)|features?|tests?), )+(\d+) failures?\b";
    TESTS = r"(\d+) (?:doctests?|propert(?:y|ies)|features?|tests?),";
    EXCLUDED = r"(\d+) (excluded|skipped|invalid)";
    NUMBERED = r"^  +\d+\) (test|property|doctest|feature) (.*)$";
    COMPILE = r"^== Compilation error in file (\S+) ==$|^\*\* \((?:CompileError|SyntaxError|TokenMissingError)\) (\S+?):(?:\d+)";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<usize> = lines
        .free()
        .filter(|(index, line)| {
            line.contains(" failure") && FIGURES.is_match(line)
                // bats ends with the same words. `--slowest` puts a list in between.
                && lines.between(index.saturating_sub(40), *index).any(|(_, line)| line.starts_with("Finished in "))
        })
        .map(|(index, _)| index)
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for end in ends {
        let mut reading = figures(lines.at(end));
        let block = lines.slice(begin, end);
        let starts: Vec<usize> =
            (0..block.len()).filter(|i| NUMBERED.is_match(block[*i])).collect();
        for (position, start) in starts.iter().enumerate() {
            let limit = starts.get(position + 1).copied().unwrap_or(block.len());
            reading.fail(failure(&block[*start..limit]));
        }
        lines.take(begin + starts.first().copied().unwrap_or(block.len())..=end);
        readings.push(reading);
        begin = end + 1;
    }
    readings.extend(compile_error(lines, begin));
    Reading::sum(readings)
}

fn figures(line: &str) -> Reading {
    let total =
        TESTS.captures_iter(line).fold(0, |sum: u64, found| sum.saturating_add(number(&found[1])));
    let mut failed = FIGURES.captures(line).map_or(0, |found| number(&found[1]));
    let (mut skipped, mut excluded) = (0, 0);
    for found in EXCLUDED.captures_iter(line) {
        match &found[2] {
            "skipped" => skipped = number(&found[1]),
            // Tests of a module whose `setup_all` failed.
            "invalid" => failed = failed.saturating_add(number(&found[1])),
            _ => excluded = number(&found[1]),
        }
    }
    let rest = total.saturating_sub(failed).saturating_sub(skipped);
    // Excluded tests are part of the total; they were left out on purpose and are not reported.
    let passed = rest.checked_sub(excluded).unwrap_or(rest);
    let mut reading = Reading::figures(passed, failed, skipped);
    reading.says_none = passed == 0 && failed == 0 && skipped == 0;
    reading
}

/// `  1) test adds wrongly (ShopTest)`, its place, then what happened.
fn failure(report: &[&str]) -> Failure {
    let title = report.first().and_then(|line| NUMBERED.captures(line));
    let name = title.map_or(String::new(), |found| format!("{} {}", &found[1], &found[2]));
    let body = &report[report.len().min(1)..];
    // Reports are indented; what stands at the margin is something else.
    let end = body.iter().position(|line| !line.is_empty() && !line.starts_with("  "));
    let body = &body[..end.unwrap_or(body.len())];
    Failure::new(name, body.iter().copied()).at(place::last(body).or_else(|| place::first(body)))
}

fn compile_error(lines: &mut Lines<'_>, begin: usize) -> Option<Reading> {
    let (start, line) = lines.free().find(|(index, line)| {
        *index >= begin
            && (line.starts_with("== Comp") || line.starts_with("** ("))
            && COMPILE.is_match(line)
    })?;
    let found = COMPILE.captures(line)?;
    let file = found.get(1).or(found.get(2)).map_or("", |file| file.as_str()).to_owned();
    let length = lines.from(start).take(40).take_while(|(_, line)| !line.trim().is_empty()).count();
    let report = lines.slice(start, start + length);
    let place = place::first_in(report, &file);
    let failure =
        Failure::new(format!("does not compile: {file}"), report.iter().copied()).at(place);
    lines.take(start..=start + length);
    Some(Reading { failures: vec![failure], complete: false, ..Reading::default() })
}

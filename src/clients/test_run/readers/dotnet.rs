//! Reads `dotnet test`: one summary line per test project with VSTest, one for all with the terminal
//! logger of newer SDKs and with Microsoft.Testing.Platform.

use super::place::{self, Place};
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    PROJECT = r"^ *(?:Passed|Failed|Skipped)! +- Failed: +(\d+), Passed: +(\d+), Skipped: +(\d+), Total: +\d+";
    WHOLE = r"^Test summary: total: (\d+), failed: (\d+), succeeded: (\d+), skipped: (\d+)";
    RUN = r"^Test run summary: ";
    RUN_FIGURE = r"^ +(total|failed|succeeded|skipped): (\d+)$";
    OLD_TOTAL = r"^Total tests: (\d+)$";
    OLD_FIGURE = r"^ +(Passed|Failed|Skipped): (\d+)$";
    TEST = r"^ *(?:Failed|failed) (\S.*?) (?:\[[^\]]*\]|\([^)]*\))$";
    LOGGED = r"^ {4,}(\S.*?) \([^()]*\): Error Message: (.*)$";
    COMPILER = r"^ *(\S.*?)\((\d+),\d+\): error ((?:CS|FS|BC|MSB|NETSDK|NU)\w+): (.*?)(?: \[[^\]]*\])?$";
    NONE = r"^No test is available in |^Zero tests ran|^No test matches the given testcase filter";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let mut reading = Reading { complete: true, ..Reading::default() };
    let (mut projects, mut whole) = (Vec::new(), None);
    let mut marks = Vec::new();
    for (index, line) in lines.free() {
        if let Some(found) = captures_if(line, "Failed: ", &PROJECT) {
            projects.push(Reading::figures(
                number(&found[2]),
                number(&found[1]),
                number(&found[3]),
            ));
        } else if let Some(found) = captures_if(line, "Test summary: ", &WHOLE) {
            whole = Some(Reading::figures(number(&found[3]), number(&found[2]), number(&found[4])));
        } else if RUN.is_match(line) || OLD_TOTAL.is_match(line) {
            whole = Some(figures_below(lines, index));
        } else if line.starts_with("No test") && NONE.is_match(line)
            || line.starts_with("Zero tests ran")
        {
            reading.says_none = true;
        } else {
            continue;
        }
        marks.push(index);
    }
    let errors = compile_errors(lines);
    let (first, last) = (marks.first().copied(), marks.last().copied());
    if first.is_none() && errors.is_empty() {
        return None;
    }
    reading.complete = errors.is_empty();
    reading.fail_all(errors);
    reading.fail_all(failures(lines, last.unwrap_or(0)));
    if let (Some(first), Some(last)) = (first, last) {
        lines.take(first..=last);
    }
    // The whole repeats what the projects said.
    match whole {
        Some(whole) => reading.add(whole),
        None => projects.into_iter().for_each(|project| reading.add(project)),
    }
    Some(reading)
}

fn captures_if<'l>(
    line: &'l str,
    part: &str,
    pattern: &regex::Regex,
) -> Option<regex::Captures<'l>> {
    if line.contains(part) { pattern.captures(line) } else { None }
}

/// Figures one below the other.
fn figures_below(lines: &Lines<'_>, index: usize) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for (_, line) in lines.from(index + 1).take(8) {
        let found = RUN_FIGURE.captures(line).or_else(|| OLD_FIGURE.captures(line));
        let Some(found) = found else { continue };
        let count = number(&found[2]);
        match &found[1] {
            "succeeded" | "Passed" => reading.passed = count,
            "failed" | "Failed" => reading.failed = count,
            "skipped" | "Skipped" => reading.skipped = count,
            _ => {}
        }
    }
    reading
}

fn failures(lines: &Lines<'_>, last: usize) -> Vec<Failure> {
    let heads: Vec<(usize, String)> = lines
        .between(0, last)
        .filter(|(_, line)| line.trim_start().to_ascii_lowercase().starts_with("failed "))
        .filter_map(|(index, line)| Some((index, TEST.captures(line)?[1].to_owned())))
        .collect();
    let logged = lines.between(0, last).filter(|(_, line)| line.contains(": Error Message: "));
    let logged = logged.filter_map(|(index, line)| {
        let found = LOGGED.captures(line)?;
        let below =
            lines.from(index + 1).take(60).take_while(|(_, line)| line.starts_with("      "));
        let report: Vec<&str> = below.map(|(_, line)| line.trim_start()).collect();
        let place = place::first(&report);
        let text = found.get(2).map(|text| text.as_str()).into_iter().chain(report);
        Some(Failure::new(&found[1], text).at(place))
    });
    let listed = heads.into_iter().map(|(index, name)| {
        let length = lines
            .from(index + 1)
            .take(100)
            .take_while(|(_, line)| {
                !TEST.is_match(line)
                    && !PROJECT.is_match(line)
                    && !line.starts_with("[xUnit")
                    && !line.starts_with("  Passed ")
                    && !line.starts_with("  Skipped ")
                    && !line.starts_with("Test run ")
                    && !line.starts_with("Test summary")
            })
            .count();
        let report = lines.slice(index + 1, index + 1 + length);
        let text =
            report.iter().filter(|line| !matches!(line.trim(), "Error Message:" | "Stack Trace:"));
        Failure::new(name, text.copied()).at(place::first(report))
    });
    logged.chain(listed).collect()
}

/// Errors of the compiler; MSBuild prints each of them twice.
fn compile_errors(lines: &Lines<'_>) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for (_, line) in lines.free().filter(|(_, line)| line.contains("): error ")) {
        let Some(found) = COMPILER.captures(line) else {
            continue;
        };
        let place: Place = (found[1].to_owned(), found[2].parse().unwrap_or(0));
        let message = format!("{}: {}", &found[3], &found[4]);
        let name = format!("does not compile: {}", &found[1]);
        let failure = Failure::new(name, message.lines()).at(Some(place));
        if failures.len() < 10 && !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    failures
}

//! Reads Node's own test runner, in both forms: TAP (`# pass 2`) and the `spec` reporter (`ℹ pass 2`,
//! with `✖ failing tests:` below).

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURE = r"^[#ℹ] (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) (\d+)";
    SUBTEST = r"^( *)# Subtest: (.*)$";
    NOT_OK = r"^( *)not ok \d+(?: - (.*))?$";
    SPEC_PLACE = r"^test at (\S+):(\d+):\d+$";
    SPEC_NAME = r"^✖ (.*?)(?: \(\d[\d.]*ms\))?$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let marks: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| line.starts_with("# ") || line.starts_with("ℹ "))
        .filter(|(_, line)| FIGURE.is_match(line))
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    // `cancelled` is what only Node prints among the many whose TAP ends with such figures.
    for (end, _) in marks.iter().filter(|(_, line)| line.contains(" cancelled ")) {
        // They stand in a fixed order: tests, suites, pass, fail, cancelled, skipped, todo.
        let figures = lines.slice(end.saturating_sub(4), end + 3);
        let spec = lines.at(*end).starts_with('ℹ');
        let start = if spec { begin } else { tap_start(lines, begin, *end) };
        let mut reading = read_figures(figures);
        let (failures, last) = if spec {
            spec_failures(lines, *end)
        } else {
            (tap_failures(lines.slice(start, *end)), *end + 5)
        };
        reading.fail_all(failures);
        readings.push(reading);
        lines.take(if spec { end.saturating_sub(4) } else { start }..=last);
        begin = last + 1;
    }
    Reading::sum(readings)
}

/// The TAP of a run begins with its version.
fn tap_start(lines: &Lines<'_>, begin: usize, end: usize) -> usize {
    lines
        .between(begin, end)
        .find(|(_, line)| line.starts_with("TAP version"))
        .map_or(begin, |(index, _)| index)
}

fn read_figures(lines: &[&str]) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for line in lines {
        let Some(found) = FIGURE.captures(line) else {
            continue;
        };
        let count = number(&found[2]);
        match &found[1] {
            "pass" => reading.passed = count,
            "fail" | "cancelled" => reading.failed = reading.failed.saturating_add(count),
            "skipped" | "todo" => reading.skipped = reading.skipped.saturating_add(count),
            _ => {}
        }
    }
    reading.says_none = reading.total() == 0;
    reading
}

/// The `not ok` lines, under the names of the suites around them.
fn tap_failures(block: &[&str]) -> Vec<Failure> {
    let mut failures = Vec::new();
    // The suites that are open, each with its indent.
    let mut suites: Vec<(usize, &str)> = Vec::new();
    for (index, line) in block.iter().enumerate() {
        if let Some(found) = SUBTEST.captures(line) {
            let indent = found[1].len();
            suites.retain(|(outer, _)| *outer < indent);
            suites.push((indent, found.get(2).map_or("", |name| name.as_str())));
        } else if let Some(found) = NOT_OK.captures(line) {
            let indent = found[1].len();
            let yaml = details(&block[index + 1..], indent);
            let test = found.get(2).map_or("", |name| name.as_str());
            let parts = suites.iter().filter(|(outer, _)| *outer < indent).map(|(_, name)| *name);
            let name: Vec<&str> = parts.chain([test]).collect();
            // A suite fails because of what is in it.
            let suite = yaml.iter().any(|line| line.contains("'subtestsFailed'"));
            if !suite && !test.contains("# TODO") {
                failures
                    .push(Failure::new(name.join(" > "), error_of(yaml)).at(place::first(yaml)));
            }
        }
    }
    failures
}

/// The YAML below a result.
fn details<'l, 'a>(lines: &'l [&'a str], indent: usize) -> &'l [&'a str] {
    let first = lines.first().is_some_and(|line| line.trim() == "---");
    let end = lines.iter().take(400).position(|line| {
        line.trim() == "..." && line.len() - line.trim_start().len() <= indent + 2
    });
    match end {
        Some(end) if first => &lines[1..end],
        _ => &[],
    }
}

/// What of the YAML is for people: the error, and the stack without its own frames.
fn error_of<'a>(yaml: &[&'a str]) -> Vec<&'a str> {
    const NOISE: &[&str] = &[
        "duration_ms:",
        "location:",
        "failureType:",
        "code: 'ERR_",
        "operator:",
        "generatedMessage:",
        "new Promise (",
        "at new Promise (",
        "at async Promise.all",
    ];
    yaml.iter()
        .filter(|line| {
            let text = line.trim_start();
            !NOISE.iter().any(|noise| text.starts_with(noise))
                && !text.contains("node:internal/")
                && !text.contains("(node:")
                && !text.starts_with("async ")
        })
        .copied()
        .collect()
}

/// The reports below `✖ failing tests:`, and the last line that belongs to them.
fn spec_failures(lines: &Lines<'_>, figures: usize) -> (Vec<Failure>, usize) {
    let heading = lines
        .from(figures)
        .take(12)
        .find(|(_, line)| *line == "✖ failing tests:")
        .map(|(index, _)| index);
    let Some(heading) = heading else {
        return (Vec::new(), figures + 3);
    };
    let end = lines
        .from(heading + 1)
        .find(|(_, line)| {
            let report = line.is_empty() || line.starts_with(' ') || SPEC_PLACE.is_match(line);
            !report && !SPEC_NAME.is_match(line)
        })
        .map_or(lines.len(), |(index, _)| index);
    let block = lines.slice(heading + 1, end);
    let starts: Vec<usize> = (0..block.len()).filter(|i| block[*i].starts_with("✖ ")).collect();
    let failures = starts.iter().enumerate().map(|(position, start)| {
        let end = starts.get(position + 1).copied().unwrap_or(block.len());
        let place = start.checked_sub(1).and_then(|above| {
            let found = SPEC_PLACE.captures(block[above])?;
            Some((found[1].to_owned(), found[2].parse().ok()?))
        });
        let name = SPEC_NAME.captures(block[*start]).map_or(String::new(), |f| f[1].to_owned());
        let report: Vec<&str> = block[start + 1..end]
            .iter()
            .filter(|line| !SPEC_PLACE.is_match(line))
            .copied()
            .collect();
        Failure::new(name, error_of(&report)).at(place)
    });
    (failures.collect(), end.saturating_sub(1))
}

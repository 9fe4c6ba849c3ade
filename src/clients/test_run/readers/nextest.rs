//! Reads `cargo nextest run`: from its run id to its `Summary` line and the list of failures after
//! it. It shows what each failed test binary printed, including a libtest summary of its own, so the
//! whole block is taken before `cargo test` is looked for.

use std::collections::HashMap;

use super::rust;
use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    START = r"^\s+(?:Nextest run ID \S|Starting \d+ tests? across)";
    SUMMARY = r"^\s+Summary \[[^\]]*\]\s+(?:\d+/)?(\d+) tests? run: (.*)$";
    // `TRY 2 FAIL [   0.004s] (2/6) shop::basket unwraps`, without the count before 0.9.9.
    STATUS = r"^\s*(?:TRY \d+ )?([A-Z][A-Z0-9-]*(?: \d+/\d+)?)\s+\[[^\]]*\]\s+(?:\([^)]*\)\s+)?(\S.*)$";
    COUNT = r"(\d+) ([a-z][a-z ]*)";
    ASIDE = r"\([^)]*\)";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let mut readings = Vec::new();
    let mut open: Option<usize> = None;
    let marks: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| {
            line.starts_with(' ') && (START.is_match(line) || SUMMARY.is_match(line))
        })
        .collect();
    for (index, line) in marks {
        let Some(found) = SUMMARY.captures(line) else {
            open = open.or(Some(index));
            continue;
        };
        // Without a beginning (cut away) the figures still count, the messages are lost.
        let start = open.take().unwrap_or(index);
        let end = closing(lines, index);
        readings.push(read_block(lines, start, index, end, &found[2]));
        lines.take(start..=end);
    }
    if let Some(start) = open {
        // Stopped in the midst: its inner test results must not be taken for those of `cargo test`.
        lines.take(start..=lines.len());
        readings.push(Reading { complete: false, ..Reading::default() });
    }
    Reading::sum(readings)
}

/// The last line of the block: the list of failures and what it says at its end.
fn closing(lines: &Lines<'_>, summary: usize) -> usize {
    lines
        .from(summary + 1)
        .take_while(|(_, line)| {
            STATUS.is_match(line) || line.starts_with("error: ") || line.starts_with("(hint: ")
        })
        .last()
        .map_or(summary, |(index, _)| index)
}

fn read_block(
    lines: &Lines<'_>,
    start: usize,
    summary: usize,
    end: usize,
    counts: &str,
) -> Reading {
    let mut reading = figures(counts);
    let closing = lines.slice(summary + 1, end + 1);
    reading.says_none = closing.iter().any(|line| line.starts_with("error: no tests to run"));
    let sections = sections(lines.slice(start, summary));
    // `FLAKY 2/3` has passed in the end, `SLOW` and `LEAK` are remarks.
    let failed =
        closing.iter().filter_map(|line| status(line)).filter(|(status, _)| is_failure(status));
    for (status, name) in failed.take(FAILURES_MAX) {
        reading.fail(failure(status, name, sections.get(name).copied()));
    }
    reading
}

/// `2 passed (1 flaky), 1 failed, 1 timed out, 1 skipped`
fn figures(counts: &str) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in COUNT.captures_iter(&ASIDE.replace_all(counts, "")) {
        let count = number(&found[1]);
        let figure = match found[2].trim() {
            "passed" => &mut reading.passed,
            "failed" | "timed out" | "exec failed" => &mut reading.failed,
            "skipped" => &mut reading.skipped,
            _ => continue,
        };
        *figure = figure.saturating_add(count);
    }
    reading
}

fn status(line: &str) -> Option<(&str, &str)> {
    let found = STATUS.captures(line)?;
    Some((found.get(1)?.as_str(), found.get(2)?.as_str().trim_end()))
}

fn is_failure(status: &str) -> bool {
    matches!(
        status,
        "FAIL" | "TIMEOUT" | "XFAIL" | "ABORT" | "FAIL-LEAK" | "LEAK-FAIL" | "FAIL + LEAK"
    ) || status.starts_with("SIG")
}

fn failure(status: &str, name: &str, output: Option<&[&str]>) -> Failure {
    // The name is that of the binary and of the test; a documentation place lies in neither.
    let output = output.unwrap_or(&[]);
    let own: Vec<&str> = output.iter().filter(|line| !is_frame(line)).copied().collect();
    let mut failure = rust::failure(name, &own);
    if failure.message.is_empty() || status != "FAIL" {
        failure.message = format!("{status}\n{}", failure.message).trim_end().to_owned();
    }
    failure
}

/// What nextest and the test binary print around the output of a test.
fn is_frame(line: &str) -> bool {
    let text = line.trim();
    matches!(text, "running 1 test" | "failures:" | "stdout ───" | "stderr ───")
        || text.starts_with("test result: ")
        || (text.starts_with("test ") && text.ends_with(" ... FAILED"))
        || (!text.is_empty() && text.chars().all(|c| c == '─'))
}

/// What each test printed: the lines below its status line. Of several tries the last one stays.
fn sections<'l, 'a>(lines: &'l [&'a str]) -> HashMap<&'a str, &'l [&'a str]> {
    let heads: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(index, line)| Some((index, status(line)?.1)))
        .collect();
    let mut sections = HashMap::new();
    for (position, (index, name)) in heads.iter().enumerate() {
        let end = heads.get(position + 1).map_or(lines.len(), |next| next.0);
        let output = &lines[index + 1..end];
        // `SLOW`, `TERMINATING` and the like show nothing: they must not hide what a failure showed.
        if output.iter().any(|line| !line.trim().is_empty()) {
            sections.insert(*name, output);
        }
    }
    sections
}

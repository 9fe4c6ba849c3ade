//! Reads pytest: from `test session starts` to its last line (`3 failed, 2 passed in 0.04s`). With
//! `-q` only the last line marks it. Expected failures count as skipped, tolerated unexpected passes
//! as passed, errors in fixtures and at collection as failed.

use std::collections::HashMap;

use super::place;
use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, is_rule, number, patterns};

patterns! {
    START = r"^=+ test session starts =+$";
    END = r"^(?:=+ )?((?:\d+ (?:subtests )?(?:passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?|rerun)(?:, )?)+|no tests ran) in \d[\d.]*s(?: \([\d:]+\))?(?: =+)?$";
    COUNT = r"(\d+) ([a-z]+(?: [a-z]+)?)";
    SUMMARY_LINE = r"^(FAILED|ERROR) (\S.*)$";
    TITLE = r"^_{3,} (.+?) _{3,}$";
    KEY_LINE = r"^(?:>|E)(?: |$)";
    PLACE_LINE = r"^\S+\.py:\d+: ";
    HEADING = r"^[=!]{3,} .+ [=!]{3,}$";
    PROGRESS_LINE = r"^(?:\S+\.py )?([.FEsxX]+) +\[ *\d+%\]$";
    PROGRESS = r"^[.FEsxXR]+\s*(?:\[\s*\d+%\])?$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let mut readings = Vec::new();
    let mut open: Option<usize> = None;
    // Tests of pytest plug-ins show whole sessions in their failure reports; the outer one counts.
    let mut depth = 0_usize;
    let mut begin = 0;
    for (index, line) in marks(lines) {
        if START.is_match(line) {
            open = open.or(Some(index));
            depth += 1;
            continue;
        }
        depth = depth.saturating_sub(1);
        if depth > 0 {
            continue;
        }
        let start = open.take().unwrap_or_else(|| quiet_start(lines, begin, index));
        readings.push(read_block(lines, start, index));
        lines.take(start..=index);
        begin = index + 1;
    }
    if readings.is_empty() || open.is_some() {
        readings.extend(unclosed(lines, open.unwrap_or(begin), open.is_some()));
    }
    Reading::sum(readings)
}

/// A session without a last line: stopped in the midst, or told to be very quiet (`-qq`). Its progress
/// is counted, one letter a test.
fn unclosed(lines: &mut Lines<'_>, begin: usize, began: bool) -> Option<Reading> {
    let mut reading = Reading::default();
    let mut marks = Vec::new();
    let mut reported = false;
    for (index, line) in lines.free().skip_while(|(index, _)| *index < begin) {
        if let Some(found) = PROGRESS_LINE.captures(line) {
            count_letters(&found[1], &mut reading);
            marks.push(index);
        } else if line.contains(" short test summary info ") {
            reported = true;
            marks.push(index);
        } else if reported && SUMMARY_LINE.is_match(line) {
            marks.push(index);
        }
    }
    if !began && marks.is_empty() {
        return None;
    }
    let start = if began { begin } else { marks.first().copied().unwrap_or(begin) };
    let last = marks.last().copied().unwrap_or(begin);
    if reading.failed > 0 || reported {
        reading.fail_all(failures(lines.slice(begin, last + 1)));
    }
    lines.take(start..=last);
    Some(reading)
}

fn count_letters(progress: &str, reading: &mut Reading) {
    for letter in progress.chars() {
        match letter {
            '.' | 'X' => reading.passed += 1,
            'F' | 'E' => reading.failed += 1,
            _ => reading.skipped += 1,
        }
    }
}

fn marks<'a>(lines: &Lines<'a>) -> Vec<(usize, &'a str)> {
    lines
        .free()
        .filter(|(_, line)| {
            let closing = line.contains(" in ") && line.len() < 300 && END.is_match(line);
            closing || (line.starts_with('=') && START.is_match(line))
        })
        .collect()
}

/// Where a session without a heading begins: at its progress, or at its first report.
fn quiet_start(lines: &Lines<'_>, begin: usize, end: usize) -> usize {
    lines
        .between(begin, end)
        .find(|(_, line)| {
            (line.starts_with('=') && HEADING.is_match(line))
                || (!line.is_empty() && PROGRESS.is_match(line))
        })
        .map_or(end, |(index, _)| index)
}

fn read_block(lines: &Lines<'_>, start: usize, end: usize) -> Reading {
    let mut reading = figures(lines.at(end));
    if reading.failed > 0 {
        reading.fail_all(failures(lines.slice(start, end)));
    }
    reading
}

/// `3 failed, 2 passed, 1 skipped, 1 xfailed, 1 xpassed, 1 error in 0.04s`
fn figures(line: &str) -> Reading {
    let mut reading = Reading::figures(0, 0, 0);
    for found in COUNT.captures_iter(line) {
        let count = number(&found[1]);
        let word = found[2].split(' ').next().unwrap_or("");
        let whole = &found[2];
        let figure = match word {
            // `2 subtests passed` are parts of tests that are counted themselves.
            _ if whole.starts_with("subtests") => continue,
            "passed" | "xpassed" => &mut reading.passed,
            "failed" | "error" | "errors" => &mut reading.failed,
            "skipped" | "xfailed" => &mut reading.skipped,
            _ => continue,
        };
        *figure = figure.saturating_add(count);
    }
    reading.says_none = reading.total() == 0;
    reading
}

/// Failed tests by the short summary; without one (`-rN`) by the titles of the reports.
fn failures(block: &[&str]) -> Vec<Failure> {
    let sections = sections(block);
    let heading = block.iter().rposition(|line| line.contains(" short test summary info "));
    let listed: Vec<&str> = heading
        .map_or(&[][..], |heading| &block[heading + 1..])
        .iter()
        .filter_map(|line| Some(SUMMARY_LINE.captures(line)?.get(2)?.as_str()))
        .take(FAILURES_MAX)
        .collect();
    if listed.is_empty() {
        let mut titles: Vec<&str> = sections.keys().copied().collect();
        titles.sort_unstable();
        return titles
            .into_iter()
            .map(|title| failure(title, "", sections.get(title).copied()))
            .collect();
    }
    listed.into_iter().map(|line| listed_failure(line, &sections)).collect()
}

/// `tests/test_a.py::TestB::test_c[1] - AssertionError: the sum`
fn listed_failure(line: &str, sections: &HashMap<&str, &[&str]>) -> Failure {
    let (id, short) = line.split_once(" - ").unwrap_or((line, ""));
    let title = id.split_once("::").map_or(id, |(_, test)| test).replace("::", ".");
    let section = sections.get(title.as_str()).copied();
    failure(id, short, section)
}

fn failure(id: &str, short: &str, section: Option<&[&str]>) -> Failure {
    let file = id.split("::").next().filter(|file| file.ends_with(".py"));
    let section = section.unwrap_or(&[]);
    let place = match file {
        Some(file) => place::first_in(section, file).or_else(|| Some((file.to_owned(), 0))),
        None => place::first(section),
    };
    let key_lines = key_lines(section);
    let lines = if key_lines.is_empty() { vec![short] } else { key_lines };
    Failure::new(id, lines).at(place)
}

/// What of a report says why: the failing statement, the error, its place, and what was printed. The
/// source of the whole test is left out.
fn key_lines<'a>(section: &[&'a str]) -> Vec<&'a str> {
    let mut captured = false;
    let key = section.iter().filter(|line| {
        captured |= line.starts_with("---") && line.contains(" Captured ");
        captured || KEY_LINE.is_match(line) || PLACE_LINE.is_match(line)
    });
    let lines: Vec<&str> = key.copied().collect();
    // A doctest or a custom report has no such lines.
    if lines.is_empty() { section.to_vec() } else { lines }
}

/// Reports by the test that they are of: `test_half[6-4]`, `TestBasket.test_error`,
/// `tests/test_broken.py`.
fn sections<'l, 'a>(block: &'l [&'a str]) -> HashMap<&'a str, &'l [&'a str]> {
    let ends: Vec<usize> = block
        .iter()
        .enumerate()
        .filter(|(_, line)| {
            (line.starts_with("___") && TITLE.is_match(line))
                || (line.starts_with("===") && !is_rule(line, '=', 3) && HEADING.is_match(line))
        })
        .map(|(index, _)| index)
        .collect();
    let mut sections = HashMap::new();
    for (position, start) in ends.iter().enumerate() {
        let Some(title) = TITLE.captures(block[*start]).and_then(|found| found.get(1)) else {
            continue;
        };
        let end = ends.get(position + 1).copied().unwrap_or(block.len());
        let title = title.as_str();
        let test = title
            .strip_prefix("ERROR collecting ")
            .or_else(|| title.strip_prefix("ERROR at setup of "))
            .or_else(|| title.strip_prefix("ERROR at teardown of "))
            .unwrap_or(title);
        sections.entry(test).or_insert(&block[*start + 1..end]);
    }
    sections
}

//! Reads `go test`: results of tests (`--- FAIL: TestAdd (0.00s)`) and of packages
//! (`ok example.com/shop 0.002s`, with tabs). Subtests count, the tests around them do not. Without `-v` or
//! `-json` Go names no passing test; then `passed` counts packages, and a note says so.

use std::collections::{HashMap, HashSet};

use super::{go_json, place};
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, patterns};

patterns! {
    TEST = r"^( *)--- (PASS|FAIL|SKIP): (\S+) \(\d[\d.]*s\)$";
    RUNNING = r"^=== (?:RUN|CONT|NAME) +(\S+)$";
    OK = r"^ok  \t\S+\t(.*)$";
    FAILED = r"^FAIL\t(\S+)(?:\t[\d.]+s| \[(\w+) failed\])?$";
    NO_FILES = r"^\?   \t\S+\t\[no test files\]$";
    BUILD = r"^# \[?([^\s\]]+)\]?(?: \[\S+\])?$";
    BUILD_ERROR = r"^(?:vet: )?\S+\.go:\d+(?::\d+)?: ";
    STILL_RUNNING = r"^\t(\w\S*) \(\d[\d.a-z]*\)$";
}

const NOT_VERBOSE: &str =
    "`go test` without `-v` or `-json` names no passing test: `passed` counts packages";

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let unfolded = go_json::unfold(lines);
    let omission = lines.omission().is_some();
    let from_events = unfolded.as_deref().map(|text| read_text(&mut Lines::new(text)));
    let from_text = read_text(lines);
    let mut reading = match from_events {
        Some(events) => Reading::sum(events.into_iter().chain(from_text)).unwrap_or_default(),
        None => from_text?,
    };
    reading.complete &= !omission;
    Some(reading)
}

/// A package while its lines go by.
#[derive(Default)]
struct Package<'a> {
    start: Option<usize>,
    /// Full name, result and line of each test.
    tests: Vec<(&'a str, &'a str, usize)>,
    /// With `-v`: the lines that each test printed, which stand above its result.
    logs: HashMap<&'a str, Vec<&'a str>>,
    running: Option<&'a str>,
}

/// How a package ended.
enum End<'a> {
    Ok,
    Empty,
    /// Its name, and whether it could not even be built.
    Failed(&'a str, bool),
}

fn read_text(lines: &mut Lines<'_>) -> Option<Reading> {
    let mut reading = Reading::figures(0, 0, 0);
    let mut package = Package::default();
    let (mut verbose, mut ok, mut ranges) = (false, 0_u64, Vec::new());
    let mut builds = Vec::new();
    for (index, line) in lines.free() {
        if let Some(end) = package_end(line) {
            let package = std::mem::take(&mut package);
            let start = package.start.unwrap_or(index);
            ok += u64::from(matches!(end, End::Ok));
            reading.add(package.judge(end, lines, start, index));
            ranges.push(start..=index);
        } else if let Some(found) = line.starts_with("# ").then(|| BUILD.captures(line)).flatten() {
            let errors = build_errors(lines, index + 1);
            if !errors.is_empty() {
                builds.push(build_failure(&found[1], errors));
                package.start = package.start.or(Some(index));
            }
        } else {
            verbose |= package.see(index, line);
        }
    }
    if ranges.is_empty() {
        return None;
    }
    // What does not build comes first: it explains what is missing below.
    reading.complete &= builds.is_empty();
    let tests = std::mem::replace(&mut reading.failures, builds);
    reading.fail_all(tests);
    if !verbose && ok > 0 {
        reading.passed = ok;
        reading.complete = false;
        reading.note = Some(NOT_VERBOSE);
    }
    let executed = reading.total();
    reading.says_none = ok == 0 && executed == 0 && reading.failures.is_empty();
    ranges.into_iter().for_each(|range| lines.take(range));
    Some(reading)
}

fn package_end(line: &str) -> Option<End<'_>> {
    if line.starts_with("ok  \t") {
        let empty = OK.captures(line)?[1].contains("[no tests to run]");
        return Some(if empty { End::Empty } else { End::Ok });
    }
    if line.starts_with("?   \t") {
        return NO_FILES.is_match(line).then_some(End::Empty);
    }
    let found = line.starts_with("FAIL\t").then(|| FAILED.captures(line)).flatten()?;
    Some(End::Failed(found.get(1)?.as_str(), found.get(2).is_some()))
}

/// The lines below `# package` that look like those of the compiler.
fn build_errors<'l, 'a>(lines: &'l Lines<'a>, start: usize) -> &'l [&'a str] {
    let length = lines
        .from(start)
        .take(100)
        .take_while(|(_, line)| BUILD_ERROR.is_match(line) || line.starts_with('\t'))
        .count();
    lines.slice(start, start + length)
}

fn build_failure(package: &str, errors: &[&str]) -> Failure {
    let name = format!("does not build: {package}");
    Failure::new(name, errors.iter().copied()).at(place::first(errors))
}

impl<'a> Package<'a> {
    /// Notes a line; says whether it is one that only `-v` prints.
    fn see(&mut self, index: usize, line: &'a str) -> bool {
        if line.starts_with("=== ") {
            let found = RUNNING.captures(line).and_then(|found| found.get(1));
            self.running = found.map(|name| name.as_str());
            self.start = self.start.or(self.running.map(|_| index));
            return self.running.is_some();
        }
        if let Some((name, result)) = test_result(line) {
            self.running = None;
            self.start = self.start.or(Some(index));
            self.tests.push((name, result, index));
            return result == "PASS";
        }
        if line.starts_with("panic: ") {
            self.start = self.start.or(Some(index));
        }
        if let Some(name) = self.running {
            let log = self.logs.entry(name).or_default();
            if log.len() < 200 {
                log.push(line);
            }
        }
        false
    }

    fn judge(self, end: End<'_>, lines: &Lines<'_>, start: usize, last: usize) -> Reading {
        let mut reading = Reading::figures(0, 0, 0);
        let failed = self.tests.iter().filter(|(_, result, _)| *result == "FAIL");
        let explained: HashSet<&str> = failed.flat_map(|(name, _, _)| ancestors(name)).collect();
        let parents: HashSet<&str> =
            self.tests.iter().flat_map(|(name, _, _)| ancestors(name)).collect();
        for (name, result, index) in &self.tests {
            match *result {
                // A test around subtests counts only when none of them explains its failure.
                "FAIL" if !explained.contains(name) => {
                    reading.failed += 1;
                    reading.fail(self.failure(name, lines, *index));
                }
                _ if parents.contains(name) => {}
                "PASS" => reading.passed += 1,
                "SKIP" => reading.skipped += 1,
                _ => {}
            }
        }
        if let End::Failed(name, unbuilt) = end
            && reading.failed == 0
            && !unbuilt
        {
            reading.failed = 1;
            reading.fail(ended_early(name, lines.slice(start, last)));
        }
        reading
    }

    /// A failed test: what it logged stands below its result, with `-v` above it.
    fn failure(&self, name: &str, lines: &Lines<'_>, index: usize) -> Failure {
        let indent = indent(lines.at(index));
        let below = lines
            .from(index + 1)
            .take(200)
            .take_while(|(_, line)| indent < self::indent(line) && test_result(line).is_none())
            .count();
        let logged = self.logs.get(name).map_or(&[][..], Vec::as_slice);
        let mut log = logged.to_vec();
        let mut place = None;
        log.extend(lines.slice(index + 1, index + 1 + below));
        if lines.at(index + 1 + below).starts_with("panic: ") {
            let panic = lines.from(index + 1 + below).take(60).map(|(_, line)| line);
            log.extend(panic.take_while(|line| package_end(line).is_none()));
            place = place::first(&log);
        }
        // The last thing that a test logs is mostly why it fails.
        let place = place.or_else(|| place::last(&log));
        Failure::new(name, log.iter().copied()).at(place)
    }
}

fn test_result(line: &str) -> Option<(&str, &str)> {
    if !line.trim_start_matches(' ').starts_with("--- ") {
        return None;
    }
    let found = TEST.captures(line)?;
    Some((found.get(3)?.as_str(), found.get(2)?.as_str()))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// `TestHalf` and `TestHalf/six` for `TestHalf/six/deep`.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// A package that failed without a failed test: its test binary panicked, exited or ran out of time.
fn ended_early(package: &str, output: &[&str]) -> Failure {
    let panic = output.iter().position(|line| line.starts_with("panic: "));
    let report = &output[panic.unwrap_or(0)..];
    // A time-out names the tests that were running, since Go 1.20.
    let running = report.iter().find_map(|line| Some(STILL_RUNNING.captures(line)?[1].to_owned()));
    let name = running.unwrap_or_else(|| format!("{package} ended before its tests did"));
    Failure::new(name, report.iter().take(60).copied()).at(place::first(report))
}

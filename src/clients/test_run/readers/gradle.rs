//! Reads Gradle's console. By default Gradle prints failing tests only, and figures only when one
//! failed: whoever wants the numbers of a good run reads its XML reports as well.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^(\d+) tests? completed(?:, (\d+) failed)?(?:, (\d+) skipped)?$";
    TEST = r"^(\S.* > \S.*) (PASSED|FAILED|SKIPPED)$";
    BUILD = r"^BUILD (SUCCESSFUL|FAILED) in \d";
    JAVAC = r"^(\S+\.(?:java|kt|groovy|scala)):(\d+): error: (.*)$";
    KOTLIN = r"^e: (?:file://)?(\S+\.kts?):(\d+):\d+:? (.*)$";
    WRONG = r"^\* What went wrong:$";
}

const NO_FIGURES: &str = "gradle prints figures only for failing tests: read its XML reports for the \
                          others";

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<usize> = lines
        .free()
        .filter(|(_, line)| line.starts_with("BUILD ") && BUILD.is_match(line))
        .map(|(index, _)| index)
        .collect();
    let mut begin = 0;
    let mut readings = Vec::new();
    for end in ends {
        let start = lines
            .between(begin, end)
            .find(|(_, line)| {
                line.starts_with("> Task :") || line.starts_with(':') || TEST.is_match(line)
            })
            .map_or(end, |(index, _)| index);
        readings.push(read_block(lines.slice(start, end)));
        lines.take(start..=end);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn read_block(block: &[&str]) -> Reading {
    let mut closing: Option<Reading> = None;
    let mut listed = Reading::default();
    let mut compiles = true;
    for (index, line) in block.iter().enumerate() {
        if let Some(found) = TEST.captures(line) {
            match &found[2] {
                "PASSED" => listed.passed += 1,
                "SKIPPED" => listed.skipped += 1,
                _ => {
                    listed.failed += 1;
                    listed.fail(failure(&found[1], &block[index + 1..]));
                }
            }
        } else if let Some(found) = FIGURES.captures(line) {
            // Each module with a failing test prints its own.
            closing.get_or_insert_with(|| Reading::figures(0, 0, 0)).add(figures(&found));
        } else if let Some(error) = compile_error(line) {
            compiles = false;
            listed.fail(error);
        }
    }
    let mut reading = match closing {
        // With passing tests listed, those of modules without a failing one are among them.
        Some(closing) if closing.total() >= listed.total() => {
            Reading { failures: listed.failures, complete: compiles, ..closing }
        }
        _ => {
            let says_none = says_none(block);
            let silent = listed.total() == 0 && !says_none;
            Reading { says_none, note: silent.then_some(NO_FIGURES), ..listed }
        }
    };
    if reading.failures.is_empty() {
        reading.fail_all(wrong(block));
    }
    reading
}

fn figures(found: &regex::Captures<'_>) -> Reading {
    let count = |group| found.get(group).map_or(0, |digits| number(digits.as_str()));
    let (completed, failed, skipped) = (count(1), count(2), count(3));
    let passed = completed.saturating_sub(failed).saturating_sub(skipped);
    Reading::figures(passed, failed, skipped)
}

fn says_none(block: &[&str]) -> bool {
    let tests = block.iter().filter(|line| line.contains(":test"));
    let no_source = tests.clone().any(|line| line.ends_with(" NO-SOURCE"));
    let ran =
        tests.clone().any(|line| !line.ends_with(" NO-SOURCE") && !line.contains(":testClasses"));
    (no_source && !ran)
        || block.iter().any(|line| line.starts_with("> No tests found for given includes"))
}

/// A failed test; its indented trace follows.
fn failure(name: &str, below: &[&str]) -> Failure {
    let length = below.iter().take(100).take_while(|line| line.starts_with("    ")).count();
    let trace = &below[..length];
    // `shop.PricesTest > addsWrongly()`: the file is named after the class.
    let class = name.split(" > ").next().unwrap_or(name);
    let class = class.rsplit('.').next().unwrap_or(class);
    Failure::new(name, trace.iter().copied()).at(place::first_in(trace, &format!("{class}.java")))
}

fn compile_error(line: &str) -> Option<Failure> {
    // Old plain consoles print the task's name right before whatever comes next.
    let task = line.starts_with(':').then(|| line.find('/')).flatten();
    let line = &line[task.unwrap_or(0)..];
    let found = JAVAC.captures(line).or_else(|| KOTLIN.captures(line))?;
    let place = (found[1].to_owned(), found[2].parse().ok()?);
    let name = format!("does not compile: {}", &found[1]);
    Some(Failure::new(name, [found.get(3)?.as_str()]).at(Some(place)))
}

/// What Gradle says went wrong, when no test and no compiler said it.
fn wrong(block: &[&str]) -> Option<Failure> {
    let start = block.iter().position(|line| WRONG.is_match(line))?;
    let below = &block[start + 1..];
    let end = below.iter().position(|line| line.starts_with("* ")).unwrap_or(below.len());
    if below.iter().any(|line| line.starts_with("> No tests found for given includes")) {
        return None;
    }
    Some(Failure::new("the build failed", below[..end].iter().copied()))
}

//! What a panic of a Rust test and an error of the Rust compiler look like, for the two runners of
//! Rust tests. Knows nothing of how those runners count.

use super::place::Place;
use crate::clients::test_run::summary::Failure;
use crate::clients::test_run::text::{Lines, patterns};

patterns! {
    PANICKED = r"panicked at (?:'.*', )?([^\s:']+):(\d+):\d+";
    DID_NOT_PANIC = r"test did not panic as expected at ([^\s:]+):(\d+):\d+";
    DOCTEST = r"^(\S+) - .*\(line (\d+)\)$";
    ARROW = r"^\s*--> ([^\s:]+):(\d+):\d+";
    COMPILER_ERROR = r"^error(?:\[E\d+\])?: ";
}

/// How many compiler errors are kept: later ones mostly follow from the first.
const COMPILER_ERRORS_MAX: usize = 10;

/// One failed test, from its name and what it printed.
pub(super) fn failure(name: &str, output: &[&str]) -> Failure {
    let lines = without_backtrace(output);
    Failure::new(name, lines.iter().copied()).at(place(name, output))
}

/// Where a test failed: for a documentation test what its name says, since it panics in a generated
/// file.
fn place(name: &str, output: &[&str]) -> Option<Place> {
    if let Some(found) = DOCTEST.captures(name) {
        return Some((found[1].to_owned(), found[2].parse().ok()?));
    }
    output.iter().find_map(|line| {
        let found = PANICKED.captures(line).or_else(|| DID_NOT_PANIC.captures(line))?;
        let file = &found[1];
        // A panic inside the standard library says nothing of the repository.
        let own = !file.contains("/rustc/") && !file.contains("/library/");
        own.then(|| Some((file.to_owned(), found[2].parse().ok()?)))?
    })
}

/// The output without the stack backtrace and the hint how to get one: long, and the message has
/// already said where.
fn without_backtrace<'a>(output: &[&'a str]) -> Vec<&'a str> {
    let mut in_backtrace = false;
    let mut kept = Vec::new();
    for line in output {
        let text = line.trim_start();
        if text.starts_with("stack backtrace:") {
            in_backtrace = true;
        }
        let frame = text.starts_with("at ")
            || text.split_once(": ").is_some_and(|(number, _)| {
                !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
            });
        if in_backtrace && !frame && !text.starts_with("stack backtrace:") {
            in_backtrace = false;
        }
        let hint = text.starts_with("note: run with `RUST_BACKTRACE")
            || text.starts_with("note: Some details are omitted");
        if !in_backtrace && !hint {
            kept.push(*line);
        }
    }
    kept
}

/// The first errors of the compiler, if the build failed; takes their lines.
pub(super) fn compile_errors(lines: &mut Lines<'_>) -> Vec<Failure> {
    let failed = lines.free().any(|(_, line)| line.starts_with("error: could not compile"));
    if !failed {
        return Vec::new();
    }
    let starts: Vec<usize> = lines
        .free()
        .filter(|(_, line)| COMPILER_ERROR.is_match(line) && !is_aftermath(line))
        .map(|(index, _)| index)
        .take(COMPILER_ERRORS_MAX)
        .collect();
    let mut failures: Vec<Failure> = Vec::new();
    for start in starts {
        let end = lines
            .from(start + 1)
            .take(200)
            .find(|(_, line)| line.trim().is_empty())
            .map_or(start + 1, |(index, _)| index);
        let failure = compile_error(lines.slice(start, end));
        lines.take(start..=end);
        // A library is compiled twice, once for its own tests, and says the same twice.
        let repeated =
            failures.iter().any(|f| f.message == failure.message && f.line == failure.line);
        if !repeated {
            failures.push(failure);
        }
    }
    failures
}

/// Lines of cargo that begin like an error of the compiler.
fn is_aftermath(line: &str) -> bool {
    [
        "error: could not compile",
        "error: test failed",
        "error: doctest failed",
        "error: aborting",
        "error: command `",
    ]
    .iter()
    .any(|start| line.starts_with(start))
        || line.ends_with("targets failed:")
        || line.ends_with("target failed:")
}

fn compile_error(block: &[&str]) -> Failure {
    let place = block.iter().find_map(|line| {
        let found = ARROW.captures(line)?;
        Some((found[1].to_owned(), found[2].parse().ok()?))
    });
    let name = match &place {
        Some((file, _)) => format!("does not compile: {file}"),
        None => "does not compile".to_owned(),
    };
    Failure::new(name, block.iter().copied()).at(place)
}

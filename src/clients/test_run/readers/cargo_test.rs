//! Reads `cargo test`: one block per test binary and one for documentation tests, each from
//! `running 5 tests` to `test result: ...`. A build that fails has no blocks, but compiler errors.

use std::collections::HashMap;

use super::rust;
use crate::clients::test_run::summary::{FAILURES_MAX, Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    RUNNING = r"^running (\d+) tests?$";
    RESULT = r"^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; (\d+) measured;";
    SECTION = r"^---- (.+) (?:stdout|stderr) ----$";
}

/// Where a block begins and ends, and the figures on its last line.
struct Block {
    start: usize,
    end: usize,
    figures: Option<[u64; 4]>,
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let errors = rust::compile_errors(lines);
    let blocks = blocks(lines);
    if errors.is_empty() && blocks.is_empty() {
        return None;
    }
    let mut reading = Reading::figures(0, 0, 0);
    for block in &blocks {
        reading.add(read_block(lines, block));
        lines.take(block.start..=block.end);
    }
    if !errors.is_empty() {
        reading.complete = false;
        // What does not compile comes first: it explains what is missing below.
        let tests = std::mem::take(&mut reading.failures);
        reading.fail_all(errors.into_iter().chain(tests));
    }
    Some(reading)
}

/// The blocks in the order in which they ran.
fn blocks(lines: &Lines<'_>) -> Vec<Block> {
    let omission = lines.omission();
    let mut blocks: Vec<Block> = Vec::new();
    let mut expected = 0;
    for (index, line) in lines.free() {
        if !line.starts_with("running ") && !line.starts_with("test result: ") {
            continue;
        }
        if let Some(found) = RUNNING.captures(line) {
            expected = number(&found[1]);
            blocks.push(Block { start: index, end: index, figures: None });
        } else if let Some(found) = RESULT.captures(line) {
            let figures = [1, 2, 3, 4].map(|group| number(&found[group]));
            close(&mut blocks, index, figures, expected, omission);
        }
    }
    // A binary that died has no result: its block reaches to the next one, or to the end.
    let starts: Vec<usize> = blocks.iter().skip(1).map(|block| block.start).collect();
    for (position, block) in blocks.iter_mut().enumerate() {
        if block.figures.is_none() {
            let next = starts.get(position).copied().unwrap_or(lines.len());
            block.end = next.saturating_sub(1).max(block.start);
        }
    }
    blocks
}

/// Notes a result line for the block that is open.
///
/// A test may print such a line itself. The true one stands last and its numbers add up to the number
/// announced, so a later line replaces an earlier one unless it fits less well. After an omission a
/// line that does not fit belongs to a block whose beginning is missing.
fn close(
    blocks: &mut Vec<Block>,
    index: usize,
    figures: [u64; 4],
    expected: u64,
    omission: Option<usize>,
) {
    let fits = |figures: &[u64; 4]| {
        figures.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)) == expected
    };
    let open = blocks.last_mut().filter(|open| {
        fits(&figures) || !omission.is_some_and(|cut| open.end < cut && cut < index)
    });
    match open {
        Some(open) => {
            let better = open.figures.is_none_or(|before| fits(&figures) || !fits(&before));
            if better {
                open.figures = Some(figures);
                open.end = index;
            }
        }
        None => blocks.push(Block { start: index, end: index, figures: Some(figures) }),
    }
}

fn read_block(lines: &Lines<'_>, block: &Block) -> Reading {
    let Some([passed, failed, ignored, measured]) = block.figures else {
        return read_broken_block(lines, block);
    };
    let mut reading = Reading::figures(passed.saturating_add(measured), failed, ignored);
    if failed > 0 {
        reading.fail_all(failures(lines, block));
    }
    reading
}

/// A binary that ended before its result: aborted, killed, or still running when it was stopped.
fn read_broken_block(lines: &Lines<'_>, block: &Block) -> Reading {
    let all = lines.slice(block.start, block.end + 1);
    let count = |end: &str| {
        let tests = all.iter().filter(|line| line.starts_with("test "));
        tests.filter(|line| line.ends_with(end)).count() as u64
    };
    let mut reading = Reading::figures(count(" ... ok"), count(" ... FAILED"), 0);
    reading.complete = false;
    let crash = all.iter().position(|line| line.contains("process didn't exit successfully"));
    if let Some(crash) = crash {
        reading.failed = reading.failed.saturating_add(1);
        let name = all
            .iter()
            .find_map(|line| line.strip_prefix("error: test failed, to rerun pass "))
            .map_or("a test binary crashed".to_owned(), |target| {
                format!("the test binary {target} crashed")
            });
        let from = crash.saturating_sub(30);
        reading.fail(Failure::new(name, all[from..=crash].iter().copied()));
    }
    reading
}

/// The failed tests of a block: names from the closing list, messages from the sections above it.
fn failures(lines: &Lines<'_>, block: &Block) -> Vec<Failure> {
    let all = lines.slice(block.start, block.end);
    let list = all.iter().rposition(|line| *line == "failures:");
    let Some(list) = list else { return Vec::new() };
    let names =
        all[list + 1..].iter().filter_map(|line| line.strip_prefix("    ")).take(FAILURES_MAX);
    let sections = sections(&all[..list]);
    names.map(|name| rust::failure(name, sections.get(name).copied().unwrap_or(&[]))).collect()
}

/// What each failed test printed, by its name. A name that a test printed itself as a heading comes
/// later than the true one, and does not replace it.
fn sections<'l, 'a>(lines: &'l [&'a str]) -> HashMap<&'a str, &'l [&'a str]> {
    let heads: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.starts_with("---- "))
        .filter_map(|(index, line)| {
            let found = SECTION.captures(line)?;
            Some((index, found.get(1)?.as_str()))
        })
        .collect();
    let mut sections = HashMap::new();
    for (position, (index, name)) in heads.iter().enumerate() {
        let end = heads.get(position + 1).map_or(lines.len(), |next| next.0);
        sections.entry(*name).or_insert(&lines[index + 1..end]);
    }
    sections
}

//! Finds the total of a coverage report in the output of a test run, whichever tool printed it.
//!
//! Does not compute anything: a tool that prints no total (Go with several packages) gives none, since
//! an average of shares would be a made-up figure.

use super::text::{Lines, patterns};

patterns! {
    PERCENT = r"(\d{1,3}(?:\.\d+)?)\s*%";
    NUMBER = r"\d{1,3}(?:\.\d+)?";
    TOTAL = r"^TOTAL\s+\d";
    GO_TOTAL = r"^total:\s+\(statements\)\s+(\d{1,3}(?:\.\d+)?)%$";
    GO_PACKAGE = r"\bcoverage: (\d{1,3}(?:\.\d+)?)% of statements";
    NAMED = r"^(?:(\d{1,3}(?:\.\d+)?)% coverage, \d+/\d+ lines covered|Line Coverage: (\d{1,3}(?:\.\d+)?)% |\s+Lines:\s+(\d{1,3}(?:\.\d+)?)% \(\s*\d+/\s*\d+\)|\s*lines\.*: (\d{1,3}(?:\.\d+)?)% \(|.* LOC \((\d{1,3}(?:\.\d+)?)%\) covered|\s*(\d{1,3}(?:\.\d+)?)% \| Total\s*$|\[TOTAL\]\s+(\d{1,3}(?:\.\d+)?)%)";
}

/// The covered share of lines or statements in percent; of several reports the last one.
pub(super) fn total(lines: &Lines<'_>) -> Option<f64> {
    let mut found = None;
    let mut go_packages = Vec::new();
    for (_, line) in lines.from(0) {
        // Nearly no line goes further than this.
        if line.len() > 400 || !line.bytes().any(|byte| byte == b'%' || byte == b'|') {
            continue;
        }
        if let Some(share) = GO_PACKAGE.captures(line).and_then(|found| percent(&found[1])) {
            // A package is listed twice with `-v`, next to `PASS` and in its result.
            if line.starts_with("ok  \t") {
                go_packages.push(share);
            }
            continue;
        }
        found = of_line(line).or(found);
    }
    match go_packages[..] {
        [only] => found.or(Some(only)),
        _ => found,
    }
}

fn of_line(line: &str) -> Option<f64> {
    if let Some(found) = GO_TOTAL.captures(line) {
        return percent(&found[1]);
    }
    if TOTAL.is_match(line) {
        let shares: Vec<f64> =
            PERCENT.captures_iter(line).filter_map(|found| percent(&found[1])).collect();
        // coverage.py prints one; llvm-cov prints those of regions, functions, lines, branches.
        return shares.get(2).or(shares.last()).copied();
    }
    if let Some((_, columns)) = line.to_ascii_lowercase().split_once("all files") {
        return of_table(columns);
    }
    let found = NAMED.captures(line)?;
    let share = found.iter().skip(1).flatten().next()?;
    percent(share.as_str())
}

/// `All files | statements | branches | functions | lines |`, Node's `lines | branches | functions |`,
/// Bun's `functions | lines |`.
fn of_table(columns: &str) -> Option<f64> {
    let numbers: Vec<f64> = columns
        .split('|')
        .filter_map(|cell| {
            percent(NUMBER.find(cell.trim()).filter(|n| n.len() == cell.trim().len())?.as_str())
        })
        .collect();
    match numbers[..] {
        [_, lines] => Some(lines),
        [lines, _, _] => Some(lines),
        [_, _, _, lines, ..] => Some(lines),
        _ => None,
    }
}

fn percent(digits: &str) -> Option<f64> {
    digits.parse().ok().filter(|share| (0.0..=100.0).contains(share))
}

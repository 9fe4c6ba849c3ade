//! Reads Maven's console with surefire or failsafe: the figures below `Results:` of each module, the
//! reports marked `<<< FAILURE!`, and errors of the compiler. Many modules are summed.

use super::place::Place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)(.*)$";
    // surefire 2: `raises(shop.PricesTest)  Time elapsed: ...`; 3: `shop.PricesTest.raises -- Time ...`
    REPORT = r"^(\S.*?)(?:\((\S+)\))? +(?:-- )?Time elapsed: \S+ s +<<< (?:FAILURE|ERROR)!";
    FRAME = r"\((\w+\.(?:java|kt|scala|groovy)):(\d+)\)$";
    SUREFIRE = r"^--- (?:maven-)?(?:surefire|failsafe)(?:-plugin)?:\S+:(?:test|integration-test) ";
    COMPILER = r"^(\S+\.(?:java|kt|scala|groovy)):\[(\d+),\d+\] (.*)$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let mut totals = Vec::new();
    let mut classes = Vec::new();
    let mut extra = Reading { complete: true, ..Reading::default() };
    let (mut first, mut last, mut reached) = (None, 0, false);
    for (index, line) in lines.free() {
        let text = plain(line);
        if text.starts_with("Tests run: ") {
            let Some(found) = FIGURES.captures(text) else {
                continue;
            };
            let of_class = found[5].contains("Time elapsed");
            if of_class { &mut classes } else { &mut totals }.push(figures(&found));
        } else if text.contains(" <<< ") {
            match report(lines, index, text) {
                Some(failure) => extra.fail(failure),
                None => continue,
            }
        } else if text.starts_with("COMPILATION ERROR") {
            extra.fail_all(compile_errors(lines, index));
            extra.complete = false;
        } else if text == "No tests to run." || text.contains(": No tests were executed!") {
            extra.says_none = true;
        } else if SUREFIRE.is_match(text) {
            reached = true;
        } else if text == "BUILD SUCCESS" && reached && totals.is_empty() && classes.is_empty() {
            // It came to the tests, ended well and printed no figures: none were selected.
            extra.says_none = true;
        } else {
            continue;
        }
        first = first.or(Some(index));
        last = index;
    }
    let nothing = totals.is_empty() && classes.is_empty() && extra.failures.is_empty();
    if nothing && !extra.says_none {
        return None;
    }
    lines.take(first?..=last);
    // Totals repeat the figures of the classes; without any (cut off, stopped) those must do.
    extra.complete &= !totals.is_empty() || extra.says_none;
    let counted = if totals.is_empty() { classes } else { totals };
    Reading::sum(std::iter::once(extra).chain(counted))
}

/// The line without Maven's level in front.
fn plain(line: &str) -> &str {
    let level = ["[INFO] ", "[ERROR] ", "[WARNING] ", "[WARN] "];
    level.iter().find_map(|level| line.strip_prefix(level)).unwrap_or(line).trim()
}

fn figures(found: &regex::Captures<'_>) -> Reading {
    let [run, failures, errors, skipped] = [1, 2, 3, 4].map(|group| number(&found[group]));
    let failed = failures.saturating_add(errors);
    let passed = run.saturating_sub(failed).saturating_sub(skipped);
    Reading::figures(passed, failed, skipped)
}

/// A failed test and the trace below it, up to an empty line.
fn report(lines: &Lines<'_>, index: usize, line: &str) -> Option<Failure> {
    let found = REPORT.captures(line)?;
    let name = match found.get(2) {
        Some(class) => format!("{}.{}", class.as_str(), &found[1]),
        None => found[1].to_owned(),
    };
    // `Tests run: ... <<< FAILURE!` is the line of the class.
    if name.starts_with("Tests run:") {
        return None;
    }
    let length = lines
        .from(index + 1)
        .take(100)
        .take_while(|(_, line)| !line.trim().is_empty() && !line.starts_with('['))
        .count();
    let trace = lines.slice(index + 1, index + 1 + length);
    let class = name.rsplit('.').nth(1).unwrap_or(&name).to_owned();
    Some(Failure::new(name, trace.iter().copied()).at(frame_in(trace, &class)))
}

/// The first frame in the file of the test's own class. Java names files without their folders.
fn frame_in(trace: &[&str], class: &str) -> Option<Place> {
    let frames = trace.iter().filter_map(|line| {
        let found = FRAME.captures(line.trim_end())?;
        Some((found[1].to_owned(), found[2].parse().ok()?))
    });
    let outer = class.split('$').next().unwrap_or(class);
    frames.into_iter().find(|(file, _): &Place| file.starts_with(outer))
}

/// Errors below the heading; Maven repeats them at its end.
fn compile_errors(lines: &Lines<'_>, heading: usize) -> Vec<Failure> {
    let block = lines.from(heading + 2).take(100).map(|(_, line)| plain(line));
    let errors = block.take_while(|line| !line.starts_with("-----"));
    errors
        .filter_map(|line| {
            let found = COMPILER.captures(line)?;
            let place = (found[1].to_owned(), found[2].parse().ok()?);
            let name = format!("does not compile: {}", &found[1]);
            Some(Failure::new(name, [found.get(3)?.as_str()]).at(Some(place)))
        })
        .take(10)
        .collect()
}

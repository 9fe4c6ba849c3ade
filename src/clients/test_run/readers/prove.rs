//! Reads the summary of Perl's `prove`, for [`super::tap`], whose results it sums.

use super::place::Place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    PROVE = r"^Files=\d+, Tests=(\d+), ";
    PROVE_RESULT = r"^Result: (PASS|FAIL|NOTESTS)$";
    PROVE_FILE = r"^(\S+) +\(Wstat: (\d+).* Tests: \d+ Failed: (\d+)\)$";
    PROVE_SKIPPED = r"^\t\(less (\d+) skipped subtests?";
    FAILED_TEST = r"^# +Failed test (?:'(.*)'|(\d+))?";
    PERL_PLACE = r"^# +(?:at|in) (\S+?)(?: at)? line (\d+)\.?$";
}

/// The summary of `prove`; with `-v` the results that it sums stand above and are taken with it.
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let end = lines.free().filter(|(_, line)| PROVE_RESULT.is_match(line)).last()?.0;
    let mut reading = Reading::figures(0, 0, 0);
    let (mut total, mut died) = (0_u64, 0_u64);
    for (_, line) in lines.free().take_while(|(index, _)| *index < end) {
        if let Some(found) = PROVE.captures(line) {
            total = total.saturating_add(number(&found[1]));
        } else if let Some(found) = PROVE_FILE.captures(line) {
            reading.failed = reading.failed.saturating_add(number(&found[3]));
            // A file that dies has failed even when each of its tests had passed.
            if &found[3] == "0" && &found[2] != "0" {
                died += 1;
                reading.fail(Failure::new(&found[1], ["the file ended with an error"]));
            }
        } else if let Some(found) = PROVE_SKIPPED.captures(line) {
            reading.skipped = reading.skipped.saturating_add(number(&found[1]));
        }
    }
    reading.passed = total.saturating_sub(reading.failed).saturating_sub(reading.skipped);
    reading.failed = reading.failed.saturating_add(died);
    reading.says_none = lines.at(end) == "Result: NOTESTS";
    reading.fail_all(diagnostics(lines.slice(0, end)));
    lines.take(0..=end);
    Some(reading)
}

/// `#   Failed test 'adds'`, its place, and the comment lines below it, as Perl prints them.
fn diagnostics(block: &[&str]) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (index, line) in block.iter().enumerate().filter(|(_, line)| line.starts_with('#')) {
        let Some(found) = FAILED_TEST.captures(line) else {
            continue;
        };
        let report: Vec<&str> = block[index + 1..]
            .iter()
            .take(30)
            .take_while(|line| {
                line.starts_with("# ")
                    && !FAILED_TEST.is_match(line)
                    && !line.starts_with("# Looks like")
            })
            .copied()
            .collect();
        let place = report.first().and_then(|line| place(line));
        let name =
            found.get(1).or(found.get(2)).map_or("a test without a name", |name| name.as_str());
        failures.push(
            Failure::new(name, report.iter().map(|line| line.trim_start_matches('#'))).at(place),
        );
    }
    failures
}

/// `#   at t/prices.t line 3.`
pub(super) fn place(line: &str) -> Option<Place> {
    let found = PERL_PLACE.captures(line)?;
    Some((found[1].to_owned(), found[2].parse().ok()?))
}

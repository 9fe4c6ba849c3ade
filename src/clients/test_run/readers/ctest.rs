//! Reads CMake's ctest: `40% tests passed, 3 tests failed out of 5`, the result lines above it and the
//! lists below. Its `out of` includes skipped tests, which its percentage does not tell apart.

use std::collections::HashMap;

use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^\d+% tests passed, (\d+) tests? failed out of (\d+)$";
    RESULT = r"^ *\d+/\d+ Test +#(\d+): (\S+) \.*(.*?) +\d[\d.]* sec";
    LISTED = r"^\t *\d+ - (\S.*) \((.*)\)";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<(usize, &str)> = lines
        .free()
        .filter(|(_, line)| {
            *line == "No tests were found!!!"
                || (line.contains("% tests passed") && FIGURES.is_match(line))
        })
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for (end, line) in ends {
        let Some(found) = FIGURES.captures(line) else {
            lines.take(end..=end);
            readings.push(Reading::none());
            continue;
        };
        let failed = number(&found[1]);
        let total = number(&found[2]);
        let start = lines
            .between(begin, end)
            .find(|(_, line)| line.starts_with("Test project ") || RESULT.is_match(line))
            .map_or(end, |(index, _)| index);
        let outputs = outputs(lines.slice(start, end));
        let last = lines
            .from(end + 1)
            .take_while(|(_, line)| is_closing(line))
            .last()
            .map_or(end, |(index, _)| index);
        let (skipped, failures) = listed(lines.slice(end + 1, last + 1), &outputs);
        let passed = total.saturating_sub(failed).saturating_sub(skipped);
        let mut reading = Reading::figures(passed, failed, skipped);
        reading.fail_all(failures);
        readings.push(reading);
        lines.take(start..=last);
        begin = last + 1;
    }
    Reading::sum(readings)
}

fn is_closing(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('\t')
        || line.starts_with("Total Test time")
        || line.starts_with("The following tests ")
        || line.starts_with("Label Time Summary")
        || line.starts_with("Errors while running CTest")
}

/// The number of skipped tests and the failed ones, from the lists at the end.
fn listed(lines: &[&str], outputs: &HashMap<&str, Vec<&str>>) -> (u64, Vec<Failure>) {
    let mut failing = false;
    let (mut skipped, mut failures) = (0, Vec::new());
    for line in lines {
        if line.starts_with("The following tests ") {
            failing = line.contains("FAILED");
        } else if let Some(found) = LISTED.captures(line) {
            if failing {
                let name = &found[1];
                let output = outputs.get(name).map_or(&[][..], Vec::as_slice);
                let head = found.get(2).map_or("", |status| status.as_str());
                let text = std::iter::once(head).chain(output.iter().copied());
                failures.push(Failure::new(name, text));
            } else {
                skipped += 1;
            }
        }
    }
    (skipped, failures)
}

/// What each test printed (with `--output-on-failure`): the lines below its result.
fn outputs<'a>(lines: &[&'a str]) -> HashMap<&'a str, Vec<&'a str>> {
    let mut outputs: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut current = None;
    for line in lines {
        if let Some(name) = RESULT.captures(line).and_then(|found| found.get(2)) {
            current = Some(name.as_str());
        } else if let Some(name) = current {
            let start = line.trim_start().starts_with("Start ");
            if !start {
                outputs.entry(name).or_default().push(line);
            }
        }
    }
    outputs
}

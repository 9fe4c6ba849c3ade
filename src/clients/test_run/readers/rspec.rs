//! Reads RSpec: `5 examples, 2 failures, 2 pending` and the numbered reports under `Failures:`. An
//! error outside of examples (a file that cannot be loaded) counts as a failure.

use super::place;
use crate::clients::test_run::summary::{Failure, Reading};
use crate::clients::test_run::text::{Lines, number, patterns};

patterns! {
    FIGURES = r"^(\d+) examples?, (\d+) failures?(?:, (\d+) pending)?(?:, (\d+) errors? occurred outside of examples)?$";
    NUMBERED = r"^  (\d+)\) (.*)$";
    OUTSIDE = r"^An error occurred (?:while loading|in an?) (.*?)\.?$";
}

/// See [`super::Reader`].
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let ends: Vec<usize> = lines
        .free()
        .filter(|(_, line)| line.contains(" example") && FIGURES.is_match(line))
        .map(|(index, _)| index)
        .collect();
    let mut readings = Vec::new();
    let mut begin = 0;
    for end in ends {
        let mut reading = figures(lines.at(end));
        let block = lines.slice(begin, end);
        let heading = block.iter().position(|line| *line == "Failures:");
        let outside = block.iter().position(|line| OUTSIDE.is_match(line));
        if reading.failed > 0 {
            reading.fail_all(outside_errors(block));
            reading
                .fail_all(numbered(&block[heading.map_or(block.len(), |heading| heading + 1)..]));
        }
        let start = heading.into_iter().chain(outside).min().unwrap_or(block.len());
        readings.push(reading);
        lines.take(begin + start..=end);
        begin = end + 1;
    }
    Reading::sum(readings)
}

fn figures(line: &str) -> Reading {
    let Some(found) = FIGURES.captures(line) else {
        return Reading::default();
    };
    let count = |group| found.get(group).map_or(0, |digits| number(digits.as_str()));
    let (examples, failed, pending, outside) = (count(1), count(2), count(3), count(4));
    let passed = examples.saturating_sub(failed).saturating_sub(pending);
    let mut reading = Reading::figures(passed, failed.saturating_add(outside), pending);
    reading.says_none = examples == 0 && outside == 0;
    reading
}

fn numbered(block: &[&str]) -> Vec<Failure> {
    let starts: Vec<usize> = (0..block.len()).filter(|i| NUMBERED.is_match(block[*i])).collect();
    starts
        .iter()
        .enumerate()
        .map(|(position, start)| {
            let end = starts.get(position + 1).copied().unwrap_or(block.len());
            let name = NUMBERED.captures(block[*start]).map_or(String::new(), |f| f[2].to_owned());
            let report = &block[start + 1..end];
            let end = report.iter().position(|line| line.starts_with("Finished in "));
            let report = &report[..end.unwrap_or(report.len())];
            Failure::new(name, report.iter().copied()).at(place::first(report))
        })
        .collect()
}

fn outside_errors(block: &[&str]) -> Vec<Failure> {
    let starts =
        (0..block.len()).filter_map(|i| Some((i, OUTSIDE.captures(block[i])?[1].to_owned())));
    starts
        .map(|(start, what)| {
            let report = &block[start..];
            let end =
                report.iter().skip(1).take(60).position(|line| {
                    OUTSIDE.is_match(line) || line.starts_with("No examples found")
                });
            let report = &report[1..end.map_or(report.len().min(40), |end| end + 1)];
            Failure::new(format!("cannot be loaded: {what}"), report.iter().copied())
                .at(place::first(report))
        })
        .take(20)
        .collect()
}

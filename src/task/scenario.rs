//! Given/When/Then scenarios, in the keywords of nine languages.
//!
//! "When I click, nothing happens" is prose. A run of lines is a scenario only if it begins with Given or
//! When and has a Then.

use super::cue::{Cue, Step};
use super::fold::Span;
use super::headings::inside;
use super::lexicon::Hit;
use super::lines::{Line, Mark};

/// The keyword a line begins with.
pub(crate) fn step_of(hits: &[Hit], body: Span) -> Option<Step> {
    inside(hits, Span::new(body.start, body.start + 1))
        .filter(|hit| hit.span.end < body.end)
        .filter_map(|hit| match hit.cue {
            Cue::Scenario(step) => Some((hit.span.end, step)),
            _ => None,
        })
        .max()
        .map(|(_, step)| step)
}

/// Longest scenario that is looked at, in lines. Bounds the search for a Then that never comes.
const LINES_MAX: usize = 25;

/// If a scenario begins at line `at`, the index of the line after it.
pub(crate) fn ends_with_then(text: &str, hits: &[Hit], all: &[Line], at: usize) -> Option<usize> {
    let first = all.get(at)?;
    if !matches!(step_of(hits, first.body), Some(Step::Given | Step::When)) {
        return None;
    }
    let mut then = false;
    let mut end = at + 1;
    for line in all.iter().skip(at + 1).take(LINES_MAX) {
        let step = step_of(hits, line.body);
        let table = line.body.of(text).starts_with('|');
        match step {
            Some(Step::Then) => then = true,
            Some(Step::When | Step::And) => {}
            Some(Step::Given) if !then => {}
            Some(Step::Given | Step::Title) | None if !table => break,
            Some(Step::Given | Step::Title) | None => {}
        }
        if matches!(line.mark, Mark::Blank | Mark::Heading) {
            break;
        }
        end += 1;
    }
    then.then_some(end)
}

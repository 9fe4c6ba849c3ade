//! Finds out whether a line or sentence is, or begins with, a heading ("Acceptance criteria:", "Expected: ...").
//!
//! Works on the hits of the lexicon; knows the marks around a heading, not what its section is good for.

use super::cue::{Cue, Section};
use super::fold::Span;
use super::lexicon::Hit;

/// A heading and what stands behind it on the same line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) section: Section,
    /// Empty when the heading stands alone.
    pub(crate) rest: Span,
    /// "Done when a, b and c": the rest is a list in one sentence.
    pub(crate) lists: bool,
}

/// Words after which no colon is needed: "done when the file is gone".
const OPEN_ENDS: [&str; 6] = ["when", "wenn", "quand", "cuando", "quando", "if"];

/// Sections in the order in which they win when one word names several.
const BY_STRENGTH: [Section; 6] = [
    Section::Acceptance,
    Section::Expected,
    Section::Steps,
    Section::Excluded,
    Section::Request,
    Section::Other,
];

/// The heading at the beginning of `body`. `alone` accepts a known heading that fills the line without a colon.
pub(crate) fn heading_at_start(
    text: &str,
    hits: &[Hit],
    body: Span,
    alone: bool,
) -> Option<Heading> {
    let start = body.end - body.of(text).trim_start_matches(|c: char| !c.is_alphanumeric()).len();
    let (section, end) = longest_at(hits, start, body.end)?;
    let after = Span::new(end, body.end).of(text).trim_start_matches([' ', '*', '_']);
    let rest = |skipped: usize| {
        Span::new(body.end - after.len() + skipped, body.end).trimmed(text, &['*', '_'])
    };
    let colon = after.chars().next().filter(|c| matches!(c, ':' | '：'));
    let open = OPEN_ENDS
        .iter()
        .any(|word| Span::new(start, end).of(text).to_ascii_lowercase().ends_with(word));
    let lists = open && section == Section::Acceptance;
    if let Some(colon) = colon {
        return Some(Heading { section, rest: rest(colon.len_utf8()), lists });
    }
    if (after.is_empty() && alone) || (lists && !after.is_empty()) {
        return Some(Heading { section, rest: rest(0), lists });
    }
    let dash = ["- ", "– ", "— "].iter().find(|dash| after.starts_with(**dash));
    if let (Some(dash), false) = (dash, matches!(section, Section::Request | Section::Other)) {
        return Some(Heading { section, rest: rest(dash.len()), lists });
    }
    // "Acceptance criteria (version 1):" and "AC for the app:"
    let label = alone && after.len() <= 48 && after.ends_with([':', '：']);
    label.then(|| Heading { section, rest: Span::new(body.end, body.end), lists: false })
}

/// The section of a line marked as a heading, wherever in it the known words stand.
pub(crate) fn section_of_heading(text: &str, hits: &[Hit], body: Span) -> Option<Section> {
    if let Some(found) = heading_at_start(text, hits, body, true) {
        return Some(found.section);
    }
    let sections: Vec<Section> = inside(hits, body).filter_map(|hit| section(hit.cue)).collect();
    BY_STRENGTH
        .into_iter()
        .filter(|one| *one != Section::Request)
        .find(|one| sections.contains(one))
}

/// Hits that begin in `span`; `hits` are sorted by position.
pub(crate) fn inside(hits: &[Hit], span: Span) -> impl Iterator<Item = &Hit> {
    let from = hits.partition_point(|hit| hit.span.start < span.start);
    hits.iter().skip(from).take_while(move |hit| hit.span.start < span.end)
}

const fn section(cue: Cue) -> Option<Section> {
    match cue {
        Cue::Heading(section) => Some(section),
        _ => None,
    }
}

fn longest_at(hits: &[Hit], start: usize, limit: usize) -> Option<(Section, usize)> {
    let candidates: Vec<(Section, usize)> = inside(hits, Span::new(start, start + 1))
        .filter(|hit| hit.span.end <= limit)
        .filter_map(|hit| section(hit.cue).map(|section| (section, hit.span.end)))
        .collect();
    let end = candidates.iter().map(|(_, end)| *end).max()?;
    let section = BY_STRENGTH.into_iter().find(|one| candidates.contains(&(*one, end)))?;
    Some((section, end))
}

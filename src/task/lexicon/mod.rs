//! The words the parser knows, in nine languages, and the search for all of them in one pass.
//!
//! The lists are text, so that adding a word takes no Rust. Notation of the files beside this one:
//!
//! ```text
//! [section]                          what the phrases mean, see `Cue::named`
//! en: crash*, *fehler, time-out ^.5  language: phrases, separated by commas; `\,` is a comma
//! ```
//! `*` at either end lets the word go on there; `^.5` is the weight, 1 if absent. Phrases are lower case.
//! A phrase also stands for itself with a typographic apostrophe, with a space for each hyphen, without
//! accents and, in German, with ae, oe, ue.
//!
//! Never: a decision. What a hit is worth is said where it is used.

mod index;
mod notation;

use std::sync::LazyLock;

use self::index::Index;
use self::notation::{Entry, entries};
use super::cue::Cue;
use super::fold::{Span, is_word};
use super::language::{Detected, Tongue};

const SOURCES: [&str; 6] = [
    include_str!("types.txt"),
    include_str!("urgency.txt"),
    include_str!("risks.txt"),
    include_str!("size.txt"),
    include_str!("structure.txt"),
    include_str!("injection.txt"),
];

/// One phrase found in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    pub(crate) span: Span,
    pub(crate) cue: Cue,
    pub(crate) weight: f32,
}

static LEXICON: LazyLock<Index> = LazyLock::new(|| Index::of(entries(&SOURCES)));

/// Every phrase of the lexicon in `folded`, by position; the longest one where one meaning overlaps itself.
/// Linear in the text.
pub(crate) fn search(folded: &str, detected: Detected) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut before = None;
    for (at, c) in folded.char_indices() {
        let inside_word = before.is_some_and(is_word) && is_word(c);
        LEXICON.each_at(folded, at, inside_word, |span, entry| {
            if entry.speaks(detected) && bordered(folded, span, entry) {
                hits.push(Hit { span, cue: entry.cue, weight: entry.weight });
            }
        });
        before = Some(c);
    }
    without_nested(hits)
}

impl Entry {
    fn speaks(&self, detected: Detected) -> bool {
        match self.tongue {
            Tongue::English => !self.cue.is_function_word() || detected.allows(Tongue::English),
            other => detected.allows(other),
        }
    }
}

fn bordered(folded: &str, span: Span, entry: &Entry) -> bool {
    let before = folded.get(..span.start).and_then(|s| s.chars().next_back());
    let after = folded.get(span.end..).and_then(|s| s.chars().next());
    let inside = span.of(folded);
    let first = inside.chars().next();
    let last = inside.chars().next_back();
    (entry.open_left || !joins(before, first)) && (entry.open_right || !joins(last, after))
}

/// Two neighbouring characters that belong to one word.
fn joins(left: Option<char>, right: Option<char>) -> bool {
    left.is_some_and(is_word) && right.is_some_and(is_word)
}

/// Drops hits that lie inside another hit of the same cue, then sorts by position.
fn without_nested(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by(|a, b| {
        a.cue.cmp(&b.cue).then(a.span.start.cmp(&b.span.start)).then(b.span.end.cmp(&a.span.end))
    });
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match kept.last() {
            Some(last) if last.cue == hit.cue && last.span.contains(hit.span) => {}
            Some(_) | None => kept.push(hit),
        }
    }
    kept.sort_by(|a, b| a.span.cmp(&b.span).then(a.cue.cmp(&b.cue)));
    kept
}

#[cfg(test)]
mod tests;

//! Finds the phrases that begin at a place of the text: a sorted list, narrowed byte by byte.
//!
//! An automaton would search faster, but takes longer to build than a usual task takes to parse, and a command
//! that parses one task pays for it. Most places of a text are dismissed after two or three bytes.

use super::notation::Entry;
use crate::task::fold::{Span, is_word};

/// Phrases with their meanings, sorted by their bytes.
pub(super) struct Index {
    all: Sorted,
    /// The phrases that may begin inside a word, such as `*fehler`.
    inner: Sorted,
}

struct Sorted {
    phrases: Vec<(String, Vec<Entry>)>,
    /// Where the phrases with a first byte begin, and as a last entry where all end.
    starts: Vec<usize>,
}

impl Index {
    /// `phrases` may come in any order and name a phrase more than once.
    pub(super) fn of(mut phrases: Vec<(String, Entry)>) -> Self {
        // Stable, so that of two meanings the one that stands first in the files stays first.
        phrases.sort_by(|a, b| a.0.cmp(&b.0));
        let inner = phrases
            .iter()
            .filter(|(phrase, entry)| entry.open_left && phrase.starts_with(is_word))
            .cloned()
            .collect();
        Self { inner: Sorted::of(inner), all: Sorted::of(phrases) }
    }

    /// Calls `found` for every meaning of every phrase that begins at byte `at`.
    pub(super) fn each_at(
        &self,
        folded: &str,
        at: usize,
        inside_word: bool,
        mut found: impl FnMut(Span, &Entry),
    ) {
        let list = if inside_word { &self.inner } else { &self.all };
        list.each_at(folded.as_bytes().get(at..).unwrap_or_default(), |length, entry| {
            found(Span::new(at, at + length), entry)
        });
    }
}

impl Sorted {
    fn of(phrases: Vec<(String, Entry)>) -> Self {
        let mut grouped: Vec<(String, Vec<Entry>)> = Vec::with_capacity(phrases.len());
        for (phrase, entry) in phrases {
            match grouped.last_mut() {
                Some((last, entries)) if *last == phrase => add(entries, entry),
                Some(_) | None => grouped.push((phrase, vec![entry])),
            }
        }
        let first = |byte: usize| {
            grouped.partition_point(|(phrase, _)| usize::from(byte_at(phrase, 0)) < byte)
        };
        let starts = (0..=256).map(first).collect();
        Self { phrases: grouped, starts }
    }

    fn each_at(&self, text: &[u8], mut found: impl FnMut(usize, &Entry)) {
        let Some(first) = text.first().map(|byte| usize::from(*byte)) else { return };
        let (Some(from), Some(to)) = (self.starts.get(first), self.starts.get(first + 1)) else {
            return;
        };
        let mut range = self.phrases.get(*from..*to).unwrap_or_default();
        let mut depth = 1;
        // All phrases of the range agree with the text on the first `depth` bytes; a phrase that ends here comes first.
        while let Some((phrase, entries)) = range.first() {
            if phrase.len() == depth {
                entries.iter().for_each(|entry| found(depth, entry));
                range = range.get(1..).unwrap_or_default();
            }
            let Some(next) = text.get(depth) else { return };
            let low = range.partition_point(|(phrase, _)| byte_at(phrase, depth) < *next);
            let high = range.partition_point(|(phrase, _)| byte_at(phrase, depth) <= *next);
            range = range.get(low..high).unwrap_or_default();
            depth += 1;
        }
    }
}

/// The byte at `at`, 0 behind the end; no phrase holds a NUL.
fn byte_at(phrase: &str, at: usize) -> u8 {
    phrase.as_bytes().get(at).copied().unwrap_or(0)
}

/// `anleitung*` and `*anleitung` are one meaning, open on both sides.
fn add(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|one| one.cue == entry.cue && one.tongue == entry.tongue) {
        Some(one) => {
            one.open_left |= entry.open_left;
            one.open_right |= entry.open_right;
        }
        None => entries.push(entry),
    }
}

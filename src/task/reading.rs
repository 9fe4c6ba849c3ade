//! A text that has been read once: its language, its pieces and the words in them that count.
//!
//! Everything that forms an opinion (type, priority, risks ...) looks at this and never at raw text alone.

use std::borrow::Cow;

use super::cue::{Cue, Section};
use super::fold::{Span, fold};
use super::headings::inside;
use super::injection::mark_injected;
use super::language::{Detected, detect};
use super::lexicon::{Hit, search};
use super::negation::standing;
use super::pieces::{Piece, Zone, pieces};

/// A text, read.
pub(crate) struct Reading<'a> {
    pub(crate) text: &'a str,
    /// Same bytes, lower case.
    pub(crate) folded: String,
    pub(crate) language: Detected,
    pub(crate) parts: Vec<Part>,
    /// Pieces that try to steer the parser.
    pub(crate) injections: Vec<Span>,
}

/// A piece with the hits in it that stand.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) piece: Piece,
    pub(crate) hits: Vec<Hit>,
}

impl<'a> Reading<'a> {
    /// Reads `text`. Linear in its length.
    pub(crate) fn of(text: &'a str) -> Self {
        let folded = fold(text);
        let language = detect(text);
        let hits = search(&folded, language);
        let mut pieces = pieces(text, &folded, &hits);
        let injections = mark_injected(text, &folded, &hits, &mut pieces);
        let parts = pieces
            .into_iter()
            .map(|piece| Part { piece, hits: words_of(&folded, &hits, piece) })
            .collect();
        Self { text, folded, language, parts, injections }
    }

    /// Every standing hit of the text with the zone of its piece.
    pub(crate) fn hits(&self) -> impl Iterator<Item = (Zone, &Hit)> {
        self.parts.iter().flat_map(|part| part.hits.iter().map(|hit| (part.piece.zone, hit)))
    }

    /// Sum of the weights of `cue` over all pieces that count.
    pub(crate) fn weight(&self, cue: Cue) -> f32 {
        self.hits().filter(|(_, hit)| hit.cue == cue).map(|(_, hit)| hit.weight).sum()
    }

    /// The text without what tries to steer.
    pub(crate) fn told(&self) -> Cow<'_, str> {
        let mut told = Cow::Borrowed(self.text);
        // From behind, so that the spans in front stay where they are.
        for span in self.injections.iter().rev() {
            if let (Some(before), Some(after)) = (told.get(..span.start), told.get(span.end..)) {
                told = Cow::Owned(format!("{before}{after}"));
            }
        }
        told
    }

    /// The words of `span` in lower case.
    pub(crate) fn folded(&self, span: Span) -> &str {
        span.of(&self.folded)
    }
}

impl Part {
    pub(crate) fn weight(&self, cue: Cue) -> f32 {
        self.hits.iter().filter(|hit| hit.cue == cue).map(|hit| hit.weight).sum()
    }
}

/// What is done, excluded or meant to steer has no say, and code and logs speak another language.
fn words_of(folded: &str, hits: &[Hit], piece: Piece) -> Vec<Hit> {
    let here: Vec<Hit> = inside(hits, piece.whole).copied().collect();
    match piece.zone {
        Zone::Done | Zone::Injected | Zone::Code | Zone::Trace | Zone::In(Section::Excluded) => {
            Vec::new()
        }
        Zone::In(_) => standing(folded, piece.whole, &here),
    }
}

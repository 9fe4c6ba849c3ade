//! Text that tries to steer the parser or a later agent ("ignore all previous instructions ...").
//!
//! Such pieces stay in the description and become a risk, but no word of them counts for any label. Finding
//! them is no protection by itself: whoever shows the text to a model still has to mark it as data.

use super::cue::Cue;
use super::fold::Span;
use super::headings::inside;
use super::lexicon::Hit;
use super::names::Priority;
use super::pieces::{Piece, Zone};

/// Bytes between "ignore" and "instructions" that still make one demand.
const REACH_BYTES: usize = 60;

/// Marks pieces that steer as `Zone::Injected` and returns where they are, in order.
pub(crate) fn mark_injected(
    text: &str,
    folded: &str,
    hits: &[Hit],
    pieces: &mut [Piece],
) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for piece in pieces {
        let here: Vec<&Hit> = inside(hits, piece.whole).collect();
        let follows = found.last().is_some_and(|last| same_paragraph(text, *last, piece.whole));
        let needed = if follows { 0.5 } else { 1.0 };
        if score(folded, piece, &here) >= needed {
            found.push(piece.whole);
            piece.zone = Zone::Injected;
        }
    }
    found
}

fn same_paragraph(text: &str, last: Span, next: Span) -> bool {
    let between = Span::new(last.end, next.start).of(text);
    between.len() < 8 && between.matches('\n').count() < 2
}

fn score(folded: &str, piece: &Piece, hits: &[&Hit]) -> f32 {
    let content = piece.whole.of(folded);
    let direct: f32 = hits.iter().filter(|hit| hit.cue == Cue::Steer).map(|hit| hit.weight).sum();
    let mut total = direct + if has_demand(hits) { 1.0 } else { 0.0 };
    if piece.zone != Zone::Code && looks_like_our_json(content) {
        total += 1.0;
    }
    if total == 0.0 {
        return 0.0;
    }
    if content.starts_with("<!--") {
        total += 0.5;
    }
    if hits.iter().any(|hit| hit.cue == Cue::Steer && hit.span.start <= piece.span.start + 4) {
        total += 0.25;
    }
    let extreme = |hit: &&&Hit| matches!(hit.cue, Cue::PriorityValue(Priority::Critical));
    if hits.iter().any(|hit| extreme(&hit)) || content.contains("hotfix") {
        total += 0.25;
    }
    total
}

/// A verb such as "ignore" and, within reach, an object such as "all previous instructions".
fn has_demand(hits: &[&Hit]) -> bool {
    let mut verb: Option<Span> = None;
    let mut object: Option<Span> = None;
    for hit in hits {
        match hit.cue {
            Cue::SteerVerb => verb = Some(hit.span),
            Cue::SteerObject => object = Some(hit.span),
            _ => continue,
        }
        if let (Some(verb), Some(object)) = (verb, object) {
            let gap = verb.start.abs_diff(object.start);
            if gap <= REACH_BYTES && verb.start != object.start {
                return true;
            }
        }
    }
    false
}

/// JSON with the fields of our own answer, or of a chat message.
fn looks_like_our_json(content: &str) -> bool {
    let key = |name: &str| content.contains(name);
    content.contains('{')
        && key("\"priority\"")
        && (key("\"type\"") || key("\"workflow\"") || key("\"complexity\""))
        || key("\"role\"") && key("\"content\"")
}

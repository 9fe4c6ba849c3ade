//! Makes a title: one line of 1 to 100 characters, whole words, from the first sentence that says something.

use super::cue::Cue;
use super::fold::Span;
use super::pieces::{Shape, Zone};
use super::reading::{Part, Reading};

/// Longest title, in characters.
pub(crate) const TITLE_CHARS_MAX: usize = 100;
/// A sentence shorter than this ("Urgent!") takes the next one along.
const SPEAKING_CHARS: usize = 15;

/// The title of the text. Never empty if the text has a visible character.
pub(crate) fn make(reading: &Reading) -> String {
    let chosen = speaking(reading)
        .unwrap_or_else(|| Span::new(0, reading.text.len()).trimmed(reading.text, &[]));
    let line = one_line(chosen.of(reading.text));
    if line.is_empty() { one_line_of_anything(reading.text) } else { shorten(&line) }
}

/// The first sentence that is no greeting, no code and no attempt to steer; of label and text, the text.
fn speaking(reading: &Reading) -> Option<Span> {
    let told = |part: &&Part| {
        matches!(part.piece.zone, Zone::In(_) | Zone::Done) && !is_greeting(reading, part)
    };
    let at = reading.parts.iter().position(|part| told(&part))?;
    let first = reading.parts.get(at)?.piece;
    let short = first.span.of(reading.text).chars().count() < SPEAKING_CHARS;
    let next = reading
        .parts
        .get(at + 1)
        .map(|part| part.piece)
        .filter(|next| next.shape == Shape::Sentence && next.zone == first.zone);
    let same_line =
        |next: Span| !Span::new(first.span.end, next.start).of(reading.text).contains('\n');
    match next {
        Some(next) if short && first.shape == Shape::Sentence && same_line(next.span) => {
            Some(Span::new(first.span.start, next.span.end))
        }
        Some(_) | None => Some(first.span),
    }
}

fn is_greeting(reading: &Reading, part: &Part) -> bool {
    let text = part.piece.span.of(reading.text);
    let greets = part
        .hits
        .iter()
        .any(|hit| hit.cue == Cue::Greeting && hit.span.start == part.piece.span.start);
    greets && text.chars().count() <= 40 && part.hits.iter().all(|hit| !hit.cue.is_about_type())
}

fn one_line(text: &str) -> String {
    let clean: String =
        text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    words.join(" ").trim_matches(['*', '_', '`', ' ', '#']).to_owned()
}

/// Marks that reorder or hide text in a terminal or on a page.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn one_line_of_anything(text: &str) -> String {
    let visible: String = text
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .take(TITLE_CHARS_MAX)
        .collect();
    if visible.is_empty() { "Untitled task".to_owned() } else { visible }
}

/// Cuts at a space and says so; a word longer than the title, or text without spaces, is cut anywhere.
fn shorten(line: &str) -> String {
    if line.chars().count() <= TITLE_CHARS_MAX {
        return line.to_owned();
    }
    let head: String = line.chars().take(TITLE_CHARS_MAX - 1).collect();
    let at_word = head
        .rfind(' ')
        .filter(|at| *at >= head.len() / 2)
        .and_then(|at| head.get(..at))
        .unwrap_or(&head);
    format!("{}…", at_word.trim_end_matches([',', ';', ':', ' ', '-', '(']))
}

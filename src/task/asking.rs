//! Tells a request from a description: which word leads a sentence, and whether anything is asked for at all.

use super::cue::{Cue, Section};
use super::fold::{Span, is_cjk};
use super::lexicon::Hit;
use super::names::TaskType;
use super::pieces::{Shape, Zone};
use super::reading::{Part, Reading};

/// Words that may stand before the verb that a request begins with.
const BEFORE_THE_VERB: &str = "please pls plz can could you we should need to must let's lets i just then also now first and hi hello hey all team kindly would like want the it's time someone somebody have has bitte und jetzt dann por favor y veuillez merci de il faut per favore e todo task wip ticket";

/// Whether the word at `at` is the first that matters in its sentence.
pub(crate) fn is_leading(reading: &Reading, part: &Part, at: usize) -> bool {
    const LEAD_BYTES: usize = 40;
    if at < part.piece.span.start || at > part.piece.span.start + LEAD_BYTES {
        return false;
    }
    let before = reading.folded(Span::new(part.piece.span.start, at));
    before
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .filter(|word| !word.is_empty() && !word.chars().any(|c| c.is_ascii_digit()))
        .all(|word| BEFORE_THE_VERB.split(' ').any(|known| known == word))
}

/// A text that only says how things are, without verb of work, wish or condition, is mostly a complaint.
/// A few words without a full stop ("Guest checkout") are a wish.
pub(crate) fn only_describes(reading: &Reading) -> bool {
    let told = |part: &&Part| {
        matches!(part.piece.zone, Zone::In(Section::Request)) && part.piece.shape == Shape::Sentence
    };
    let mut told = reading.parts.iter().filter(told).take(3).peekable();
    let Some(first) = told.peek() else { return false };
    let text = first.piece.span.of(reading.text);
    let words = text.split_whitespace().count();
    let cjk = text.chars().filter(|c| is_cjk(*c)).count() >= 8;
    let sentence = cjk
        || (words >= 5
            && (reading.language.tag != "en" || has_finite_verb(reading.folded(first.piece.span))));
    sentence && told.all(|part| !part.hits.iter().any(|hit| asks(reading, part, hit)))
}

/// Small English words that make a row of words a sentence; without one it is a title or an order.
fn has_finite_verb(folded: &str) -> bool {
    const FINITE: &str = " is are was were has have had does did gets get can't cannot isn't aren't wasn't doesn't didn't don't hasn't haven't shows says returns takes keeps goes sees see comes makes we i my our it's there's it they she he you ";
    let subject = folded.split(' ').next().is_some_and(|first| {
        matches!(
            first,
            "the" | "a" | "an" | "our" | "my" | "this" | "some" | "all" | "every" | "two"
        )
    });
    subject
        || folded
            .split(|c: char| !(c.is_alphanumeric() || c == '\''))
            .any(|word| !word.is_empty() && FINITE.contains(&format!(" {word} ")))
}

fn asks(reading: &Reading, part: &Part, hit: &Hit) -> bool {
    match hit.cue {
        Cue::Verb(_) | Cue::Lead(_) if is_leading(reading, part, hit.span.start) => true,
        // Weak verbs ("new", "can") stand in complaints as well.
        Cue::Verb(kind) => hit.weight >= 0.65 && kind != TaskType::Bugfix,
        Cue::Modal => hit.weight >= 0.7,
        // "Please" with a verb that is not known asks for something as well.
        Cue::Request => true,
        _ => false,
    }
}

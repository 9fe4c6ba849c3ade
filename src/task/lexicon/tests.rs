//! The word lists read, match across folds, and refuse what they cannot read.

use super::notation::unreadable;
use super::*;
use crate::task::fold::fold;
use crate::task::language::detect;

#[test]
fn every_line_of_the_lexicon_is_readable() {
    for source in SOURCES {
        assert_eq!(unreadable(source), Vec::<String>::new());
    }
}

fn cues(text: &str) -> Vec<(Cue, String)> {
    let folded = fold(text);
    search(&folded, detect(text))
        .into_iter()
        .map(|hit| (hit.cue, hit.span.of(&folded).to_owned()))
        .collect()
}

#[test]
fn words_have_borders_and_stars_open_them() {
    let found = cues("The crashes happen in the crashed crash");
    assert_eq!(found.iter().filter(|(cue, _)| *cue == Cue::Defect).count(), 3);
    assert!(!cues("debugger").iter().any(|(cue, _)| *cue == Cue::Defect));
}

#[test]
fn typographic_apostrophe_and_missing_accents_are_found() {
    assert!(
        cues("it doesn’t work")
            .iter()
            .any(|(cue, text)| *cue == Cue::Defect && text == "doesn’t work")
    );
    assert!(
        cues("la vulnerabilite du site est dans le code")
            .iter()
            .any(|(cue, _)| *cue == Cue::Defect)
    );
}

#[test]
fn nested_hits_of_one_cue_count_once() {
    let found = cues("nothing works, it stopped working");
    assert_eq!(found.iter().filter(|(cue, _)| *cue == Cue::Defect).count(), 1);
}

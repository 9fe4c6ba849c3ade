//! Takes out the words that do not mean what they say: negated, hypothetical, or part of a longer phrase.
//!
//! "not a bug", "would be critical if", "nicht dringend", "急ぎではありません". Works within one piece and over
//! short distances; a sentence it cannot understand keeps its words.

use super::cue::Cue;
use super::fold::{Span, is_cjk};
use super::lexicon::Hit;
use super::names::RiskCategory;

/// Bytes between a negator and the word it takes back, at most.
const REACH_BYTES: usize = 28;
/// Words between them, at most.
const REACH_WORDS: usize = 3;
/// In scripts of three bytes a character, words are shorter and stand closer.
const REACH_BYTES_CJK: usize = 9;
/// A hypothesis reaches further than a "not".
const REACH_BYTES_HEDGE: usize = 60;

/// The hits of one piece that stand, sorted by position as they came.
pub(crate) fn standing(folded: &str, piece: Span, hits: &[Hit]) -> Vec<Hit> {
    let covered = covered(hits, &quoted(folded, piece));
    let before = nearest_before(hits, &covered);
    let after = nearest_after(hits);
    hits.iter()
        .enumerate()
        .filter(|(at, hit)| {
            let at = *at;
            let near = |list: &[Near]| list.get(at).copied().unwrap_or_default();
            !covered.get(at).copied().unwrap_or(false)
                && !taken_back(folded, hit, near(&before), near(&after))
        })
        .map(|(_, hit)| *hit)
        .collect()
}

/// The closest negator and hedge on one side of a hit.
#[derive(Debug, Clone, Copy, Default)]
struct Near {
    negator: Option<Span>,
    hedge: Option<Span>,
}

/// Quotation marks, opening and closing. The straight one is both.
const QUOTES: [(char, char); 6] =
    [('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('「', '」'), ('『', '』')];

/// Stretches in quotation marks: what somebody else says, or what a screen shows.
fn quoted(folded: &str, piece: Span) -> Vec<Span> {
    let mut out = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, c) in piece.of(folded).char_indices() {
        match open {
            Some((start, close)) if c == close => {
                out.push(Span::new(piece.start + start, piece.start + at));
                open = None;
            }
            Some(_) => {}
            None => {
                open = QUOTES.iter().find(|(left, _)| *left == c).map(|(_, close)| (at, *close))
            }
        }
    }
    out
}

/// True for hits inside a longer phrase that says something else: "error message", "regression test",
/// "not urgent", "production is fine".
fn covered(hits: &[Hit], quotes: &[Span]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..hits.len()).collect();
    order.sort_by_key(|at| {
        hits.get(*at).map(|hit| (hit.span.start, std::cmp::Reverse(hit.span.end)))
    });
    let mut out = vec![false; hits.len()];
    let (mut types, mut calm, mut no) = (Span::default(), Span::default(), Span::default());
    let mut quotes = quotes.iter().copied().peekable();
    for at in order {
        let (Some(hit), Some(slot)) = (hits.get(at), out.get_mut(at)) else { continue };
        let within = |cover: Span| cover.contains(hit.span) && cover != hit.span;
        while quotes.next_if(|quote| quote.end < hit.span.start).is_some() {}
        let quoted = quotes.peek().is_some_and(|quote| quote.contains(hit.span));
        *slot = (hit.cue.is_about_type() && within(types))
            || (is_calmed(hit.cue) && (within(calm) || quoted))
            || (matches!(hit.cue, Cue::Defect | Cue::Risk(RiskCategory::ProductionImpact))
                && quoted)
            || (hit.cue == Cue::Negator && within(no));
        let widen = |cover: &mut Span| {
            if hit.span.end > cover.end {
                *cover = hit.span;
            }
        };
        if hit.cue.is_about_type() || hit.cue == Cue::Neutral {
            widen(&mut types);
        }
        if matches!(hit.cue, Cue::Low | Cue::NonProduction | Cue::Resolved | Cue::Neutral) {
            widen(&mut calm);
        }
        if has_own_negator(hit.cue) {
            widen(&mut no);
        }
    }
    out
}

const fn is_calmed(cue: Cue) -> bool {
    matches!(
        cue,
        Cue::High
            | Cue::Now
            | Cue::Critical
            | Cue::Outage
            | Cue::Production
            | Cue::ActiveHarm
            | Cue::Low
            | Cue::PriorityValue(_)
    )
}

/// "not working", "nobody can", "no functional change": their "no" belongs to them alone.
const fn has_own_negator(cue: Cue) -> bool {
    matches!(
        cue,
        Cue::Defect
            | Cue::Outage
            | Cue::ActiveHarm
            | Cue::Constraint
            | Cue::Modal
            | Cue::Optional
            | Cue::NonProduction
            | Cue::Low
            | Cue::Bound
            | Cue::Neutral
            | Cue::Risk(RiskCategory::UnclearRequirements)
    )
}

fn nearest_before(hits: &[Hit], covered: &[bool]) -> Vec<Near> {
    let mut near = Near::default();
    let mut out = Vec::with_capacity(hits.len());
    for (hit, covered) in hits.iter().zip(covered) {
        out.push(near);
        match hit.cue {
            Cue::Negator if !covered => near.negator = Some(hit.span),
            Cue::Hedge => near.hedge = Some(hit.span),
            _ => {}
        }
    }
    out
}

fn nearest_after(hits: &[Hit]) -> Vec<Near> {
    let mut near = Near::default();
    let mut out = vec![Near::default(); hits.len()];
    for (hit, slot) in hits.iter().zip(out.iter_mut()).rev() {
        *slot = near;
        match hit.cue {
            Cue::NegatorAfter => near.negator = Some(hit.span),
            Cue::Contradicted => near.hedge = Some(hit.span),
            _ => {}
        }
    }
    out
}

fn taken_back(folded: &str, hit: &Hit, before: Near, after: Near) -> bool {
    let negated = before
        .negator
        .is_some_and(|negator| negates(folded, Span::new(negator.end, hit.span.start), hit.cue))
        || after.negator.is_some_and(|negator| {
            negates(folded, Span::new(hit.span.end, negator.start), hit.cue)
        });
    let supposed = before
        .hedge
        .is_some_and(|hedge| supposes(folded, Span::new(hedge.end, hit.span.start)))
        || after.hedge.is_some_and(|hedge| supposes(folded, Span::new(hit.span.end, hedge.start)));
    (negated && can_be_negated(hit.cue)) || (supposed && can_be_supposed(hit.cue))
}

fn negates(folded: &str, between: Span, cue: Cue) -> bool {
    if between.start > between.end {
        return false;
    }
    let text = between.of(folded);
    let reach = if text.chars().any(is_cjk) { REACH_BYTES_CJK } else { REACH_BYTES };
    let words = text.split_whitespace().count();
    // A risk is real even if the text hopes to avoid it; only "no new dependency" takes it back.
    let allowed = if matches!(cue, Cue::Risk(_)) { 1 } else { REACH_WORDS };
    between.len() <= reach && words <= allowed && !has_break(text)
}

fn supposes(folded: &str, between: Span) -> bool {
    between.start <= between.end
        && between.len() <= REACH_BYTES_HEDGE
        && !between.of(folded).contains(['.', ';', '。', '；'])
}

/// A new clause begins.
fn has_break(text: &str) -> bool {
    const BUT: [&str; 9] =
        ["but", "however", "aber", "sondern", "mais", "pero", "sino", "ma", "mas"];
    text.contains([',', ';', ':', '.', '(', '，', '、', '。', '；', '：', '!', '?'])
        || text.split_whitespace().any(|word| BUT.contains(&word))
}

const fn can_be_negated(cue: Cue) -> bool {
    cue.is_about_type()
        || matches!(
            cue,
            Cue::High
                | Cue::Critical
                | Cue::Now
                | Cue::Outage
                | Cue::ActiveHarm
                | Cue::Production
                | Cue::Trivial
                | Cue::Duty
                | Cue::Vulnerable
                | Cue::Risk(
                    RiskCategory::ExternalDependency
                        | RiskCategory::ProductionImpact
                        | RiskCategory::LargeScope
                )
        )
}

const fn can_be_supposed(cue: Cue) -> bool {
    matches!(
        cue,
        Cue::High
            | Cue::Low
            | Cue::Critical
            | Cue::Now
            | Cue::Outage
            | Cue::ActiveHarm
            | Cue::PriorityValue(_)
            | Cue::Risk(RiskCategory::ProductionImpact)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::fold::fold;
    use crate::task::language::detect;
    use crate::task::lexicon::search;

    #[track_caller]
    fn check(cue: Cue, stands: bool, text: &str) {
        let folded = fold(text);
        let hits = standing(&folded, Span::new(0, text.len()), &search(&folded, detect(text)));
        assert_eq!(hits.iter().any(|hit| hit.cue == cue), stands, "{text}: {hits:?}");
    }

    #[test]
    fn negated_words_do_not_count() {
        check(Cue::Defect, false, "This is not a bug");
        check(Cue::Defect, false, "Das ist kein Fehler und nicht kaputt");
        check(Cue::Defect, false, "Ce n'est pas un bug de la page");
        check(Cue::Defect, false, "これはバグではありません。");
        check(Cue::Defect, false, "이것은 버그가 아닙니다.");
        check(Cue::Defect, false, "这不是bug");
        check(Cue::High, false, "This is not urgent");
        check(Cue::High, false, "C'est pas urgent");
        check(Cue::High, false, "不紧急");
    }

    #[test]
    fn negators_that_belong_to_a_phrase_take_nothing_back() {
        check(Cue::Defect, true, "The page is not working and hangs");
        check(Cue::Defect, true, "Not a feature: it is a bug");
        check(Cue::Defect, true, "Keine Lust mehr, der Knopf ist kaputt");
        check(Cue::Outage, true, "Nobody can log in");
    }

    #[test]
    fn quoted_words_are_somebody_elses() {
        check(Cue::High, false, "The mail says \"urgent, production down\" in its subject");
        check(Cue::Outage, false, "The mail says \"urgent, production down\" in its subject");
        check(Cue::High, true, "Rename \"Qty\", urgent");
    }

    #[test]
    fn hypotheses_are_not_facts() {
        check(Cue::High, false, "It would be critical if we had users there");
        check(Cue::Low, false, "Low priority would be wrong");
        check(Cue::Outage, false, "In case of a full outage we want a banner");
    }

    #[test]
    fn longer_phrases_hide_the_words_in_them() {
        check(Cue::Defect, false, "Show an error message");
        check(Cue::Defect, false, "Add a regression test");
        check(Cue::Production, false, "Production is fine");
    }
}

//! Finds acceptance criteria: verbatim spans that state a verifiable condition of the result.
//!
//! Structure first (headings, open checkboxes, scenarios, "Expected:"), then sentences with a modal, a limit
//! or a constraint. Nothing is invented here; what follows from the type alone is added by `enhance`.

use super::clauses::{clauses, comma_segments, without_joiner};
use super::cue::{Cue, Section};
use super::fold::{Span, is_cjk};
use super::lexicon::Hit;
use super::model::Criterion;
use super::names::{CriterionSource, RiskCategory};
use super::pieces::{Shape, Zone};
use super::reading::{Part, Reading};

/// More than this many are kept by nobody's mind; the rest stays in the description.
pub(crate) const CRITERIA_MAX: usize = 500;

/// The criteria in order of appearance, at most `CRITERIA_MAX`, and how many there are in all.
pub(crate) fn find(reading: &Reading) -> (Vec<Criterion>, usize) {
    let mut out: Vec<Criterion> = Vec::new();
    let mut total = 0;
    for part in &reading.parts {
        for (span, source) in of_part(reading, part) {
            let text = span.of(reading.text);
            if text.chars().filter(|c| c.is_alphanumeric()).take(2).count() < 2 {
                continue;
            }
            total += 1;
            if out.len() < CRITERIA_MAX {
                out.push(Criterion {
                    text: text.to_owned(),
                    start: span.start,
                    end: span.end,
                    source,
                    generated: false,
                });
            }
        }
    }
    (out, total)
}

fn of_part(reading: &Reading, part: &Part) -> Vec<(Span, CriterionSource)> {
    let one = |source| vec![(part.piece.span, source)];
    let Zone::In(section) = part.piece.zone else { return Vec::new() };
    if section == Section::Excluded
        || is_question(reading, part)
        || part.weight(Cue::Optional) >= 0.8
    {
        return Vec::new();
    }
    match (part.piece.shape, section) {
        (Shape::Scenario, _) => one(CriterionSource::Gherkin),
        (Shape::Checkbox, _) => one(CriterionSource::Checkbox),
        (Shape::Heading, _) => Vec::new(),
        (Shape::Listed, _) => one(CriterionSource::DoneWhen),
        (Shape::Item | Shape::Sentence, Section::Acceptance) => one(CriterionSource::Heading),
        (Shape::Item | Shape::Sentence, Section::Expected) => one(CriterionSource::Expected),
        (Shape::Item | Shape::Sentence, Section::Request | Section::Other) => stated(reading, part),
        (Shape::Item | Shape::Sentence, Section::Steps | Section::Excluded) => Vec::new(),
    }
}

fn is_question(reading: &Reading, part: &Part) -> bool {
    let text = part.piece.span.of(reading.text).trim_end_matches(['"', '”', '»', ')', ' ', '!']);
    text.ends_with(['?', '？'])
        || text.ends_with("か。")
        || text.ends_with("吗。")
        || text.ends_with("까요.")
}

/// Conditions stated in running text, clause by clause.
fn stated(reading: &Reading, part: &Part) -> Vec<(Span, CriterionSource)> {
    let inline = scenario_in_one_sentence(reading, part);
    if let Some(span) = inline {
        return vec![(span, CriterionSource::Gherkin)];
    }
    let mut out = Vec::new();
    for clause in clauses(reading.text, part.piece.span) {
        let hits: Vec<&Hit> = part.hits.iter().filter(|hit| clause.contains(hit.span)).collect();
        // "Needs to be better" is no condition one could check.
        let vague = |hit: &&Hit| {
            hit.cue == Cue::Risk(RiskCategory::UnclearRequirements) && hit.weight >= 0.8
        };
        if hits.iter().any(|hit| hit.cue == Cue::TimeChore || vague(hit)) {
            continue;
        }
        let constraints = constraint_spans(reading, part, clause, &hits);
        match modal(reading, clause, &hits) {
            // A "should" inside a bullet is one criterion: the bullet.
            Some(_) if part.piece.shape == Shape::Item => {
                return vec![(part.piece.span, CriterionSource::Modal)];
            }
            Some(modal) => {
                let whole = modal_span(reading, part, clause, modal, &constraints);
                out.extend(
                    constraints
                        .iter()
                        .filter(|span| !touches(**span, whole))
                        .map(|span| (*span, CriterionSource::Constraint)),
                );
                out.push((whole, CriterionSource::Modal));
            }
            None if is_bounded(reading, part, clause, &hits) => {
                out.push((bounded_span(reading, clause, &hits), CriterionSource::Constraint))
            }
            None => {
                out.extend(constraints.into_iter().map(|span| (span, CriterionSource::Constraint)))
            }
        }
    }
    out.sort_by_key(|(span, _)| *span);
    out
}

/// The modal that makes the clause a condition, if it is one.
fn modal(reading: &Reading, clause: Span, hits: &[&Hit]) -> Option<Span> {
    let background: Vec<Span> =
        hits.iter().filter(|hit| hit.cue == Cue::Background).map(|hit| hit.span).collect();
    let strong =
        hits.iter().filter(|hit| hit.cue == Cue::Modal && hit.weight >= 0.7).map(|hit| hit.span);
    let stands =
        strong.into_iter().find(|span| !background.iter().any(|phrase| touches(*phrase, *span)));
    stands.or_else(|| ends_in_koto(reading, clause))
}

const fn touches(a: Span, b: Span) -> bool {
    a.start < b.end && b.start < a.end
}

/// Japanese specifications end their conditions in こと, with or without a full stop.
fn ends_in_koto(reading: &Reading, clause: Span) -> Option<Span> {
    let text = clause.of(reading.text).trim_end_matches('。');
    let end = clause.start + text.len();
    text.ends_with("こと").then(|| Span::new(end - "こと".len(), end))
}

/// From "Add X, it must do Y" only "it must do Y"; otherwise the clause as a whole.
fn modal_span(
    reading: &Reading,
    part: &Part,
    clause: Span,
    modal: Span,
    constraints: &[Span],
) -> Span {
    let segments = comma_segments(reading.text, clause);
    let Some(at) = segments.iter().position(|segment| segment.contains(modal)) else {
        return clause;
    };
    let taken = segments
        .iter()
        .take(at)
        .rposition(|segment| constraints.iter().any(|span| segment.contains(*span)));
    let request = segments.first().is_some_and(|first| begins_with_verb(part, *first));
    let from = match (taken, request) {
        (Some(before), _) => before + 1,
        (None, true) => at,
        (None, false) => 0,
    };
    let start = segments.get(from).map_or(clause.start, |segment| segment.start);
    without_joiner(reading.text, Span::new(start, clause.end))
}

fn begins_with_verb(part: &Part, segment: Span) -> bool {
    part.hits.iter().any(|hit| {
        matches!(hit.cue, Cue::Verb(_) | Cue::Lead(_))
            && hit.span.start <= segment.start + 8
            && segment.contains(hit.span)
    })
}

fn constraint_spans(reading: &Reading, part: &Part, clause: Span, hits: &[&Hit]) -> Vec<Span> {
    if part.weight(Cue::Defect) >= 0.8 {
        return Vec::new();
    }
    let segments = comma_segments(reading.text, clause);
    let mut out: Vec<Span> = Vec::new();
    for hit in hits.iter().filter(|hit| hit.cue == Cue::Constraint && hit.weight >= 0.7) {
        let Some(segment) = segments.iter().find(|segment| segment.contains(hit.span)) else {
            continue;
        };
        let starts_itself = STARTERS.iter().any(|word| reading.folded(hit.span).starts_with(word));
        let span = if starts_itself { Span::new(hit.span.start, segment.end) } else { *segment };
        let span = without_joiner(reading.text, span);
        if !out.iter().any(|one| touches(*one, span)) {
            out.push(span);
        }
    }
    out
}

/// Constraints that begin where the phrase begins, whatever stands before them.
const STARTERS: [&str; 12] = [
    "without", "ohne", "sans", "sin ", "senza", "sem ", "no ", "zero", "keine", "kein ", "keep",
    "aucun",
];

/// "at most 50 MB", "80ms以内": a limit with a number, in a sentence that reports no defect.
fn is_bounded(reading: &Reading, part: &Part, clause: Span, hits: &[&Hit]) -> bool {
    let text = reading.folded(clause);
    let conditional = ["if ", "falls ", "wenn ", "si ", "se ", "もし", "如果", "만약"]
        .iter()
        .any(|word| text.starts_with(word));
    !conditional
        && part.weight(Cue::Defect) < 0.6
        && hits.iter().any(|hit| limits(reading, clause, hit))
}

fn limits(reading: &Reading, clause: Span, hit: &Hit) -> bool {
    if hit.cue != Cue::Bound || hit.weight < 0.7 {
        return false;
    }
    let after: String =
        reading.folded(Span::new(hit.span.end, clause.end)).chars().take(24).collect();
    let near: String = after.chars().take(10).collect();
    let digit = near.contains(|c: char| c.is_ascii_digit());
    let cjk = hit.span.of(reading.text).chars().any(is_cjk);
    let before = reading
        .folded(Span::new(clause.start, hit.span.start))
        .chars()
        .rev()
        .take(8)
        .any(|c| c.is_ascii_digit());
    let long_time = [
        "day", "week", "month", "tag", "woche", "monat", "jour", "semaine", "mois", "día",
        "semana", "giorn", "settiman", "dia",
    ];
    (digit || (cjk && before)) && !long_time.iter().any(|unit| after.contains(unit))
}

fn bounded_span(reading: &Reading, clause: Span, hits: &[&Hit]) -> Span {
    let limit = hits.iter().find(|hit| limits(reading, clause, hit)).map_or(clause, |hit| hit.span);
    let segments = comma_segments(reading.text, clause);
    let segment =
        segments.iter().find(|segment| segment.contains(limit)).copied().unwrap_or(clause);
    without_joiner(reading.text, segment)
}

/// "Given X, when Y, then Z." in one sentence.
fn scenario_in_one_sentence(reading: &Reading, part: &Part) -> Option<Span> {
    use super::cue::Step;
    let at = |step| {
        part.hits.iter().find(|hit| hit.cue == Cue::Scenario(step)).map(|hit| hit.span.start)
    };
    let (given, then) = (at(Step::Given)?, at(Step::Then)?);
    let near = given <= part.piece.span.start + 2
        && at(Step::When).is_some_and(|when| given < when && when < then);
    (near && !reading.text.is_empty()).then_some(part.piece.span)
}

//! Chooses the type of a task.
//!
//! Each type gets points from the words of the lexicon, weighted by where they stand, from the structure of the
//! text and, later in one place (`model_points`), from a trained model. The described situation decides, not the
//! word the author uses: "hotfix branch" makes no hotfix.

use super::asking::{is_leading, only_describes};
use super::cue::{Cue, Section, Step};
use super::facts::Facts;
use super::filed::filed_as;
use super::lexicon::Hit;
use super::names::{RiskCategory, TaskType};
use super::pieces::{Shape, Zone};
use super::reading::{Part, Reading};
use super::weights::{CLASSES, log_probabilities};

/// The chosen type and what else was possible.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) kind: TaskType,
    /// Probability of the chosen type, 0 to 1.
    pub(crate) confidence: f64,
    /// All other types with theirs, likeliest first.
    pub(crate) others: Vec<(TaskType, f64)>,
}

/// Points per type, in the order of `TaskType::ALL`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Points([f32; 8]);

impl Points {
    fn add(&mut self, kind: TaskType, points: f32) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot += points;
        }
    }

    fn of(&self, kind: TaskType) -> f32 {
        self.0.get(kind as usize).copied().unwrap_or(0.0)
    }
}

/// The type of the text.
pub(crate) fn choose(reading: &Reading, facts: &Facts) -> Verdict {
    let mut points = points(reading, facts);
    if is_hotfix(reading, facts, &points) {
        let top = TaskType::ALL.iter().map(|kind| points.of(*kind)).fold(0.0, f32::max);
        points.add(TaskType::Hotfix, top + 1.5);
    }
    verdict(&points)
}

fn points(reading: &Reading, facts: &Facts) -> Points {
    let mut points = Points::default();
    // What people ask for when they give no hint: mostly something new.
    points.add(TaskType::Feature, 0.5);
    points.add(TaskType::Bugfix, 0.1);
    if let Some((kind, weight)) = filed_as(&reading.folded) {
        points.add(kind, weight);
    }
    if denies_defect(&reading.folded) {
        points.add(TaskType::Bugfix, -2.0);
    }
    word_points(reading, &mut points);
    structure_points(reading, facts, &mut points);
    model_points(reading, &mut points);
    points
}

/// Said in so many words: whatever else the text sounds like, it is not a bug report. A word that only
/// loses its points would leave the rest of the sentence sounding like one.
fn denies_defect(folded: &str) -> bool {
    const DENIALS: [&str; 12] = [
        "not a bug",
        "not a defect",
        "isn't a bug",
        "isn't really a bug",
        "not really a bug",
        "no bug",
        "kein bug",
        "kein fehler",
        "pas un bug",
        "no es un error",
        "non è un bug",
        "não é um bug",
    ];
    DENIALS.iter().any(|denial| folded.contains(denial))
}

fn word_points(reading: &Reading, points: &mut Points) {
    let mut place = 0;
    for part in &reading.parts {
        let weight = match part.piece.zone {
            Zone::In(Section::Request) => {
                place += 1;
                place_weight(place)
            }
            Zone::In(Section::Other | Section::Steps) => 0.4,
            Zone::In(Section::Expected) => 0.3,
            Zone::In(Section::Acceptance) => 0.2,
            Zone::In(Section::Excluded)
            | Zone::Done
            | Zone::Code
            | Zone::Trace
            | Zone::Injected => continue,
        };
        part_points(reading, part, weight, points);
    }
}

/// The first sentence is the title or the wish; of several wishes the first counts.
const fn place_weight(place: usize) -> f32 {
    match place {
        0 | 1 => 1.6,
        2 => 1.0,
        3..=5 => 0.7,
        6..=12 => 0.4,
        _ => 0.15,
    }
}

fn part_points(reading: &Reading, part: &Part, weight: f32, points: &mut Points) {
    for hit in &part.hits {
        let leading = || is_leading(reading, part, hit.span.start);
        let one = weight * hit.weight;
        match hit.cue {
            Cue::Defect => points.add(TaskType::Bugfix, one),
            Cue::Verb(kind) if leading() => points.add(kind, one * 1.4),
            Cue::Verb(kind) => points.add(kind, one * 0.8),
            Cue::Lead(kind) if leading() => points.add(kind, one * 1.4),
            // A thing in the first sentence is what the task is about; further down it is mentioned.
            Cue::Object(kind) if weight >= 1.0 => points.add(kind, one * object_share(kind)),
            Cue::Object(kind) => points.add(kind, one * 0.6),
            _ => {}
        }
    }
}

/// A document or a test as the object outweighs the verb: "fix the typo in the manual" is docs. Configuration is
/// mentioned more often than meant.
const fn object_share(kind: TaskType) -> f32 {
    match kind {
        TaskType::Docs | TaskType::Test => 2.0,
        TaskType::Chore => 1.35,
        TaskType::Feature
        | TaskType::Bugfix
        | TaskType::Hotfix
        | TaskType::Refactor
        | TaskType::Experimental => 1.0,
    }
}

/// What the build of the text says.
fn structure_points(reading: &Reading, facts: &Facts, points: &mut Points) {
    if facts.trace {
        points.add(TaskType::Bugfix, 1.3);
    }
    if facts.steps {
        points.add(TaskType::Bugfix, 1.6);
    }
    if reading.parts.iter().any(tells_scenario) {
        points.add(TaskType::Feature, 0.8);
    }
    if only_describes(reading) {
        points.add(TaskType::Bugfix, 0.9);
    }
    let first =
        reading.parts.iter().find(|part| matches!(part.piece.zone, Zone::In(Section::Request)));
    let asks = first.is_some_and(|first| opening_points(reading, first, points));
    situation_points(reading, facts, asks, points);
}

fn tells_scenario(part: &Part) -> bool {
    let given = |hit: &Hit| {
        hit.cue == Cue::Scenario(Step::Given) && hit.span.start <= part.piece.span.start + 2
    };
    part.piece.shape == Shape::Scenario || part.hits.iter().any(given)
}

/// How the first sentence begins; returns whether it begins with a verb of work.
fn opening_points(reading: &Reading, first: &Part, points: &mut Points) -> bool {
    let asks = first.hits.iter().any(|hit| {
        matches!(hit.cue, Cue::Verb(_) | Cue::Lead(_)) && is_leading(reading, first, hit.span.start)
    });
    for hit in first.hits.iter().filter(|hit| hit.span.start <= first.piece.span.start + 1) {
        match hit.cue {
            Cue::Opening if !asks => points.add(TaskType::Bugfix, hit.weight),
            Cue::Sarcasm => points.add(TaskType::Bugfix, 1.6),
            _ => {}
        }
    }
    asks
}

/// Situations that decide more than words: a hole, a duty, a promise that nothing changes, a wish for speed.
fn situation_points(reading: &Reading, facts: &Facts, asks: bool, points: &mut Points) {
    let wanted = asks && points.of(TaskType::Feature) > points.of(TaskType::Chore);
    if facts.vulnerable >= 0.7 && !wanted {
        points.add(TaskType::Bugfix, 2.5);
    }
    if facts.defect >= 0.8 {
        return;
    }
    if facts.duty >= 1.0 {
        points.add(TaskType::Feature, 0.6);
    }
    if reading.weight(Cue::Constraint) >= 1.0 {
        points.add(TaskType::Refactor, 0.6);
    }
    let speed = reading.weight(Cue::Risk(RiskCategory::Performance));
    if speed >= 1.0 && points.of(TaskType::Feature) < 1.6 {
        points.add(TaskType::Refactor, 0.9);
    }
}

/// The trained model, in proportion to how far it leaves "could be anything". It has read much English and
/// little else, so elsewhere it only breaks ties.
fn model_points(reading: &Reading, points: &mut Points) {
    const SHARE: f32 = 1.0;
    let most = if reading.language.tag == "en" { 2.0 } else { 1.0 };
    let Some(logs) = log_probabilities(&reading.told()) else { return };
    let even = -(CLASSES.len() as f32).ln();
    for (kind, log) in CLASSES.into_iter().zip(logs) {
        points.add(kind, (SHARE * (log - even)).clamp(-most, most));
    }
}

/// An emergency, unless the text asks for something else in view of one ("write a runbook for outages").
fn is_hotfix(reading: &Reading, facts: &Facts, points: &Points) -> bool {
    if !facts.is_emergency() {
        return false;
    }
    let harm = facts.outage + facts.active_harm;
    let repair = points.of(TaskType::Bugfix) + harm;
    let others = [
        TaskType::Feature,
        TaskType::Refactor,
        TaskType::Experimental,
        TaskType::Docs,
        TaskType::Test,
        TaskType::Chore,
    ];
    let rival = others.iter().map(|kind| points.of(*kind)).fold(0.0, f32::max);
    let asked_first = reading.parts.first().is_some_and(|first| {
        let other_work =
            |kind| !matches!(kind, TaskType::Bugfix | TaskType::Hotfix | TaskType::Chore);
        first.hits.iter().any(|hit| {
            matches!(hit.cue, Cue::Verb(kind) | Cue::Lead(kind) if other_work(kind))
                && is_leading(reading, first, hit.span.start)
        })
    });
    repair >= if asked_first { rival + 1.0 } else { rival * 0.6 }
}

/// Probabilities by softmax. Points are no logarithms; the divisor was chosen so that one clear word beats
/// silence at about 0.6.
fn verdict(points: &Points) -> Verdict {
    const SPREAD: f64 = 1.1;
    let scores: Vec<(TaskType, f64)> =
        TaskType::ALL.iter().map(|kind| (*kind, f64::from(points.of(*kind)) / SPREAD)).collect();
    let top = scores.iter().map(|(_, score)| *score).fold(f64::MIN, f64::max);
    let total: f64 = scores.iter().map(|(_, score)| (score - top).exp()).sum();
    let mut ranked: Vec<(TaskType, f64)> =
        scores.into_iter().map(|(kind, score)| (kind, (score - top).exp() / total)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut ranked = ranked.into_iter();
    let (kind, confidence) = ranked.next().unwrap_or((TaskType::Feature, 0.0));
    Verdict { kind, confidence, others: ranked.collect() }
}

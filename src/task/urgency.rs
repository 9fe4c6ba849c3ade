//! Chooses the priority: explicit labels first, then what is happening, then how the author asks for it.
//!
//! A tracker's priority is project policy and cannot be guessed from text, so without a cue it is medium.
//! Stated urgency loses against its own negation and against triviality; a legal or contractual duty beats
//! "low from my side".

use chrono::{DateTime, TimeDelta, Utc};

use super::cue::{Cue, Section};
use super::facts::Facts;
use super::fold::Span;
use super::headings::inside;
use super::lexicon::Hit;
use super::names::{Priority, RiskCategory, TaskType};
use super::pieces::Zone;
use super::reading::Reading;

/// Labels looked at per sentence; nobody writes more than one.
const FIELDS_MAX: usize = 20;
/// A deadline this near makes a task high.
const NEAR: TimeDelta = TimeDelta::days(7);

/// The priority and how sure it is, 0 to 1.
pub(crate) fn choose(
    reading: &Reading,
    facts: &Facts,
    kind: TaskType,
    deadline: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (Priority, f64) {
    if let Some(stated) = explicit(reading) {
        let bound = facts.duty >= 1.0 && stated < Priority::High;
        return if bound { (Priority::High, 0.7) } else { (stated, 0.95) };
    }
    if kind == TaskType::Hotfix {
        return (emergency(reading, facts), 0.85);
    }
    let near = deadline.is_some_and(|due| due - now <= NEAR);
    implied(facts, kind, near)
}

/// Outage, harm that goes on, and whatever touches money or data is critical; other emergencies are high.
fn emergency(reading: &Reading, facts: &Facts) -> Priority {
    let at_stake = [RiskCategory::Financial, RiskCategory::DataIntegrity]
        .map(|one| reading.weight(Cue::Risk(one)).min(1.0));
    let severe = facts.outage
        + facts.active_harm
        + facts.critical
        + facts.vulnerable
        + at_stake.iter().sum::<f32>();
    if severe >= 1.0 { Priority::Critical } else { Priority::High }
}

fn implied(facts: &Facts, kind: TaskType, near: bool) -> (Priority, f64) {
    let away = if facts.is_elsewhere() { 0.5 } else { 1.0 };
    let high = (facts.high + if near { 1.0 } else { 0.0 }) * away;
    let weak_spot = facts.vulnerable >= 0.7 && kind == TaskType::Bugfix && !facts.is_elsewhere();
    if facts.duty >= 1.0 && facts.trivial < 1.0 && !matches!(kind, TaskType::Docs | TaskType::Test)
    {
        return (Priority::High, 0.75);
    }
    // Shouting about a comma does not make it urgent.
    if facts.trivial >= 0.7
        && facts.outage + facts.active_harm < 1.0
        && high + facts.critical + facts.now >= 0.85
        && facts.duty < 1.0
    {
        return (Priority::Low, 0.6);
    }
    if facts.critical >= 1.0 {
        return (Priority::Critical, 0.8);
    }
    if facts.low >= 0.7 && facts.low >= high && !weak_spot {
        return (Priority::Low, 0.8);
    }
    if high >= 0.85 || weak_spot {
        return (Priority::High, 0.75);
    }
    (Priority::Medium, 0.6)
}

/// "Priority: low", "high-priority", "Priorität hoch": a field and a value side by side.
fn explicit(reading: &Reading) -> Option<Priority> {
    for part in &reading.parts {
        if !matches!(part.piece.zone, Zone::In(Section::Request | Section::Other)) {
            continue;
        }
        let fields = part.hits.iter().filter(|hit| hit.cue == Cue::PriorityField).take(FIELDS_MAX);
        let value = fields.filter_map(|field| value_beside(reading, &part.hits, field.span)).next();
        if value.is_some() {
            return value;
        }
    }
    None
}

fn value_beside(reading: &Reading, hits: &[Hit], field: Span) -> Option<Priority> {
    let around = Span::new(field.start.saturating_sub(20), field.end + 10);
    let values = inside(hits, around).filter_map(|hit| match hit.cue {
        Cue::PriorityValue(value) if is_beside(reading, field, hit.span) => Some(value),
        _ => None,
    });
    values.max()
}

fn is_beside(reading: &Reading, field: Span, value: Span) -> bool {
    let (between, after) = if value.start >= field.end {
        (Span::new(field.end, value.start), true)
    } else {
        (Span::new(value.end, field.start), false)
    };
    if between.start > between.end || between.len() > 8 {
        return false;
    }
    let link =
        reading.folded(between).trim_matches([' ', ':', '：', '=', '*', '-', '"', '|', '[', '(']);
    // "priority is high" and "Priorität: hoch" behind the field; in front of it nothing but a space or hyphen.
    if after {
        matches!(
            link,
            "" | "is" | "ist" | "est" | "es" | "è" | "é" | "は" | "为" | "是" | "는" | "가" | "to"
        )
    } else {
        link.is_empty() && between.len() <= 2
    }
}

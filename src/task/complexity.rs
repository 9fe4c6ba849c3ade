//! Estimates size and difficulty on the scale 1 to 10, and the hours that follow.
//!
//! A handful of signs, added up: type, conditions, hard risks, scope, length. It ranks well and is off by
//! about one step; nobody should promise a date with it.

use super::cue::Cue;
use super::facts::Facts;
use super::model::{Criterion, Risk};
use super::names::{ComplexityClass, RiskCategory, TaskType};
use super::reading::Reading;

/// Complexity from 1 to 10.
pub(crate) fn estimate(
    reading: &Reading,
    facts: &Facts,
    kind: TaskType,
    criteria: &[Criterion],
    risks: &[Risk],
) -> u8 {
    let mut points = base(kind);
    points += 0.3 * count(criteria.len(), 6);
    points += risks.iter().map(|risk| weight(risk.category)).sum::<f32>();
    points += length(reading.text);
    points += size_words(reading);
    if facts.trivial >= 0.7 || facts.low >= 1.0 {
        points -= 1.0;
    }
    // Clamped to a small positive number first, so the conversion cannot wrap.
    points.round().clamp(1.0, 10.0) as u8
}

/// Hours for one developer: base of the type times the factor of the class.
pub(crate) fn hours(kind: TaskType, class: ComplexityClass) -> f64 {
    kind.base_hours() * class.factor()
}

const fn base(kind: TaskType) -> f32 {
    match kind {
        TaskType::Docs => 1.5,
        TaskType::Chore => 2.0,
        TaskType::Bugfix => 2.6,
        TaskType::Test => 3.0,
        TaskType::Hotfix => 3.3,
        TaskType::Feature => 3.0,
        TaskType::Refactor => 3.3,
        TaskType::Experimental => 4.2,
    }
}

/// What a risk adds; the cheap ones are mentioned often and cost little.
const fn weight(category: RiskCategory) -> f32 {
    match category {
        RiskCategory::LargeScope => 4.0,
        RiskCategory::Concurrency => 1.2,
        RiskCategory::SchemaMigration | RiskCategory::Compliance => 0.9,
        RiskCategory::UnclearRequirements => 1.0,
        RiskCategory::Security
        | RiskCategory::DataIntegrity
        | RiskCategory::BreakingChange
        | RiskCategory::Performance => 0.5,
        RiskCategory::Financial
        | RiskCategory::ExternalDependency
        | RiskCategory::ProductionImpact => 0.2,
        RiskCategory::PromptInjection => 0.0,
    }
}

fn count(number: usize, limit: u8) -> f32 {
    f32::from(u8::try_from(number).unwrap_or(u8::MAX).min(limit))
}

/// Long requests are bigger, short ones smaller; a character of Han says as much as three letters.
fn length(text: &str) -> f32 {
    let letters: usize =
        text.chars().take(4000).map(|c| if super::fold::is_cjk(c) { 3 } else { 1 }).sum();
    match letters {
        0..=45 => -0.5,
        46..=150 => 0.0,
        151..=400 => 0.4,
        401..=1200 => 0.8,
        _ => 1.2,
    }
}

fn size_words(reading: &Reading) -> f32 {
    reading.weight(Cue::Big).min(2.0) - reading.weight(Cue::Small).min(1.5)
}

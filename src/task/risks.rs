//! Finds risk factors: categories for which the text has evidence, each with the words that show it.

use super::cue::Cue;
use super::facts::Facts;
use super::fold::Span;
use super::lexicon::Hit;
use super::model::Risk;
use super::names::{Priority, RiskCategory, Severity, TaskType};
use super::reading::Reading;

/// Evidence that makes a risk: one clear word, or several hints.
const ENOUGH: f32 = 1.0;

/// The risks of the text, in the order of the categories.
pub(crate) fn find(
    reading: &Reading,
    facts: &Facts,
    kind: TaskType,
    priority: Priority,
) -> Vec<Risk> {
    let mut found: Vec<(RiskCategory, Span)> = RiskCategory::ALL
        .iter()
        .filter_map(|one| evidence(reading, facts, kind, *one).map(|span| (*one, span)))
        .collect();
    if let Some(span) = reading.injections.first() {
        found.push((RiskCategory::PromptInjection, *span));
    }
    let live = found.iter().any(|(category, _)| *category == RiskCategory::ProductionImpact);
    found
        .into_iter()
        .map(|(category, span)| risk(reading, category, span, live, priority))
        .collect()
}

fn risk(
    reading: &Reading,
    category: RiskCategory,
    span: Span,
    live: bool,
    priority: Priority,
) -> Risk {
    let hurts = match category {
        RiskCategory::DataIntegrity
        | RiskCategory::Security
        | RiskCategory::Financial
        | RiskCategory::ProductionImpact
        | RiskCategory::Compliance => live || priority >= Priority::High,
        RiskCategory::PromptInjection => true,
        RiskCategory::SchemaMigration
        | RiskCategory::BreakingChange
        | RiskCategory::Concurrency
        | RiskCategory::Performance
        | RiskCategory::ExternalDependency
        | RiskCategory::UnclearRequirements
        | RiskCategory::LargeScope => false,
    };
    let severity = match (hurts, category) {
        (true, _) => Severity::High,
        (false, RiskCategory::UnclearRequirements) if priority == Priority::Low => Severity::Low,
        (false, _) => Severity::Medium,
    };
    Risk {
        category,
        severity,
        evidence: span.of(reading.text).to_owned(),
        start: span.start,
        end: span.end,
    }
}

/// The strongest words for a category if there are enough of them.
fn evidence(
    reading: &Reading,
    facts: &Facts,
    kind: TaskType,
    category: RiskCategory,
) -> Option<Span> {
    if category == RiskCategory::ProductionImpact {
        return production(reading, facts, kind);
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut total = 0.0;
    let mut best: Option<&Hit> = None;
    for (_, hit) in reading.hits().filter(|(_, hit)| hit.cue == Cue::Risk(category)) {
        let words = reading.folded(hit.span);
        // Saying a weak hint ten times does not make it strong.
        if total >= ENOUGH || seen.contains(&words) {
            continue;
        }
        seen.push(words);
        total += hit.weight;
        if best.is_none_or(|best| hit.weight > best.weight) {
            best = Some(hit);
        }
    }
    best.filter(|_| total >= ENOUGH - 0.01).map(|hit| hit.span)
}

/// The live system is hit when it is named and not excluded, and in every hotfix.
fn production(reading: &Reading, facts: &Facts, kind: TaskType) -> Option<Span> {
    let strongest = |cue: Cue| {
        let hits = reading.hits().filter(|(_, hit)| hit.cue == cue).map(|(_, hit)| hit);
        hits.fold(None, |best: Option<&Hit>, hit| {
            if best.is_none_or(|best| hit.weight > best.weight) { Some(hit) } else { best }
        })
    };
    let named =
        strongest(Cue::Risk(RiskCategory::ProductionImpact)).filter(|hit| hit.weight >= 0.99);
    if kind == TaskType::Hotfix {
        let order = [Cue::Outage, Cue::ActiveHarm, Cue::Production, Cue::Users, Cue::Defect];
        return named.or_else(|| order.into_iter().find_map(strongest)).map(|hit| hit.span);
    }
    named.filter(|_| !facts.is_elsewhere() && facts.resolved < 0.7).map(|hit| hit.span)
}

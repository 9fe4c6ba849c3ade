//! The offline parser: reads a text once and fills in the task, in linear time and always the same way.

use super::context::{Context, ParseRefusal};
use super::criteria::CRITERIA_MAX;
use super::cue::Cue;
use super::facts::Facts;
use super::kind::Verdict;
use super::model::{Alternative, Confidence, Requirements, Task};
use super::names::{ComplexityClass, TaskType};
use super::reading::Reading;
use super::{complexity, criteria, files, kind, mentions, risks, title, urgency};

/// Written to `parsed_by`; changes when the same text may get other labels.
pub const OFFLINE_PARSER: &str = "offline/1";

/// Largest text that is accepted, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000_000;

/// An alternative has to be at least this likely to be mentioned.
const ALTERNATIVE_MIN: f64 = 0.05;
/// Two types closer than this are a toss-up, and a reader should know.
const TOSS_UP: f64 = 0.15;

/// Reads plain language into a task: verbatim criteria, evidence for risks, no additions.
///
/// What `context` sets wins over the text. The same text and context give the same task.
///
/// # Errors
/// When the text is empty or longer than `TEXT_BYTES_MAX`.
pub fn parse(text: &str, context: &Context) -> Result<Task, ParseRefusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ParseRefusal::TooLong { bytes: text.len(), limit: TEXT_BYTES_MAX });
    }
    let (description, mut warnings) = clean(text);
    if !description.chars().any(|c| !c.is_whitespace() && !c.is_control()) {
        return Err(ParseRefusal::Empty);
    }
    let reading = Reading::of(&description);
    let facts = Facts::of(&reading);
    let verdict = kind::choose(&reading, &facts);
    warnings.extend(doubts(&verdict));
    Ok(assemble(&reading, &facts, &verdict, context, warnings))
}

/// Postgres cannot store NUL, so it goes; everything else stays as it was given.
fn clean(text: &str) -> (String, Vec<String>) {
    if !text.contains('\0') {
        return (text.to_owned(), Vec::new());
    }
    let count = text.matches('\0').count();
    let plural = if count == 1 { "NUL byte was" } else { "NUL bytes were" };
    (text.replace('\0', ""), vec![format!("{count} {plural} removed from the description")])
}

fn doubts(verdict: &Verdict) -> Option<String> {
    let (second, p) = verdict.others.first()?;
    let close = verdict.confidence - p < TOSS_UP;
    close.then(|| {
        format!(
            "the type is uncertain: {} ({:.2}) or {second} ({p:.2})",
            verdict.kind, verdict.confidence
        )
    })
}

fn assemble(
    reading: &Reading,
    facts: &Facts,
    verdict: &Verdict,
    context: &Context,
    mut warnings: Vec<String>,
) -> Task {
    let kind = verdict.kind;
    let deadline = context.deadline.or_else(|| mentions::deadline(reading, context.now));
    let (stated, sure) = urgency::choose(reading, facts, kind, deadline, context.now);
    let priority = context.priority.unwrap_or(stated);
    let (acceptance_criteria, total) = criteria::find(reading);
    if total > CRITERIA_MAX {
        warnings.push(format!(
            "{total} acceptance criteria were found, the first {CRITERIA_MAX} are kept"
        ));
    }
    let risk_factors = risks::find(reading, facts, kind, priority);
    let complexity =
        complexity::estimate(reading, facts, kind, &acceptance_criteria, &risk_factors);
    let complexity_class = ComplexityClass::of(complexity);
    Task {
        title: title::make(reading),
        description: reading.text.to_owned(),
        task_type: kind,
        workflow: context.workflow.clone().unwrap_or_else(|| kind.workflow().to_owned()),
        priority,
        priority_rank: priority.rank(),
        complexity,
        complexity_class,
        estimated_hours: complexity::hours(kind, complexity_class),
        acceptance_criteria,
        risk_factors,
        affected_files: files::find(reading.text),
        dependencies: mentions::dependencies(reading),
        requirements: requirements(reading, context, deadline),
        language: reading.language.tag.to_owned(),
        confidence: Confidence {
            task_type: rounded(verdict.confidence),
            priority: if context.priority.is_some() { 1.0 } else { sure },
        },
        alternatives: alternatives(&verdict.others),
        parsed_by: OFFLINE_PARSER.to_owned(),
        warnings,
    }
}

fn requirements(
    reading: &Reading,
    context: &Context,
    deadline: Option<chrono::DateTime<chrono::Utc>>,
) -> Requirements {
    Requirements {
        repository: context.repository.clone().or_else(|| mentions::repository(reading)),
        assignee: context.assignee.clone().or_else(|| mentions::assignee(reading)),
        deadline,
        testing_required: reading.weight(Cue::NeedsTests) > 0.0,
        fast_track: false,
    }
}

fn alternatives(others: &[(TaskType, f64)]) -> Vec<Alternative> {
    let likely = others.iter().filter(|(_, p)| *p >= ALTERNATIVE_MIN).take(3);
    likely.map(|(task_type, p)| Alternative { task_type: *task_type, p: rounded(*p) }).collect()
}

/// Three decimals, so that a stored task does not depend on the last bit of an exponential.
fn rounded(p: f64) -> f64 {
    (p * 1000.0).round() / 1000.0
}

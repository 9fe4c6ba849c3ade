//! Judges a task before it is started: errors stop it, warnings are shown and kept.

use super::model::Task;
use super::names::{ComplexityClass, Priority, RiskCategory, TaskType};
use super::title::TITLE_CHARS_MAX;

/// Hours below which a complex task was likely estimated too low.
const COMPLEX_HOURS_MIN: f64 = 8.0;
/// More files than this are more than one review can hold.
const FILES_USUAL_MAX: usize = 20;

/// What is wrong with a task, in words for the person who submitted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// The task must not be started.
    pub errors: Vec<String>,
    /// The task may be started; a reader should know.
    pub warnings: Vec<String>,
}

impl Validation {
    /// Whether the task may be started.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Checks the task. `known_workflows` are the names registered with the engine, the built-in ones included.
#[must_use]
pub fn validate(task: &Task, known_workflows: &[&str]) -> Validation {
    Validation { errors: errors(task, known_workflows), warnings: warnings(task) }
}

fn errors(task: &Task, known_workflows: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let title_chars = task.title.chars().count();
    if task.title.trim().is_empty() {
        out.push("the task has no title: say in a sentence what should change".to_owned());
    } else if title_chars > TITLE_CHARS_MAX {
        out.push(format!(
            "the title has {title_chars} characters, the limit is {TITLE_CHARS_MAX}: shorten it"
        ));
    }
    if task.description.trim().is_empty() {
        out.push("the task has no description: give the text of the request".to_owned());
    }
    if !known_workflows.contains(&task.workflow.as_str()) {
        out.push(format!(
            "workflow `{}` does not exist; known ones: {}",
            task.workflow,
            known_workflows.join(", ")
        ));
    }
    out
}

fn warnings(task: &Task) -> Vec<String> {
    let risk = |category| task.risk_factors.iter().any(|one| one.category == category);
    let complex = task.complexity_class == ComplexityClass::Complex;
    let checks = [
        (
            task.acceptance_criteria.iter().all(|one| one.generated),
            "no acceptance criteria were found: say how one can tell that it is done",
        ),
        (
            task.task_type == TaskType::Hotfix && task.priority < Priority::High,
            "a hotfix is usually high or critical: check type and priority",
        ),
        (
            complex && task.estimated_hours < COMPLEX_HOURS_MIN,
            "the task is complex but estimated at under 8 hours: check the estimate",
        ),
        (
            task.affected_files.len() > FILES_USUAL_MAX,
            "more than 20 files are named: consider splitting the task",
        ),
        (
            risk(RiskCategory::UnclearRequirements),
            "the requirements are unclear: settle open points before work starts",
        ),
        (
            risk(RiskCategory::PromptInjection),
            "the text tries to steer the parser or the agent (prompt injection): read it before approving",
        ),
    ];
    checks.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect()
}

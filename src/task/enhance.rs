//! Adds what follows from the type of a task: fast track, tests, generated criteria, hours.
//!
//! Enhancement adds. It never takes back what was said or what the caller set, and a deadline only ever raises
//! the priority. Applying it twice changes nothing.

use chrono::TimeDelta;

use super::context::Context;
use super::model::{Criterion, Task};
use super::names::{ComplexityClass, CriterionSource, Priority, RiskCategory, TaskType};

/// A deadline this near raises the priority.
const PRESSING: TimeDelta = TimeDelta::hours(24);

/// The task with what its type implies.
#[must_use]
pub fn enhance(mut task: Task, context: &Context) -> Task {
    apply_context(&mut task, context);
    if context.priority.is_none() {
        raise_priority(&mut task, context);
    }
    task.priority_rank = task.priority.rank();
    task.requirements.fast_track |= task.task_type == TaskType::Hotfix;
    task.requirements.testing_required |= needs_tests(task.task_type);
    for text in implied_criteria(task.task_type) {
        add_criterion(&mut task, text);
    }
    estimate(&mut task);
    task
}

fn apply_context(task: &mut Task, context: &Context) {
    if let Some(workflow) = &context.workflow {
        task.workflow.clone_from(workflow);
    } else if task.workflow.trim().is_empty() {
        task.workflow = task.task_type.workflow().to_owned();
    }
    if let Some(priority) = context.priority {
        task.priority = priority;
    }
    let wanted = &mut task.requirements;
    wanted.repository = context.repository.clone().or_else(|| wanted.repository.take());
    wanted.assignee = context.assignee.clone().or_else(|| wanted.assignee.take());
    wanted.deadline = context.deadline.or(wanted.deadline);
}

/// A hotfix is at least high and critical when production is hit; a deadline within a day is worth one step.
fn raise_priority(task: &mut Task, context: &Context) {
    if task.task_type == TaskType::Hotfix {
        let live =
            task.risk_factors.iter().any(|risk| risk.category == RiskCategory::ProductionImpact);
        task.priority = task.priority.max(if live { Priority::Critical } else { Priority::High });
    }
    let pressing = task.requirements.deadline.is_some_and(|due| due - context.now <= PRESSING);
    if pressing {
        task.priority = task.priority.max(Priority::High);
    }
}

const fn needs_tests(kind: TaskType) -> bool {
    match kind {
        TaskType::Hotfix
        | TaskType::Bugfix
        | TaskType::Feature
        | TaskType::Refactor
        | TaskType::Test => true,
        TaskType::Experimental | TaskType::Docs | TaskType::Chore => false,
    }
}

/// What holds for every task of a type, whether or not anybody wrote it down.
const fn implied_criteria(kind: TaskType) -> &'static [&'static str] {
    match kind {
        TaskType::Hotfix => &["the cause is fixed and a regression test covers it"],
        TaskType::Bugfix => &[
            "the defect is reproduced before it is fixed",
            "a regression test fails without the fix and passes with it",
        ],
        TaskType::Feature => {
            &["tests cover the new behaviour", "the documentation describes the new behaviour"]
        }
        TaskType::Refactor => &["behaviour does not change", "all existing tests pass"],
        TaskType::Experimental => {
            &["the result says whether to go on; its code may be thrown away"]
        }
        TaskType::Docs | TaskType::Test | TaskType::Chore => &[],
    }
}

fn add_criterion(task: &mut Task, text: &str) {
    if !task.acceptance_criteria.iter().any(|one| one.text == text) {
        let source = CriterionSource::Generated;
        task.acceptance_criteria.push(Criterion {
            text: text.to_owned(),
            start: 0,
            end: 0,
            source,
            generated: true,
        });
    }
}

/// Class and hours follow the complexity; hours that somebody named stay.
fn estimate(task: &mut Task) {
    task.complexity = task.complexity.clamp(1, 10);
    task.complexity_class = ComplexityClass::of(task.complexity);
    if task.estimated_hours.is_nan() || task.estimated_hours <= 0.0 {
        task.estimated_hours = task.task_type.base_hours() * task.complexity_class.factor();
    }
}

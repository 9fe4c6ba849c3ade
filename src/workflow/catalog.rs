//! The six workflows that come with the program: default, hotfix, feature, bugfix, refactor,
//! experimental.
//!
//! Data, written as code so that the compiler checks it. The table is in the README. Stage kinds are
//! named here by string; which code performs them is not known.

use super::condition::Condition;
use super::definition::{Definition, StageDefinition};
use super::failure::ErrorKind;
use serde_json::json;

/// All six, in the order of the documentation.
pub fn all() -> Vec<Definition> {
    vec![default(), hotfix(), feature(), bugfix(), refactor(), experimental()]
}

/// One of the six by name.
pub fn find(name: &str) -> Option<Definition> {
    all().into_iter().find(|d| d.name == name)
}

fn default() -> Definition {
    let stages = vec![
        analysis(300),
        code_generation(600),
        testing(300),
        pr_creation(120),
        validation(300),
        optional(deployment(600)),
    ];
    workflow("default", "Standard development workflow", 3_600, stages)
}

fn hotfix() -> Definition {
    let stages =
        vec![code_generation(300), testing(180), pr_creation(60), validation(180), deployment(300)];
    let mut definition =
        workflow("hotfix", "Fast track for defects that hurt production now", 1_800, stages);
    definition.min_priority = Some(10);
    definition
}

fn feature() -> Definition {
    let stages = vec![
        analysis(300),
        code_generation(900),
        testing(600),
        approval(),
        pr_creation(120),
        validation(600),
    ];
    workflow("feature", "Comprehensive workflow for new features", 5_400, stages)
}

fn bugfix() -> Definition {
    let stages =
        vec![analysis(180), code_generation(600), testing(300), pr_creation(120), validation(300)];
    workflow("bugfix", "Standard workflow for bug fixes", 3_600, stages)
}

fn refactor() -> Definition {
    let stages = vec![
        analysis(600),
        code_generation(1_200),
        testing(900),
        pr_creation(120),
        validation(600),
    ];
    workflow("refactor", "Code changes that leave the behaviour as it is", 7_200, stages)
}

fn experimental() -> Definition {
    let stages = vec![
        optional(analysis(300)),
        code_generation(600),
        optional(testing(300)),
        pr_creation(120),
        optional(validation(300)),
    ];
    workflow("experimental", "Spikes and prototypes whose result may be thrown away", 3_600, stages)
}

fn workflow(
    name: &str,
    description: &str,
    seconds: u64,
    stages: Vec<StageDefinition>,
) -> Definition {
    let mut definition = Definition::new(name, stages);
    definition.description = description.to_owned();
    definition.deadline_ms = Some(seconds * 1_000);
    definition
}

fn stage(name: &str, seconds: u64, attempts: u32) -> StageDefinition {
    let mut stage = StageDefinition::new(name, name);
    stage.timeout_ms = Some(seconds * 1_000);
    stage.attempts = Some(attempts);
    stage
}

fn optional(mut stage: StageDefinition) -> StageDefinition {
    stage.required = false;
    stage
}

fn analysis(seconds: u64) -> StageDefinition {
    stage("analysis", seconds, 2)
}

/// A rejected change (empty, or with tests deleted) is tried again at once, with what was said.
fn code_generation(seconds: u64) -> StageDefinition {
    let mut stage = stage("code_generation", seconds, 3);
    stage.retry.on.insert(ErrorKind::Rejected, true);
    stage
}

fn testing(seconds: u64) -> StageDefinition {
    reopening(stage("testing", seconds, 2))
}

fn pr_creation(seconds: u64) -> StageDefinition {
    stage("pr_creation", seconds, 3)
}

fn validation(seconds: u64) -> StageDefinition {
    reopening(stage("validation", seconds, 2))
}

fn deployment(seconds: u64) -> StageDefinition {
    reopening(stage("deployment", seconds, 1))
}

/// Off unless the input says `approval: true`; a person may take seven days.
fn approval() -> StageDefinition {
    let mut stage = StageDefinition::new("approval", "approval");
    stage.attempts = Some(1);
    stage.wait_limit_ms = Some(7 * 24 * 3_600_000);
    stage.when = Some(Condition::Equals { path: "input.approval".to_owned(), equals: json!(true) });
    stage
}

/// Work that this stage rejects goes back to the coding agent.
fn reopening(mut stage: StageDefinition) -> StageDefinition {
    stage.reopens = Some("code_generation".to_owned());
    stage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::validate::{Kinds, problems};

    #[test]
    fn each_of_the_six_can_run() {
        let names: Vec<String> = all().into_iter().map(|d| d.name).collect();
        assert_eq!(names, ["default", "hotfix", "feature", "bugfix", "refactor", "experimental"]);
        let kinds = all().into_iter().flat_map(|d| d.stages).map(|s| (s.kind, None));
        let kinds: Kinds = kinds.collect();
        for definition in all() {
            assert_eq!(problems(&definition, &kinds), [], "{}", definition.name);
            assert_eq!(find(&definition.name), Some(definition));
        }
        assert_eq!(find("hotfixx"), None);
    }

    #[test]
    fn rejected_work_goes_back_to_the_agent() {
        for definition in all() {
            let reopens = |name: &str| {
                let stage = definition.stages.iter().find(|s| s.name == name);
                stage.is_none_or(|s| s.reopens.as_deref() == Some("code_generation"))
            };
            assert!(reopens("testing") && reopens("validation") && reopens("deployment"));
        }
    }

    #[test]
    fn only_a_hotfix_jumps_the_queue() {
        let urgent: Vec<String> =
            all().into_iter().filter(|d| d.min_priority.is_some()).map(|d| d.name).collect();
        assert_eq!(urgent, ["hotfix"]);
    }
}

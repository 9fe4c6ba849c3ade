//! The known traps, as a list of texts with expectations.

use super::context;
use crate::task::{Task, parse};

/// One value of the task as text: lists are counted, or joined by `|`.
fn field(task: &Task, name: &str) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    match name {
        "type" => task.task_type.to_string(),
        "priority" => task.priority.to_string(),
        "title" => task.title.clone(),
        "files" => task.affected_files.join("|"),
        "dependencies" => task.dependencies.join("|"),
        "criteria" => task.acceptance_criteria.len().to_string(),
        "criterion" => task
            .acceptance_criteria
            .iter()
            .map(|one| one.text.as_str())
            .collect::<Vec<_>>()
            .join("|"),
        "assignee" => text(&task.requirements.assignee),
        "repository" => text(&task.requirements.repository),
        "deadline" => {
            task.requirements.deadline.map(|due| due.date_naive().to_string()).unwrap_or_default()
        }
        other => panic!("the field `{other}` is not known to this test"),
    }
}

/// What is wrong with the task, if anything.
fn check(name: &str, text: &str, expectation: &str) -> Option<String> {
    let task = parse(text, &context()).expect("a text");
    let (what, value) = expectation.split_once(' ').unwrap_or((expectation, ""));
    let has_risk = task.risk_factors.iter().any(|risk| risk.category.as_str() == value);
    let found = match what {
        "risk" | "norisk" => {
            (has_risk == (what == "norisk")).then(|| format!("{:?}", task.risk_factors))
        }
        _ => Some(field(&task, what)).filter(|found| found != value),
    };
    found.map(|found| format!("{name}: expected {expectation}, found {found}"))
}

#[test]
fn no_known_trap_works() {
    let cases = include_str!("../../../tests/task/traps.txt");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for case in cases.split("\n### ").skip(1) {
        let (name, body) = case.split_once('\n').expect("a name and a text");
        let text: Vec<&str> = body.lines().filter(|line| !line.starts_with("=>")).collect();
        for expectation in body.lines().filter_map(|line| line.strip_prefix("=>")) {
            wrong.extend(check(name, text.join("\n").trim(), expectation.trim()));
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 40, "only {checked} expectations were found");
}

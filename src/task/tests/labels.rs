//! How well the parser does on the hand-written requests: floors that a change must not break.
//!
//! The floors lie a little below what was measured, so that a new word may cost one request and win five.

use super::context;
use crate::task::{Task, parse};

struct Request {
    kind: String,
    priority: String,
    complexity: f64,
    risks: Vec<String>,
    text: String,
    criteria: Vec<String>,
}

fn requests(source: &str) -> Vec<Request> {
    source.split("\n### ").skip(1).map(request).collect()
}

fn request(record: &str) -> Request {
    let (head, body) = record.split_once('\n').expect("a head and a text");
    let fields: Vec<&str> = head.split(' ').collect();
    let [_, kind, priority, complexity, risks] = fields.as_slice() else {
        panic!("five fields in `{head}`")
    };
    let lines = || body.lines();
    Request {
        kind: (*kind).to_owned(),
        priority: (*priority).to_owned(),
        complexity: complexity.parse().expect("a number"),
        risks: risks.split(',').filter(|one| *one != "-").map(str::to_owned).collect(),
        text: lines()
            .filter(|line| !line.starts_with("=> "))
            .collect::<Vec<_>>()
            .join("\n")
            .trim()
            .to_owned(),
        criteria: lines().filter_map(|line| line.strip_prefix("=> ")).map(str::to_owned).collect(),
    }
}

/// Shares of right answers, and harmonic means of precision and recall for lists.
#[derive(Debug, Default)]
struct Score {
    kind: f64,
    priority: f64,
    complexity_error: f64,
    criteria: f64,
    risks: f64,
}

fn score(source: &str) -> Score {
    let requests = requests(source);
    let number = requests.len() as f64;
    assert!(number >= 50.0, "only {number} requests were read");
    let (mut score, mut criteria, mut risks) = (Score::default(), [0.0; 3], [0.0; 3]);
    for request in &requests {
        let task = parse(&request.text, &context()).expect("a text");
        score.kind += f64::from(task.task_type.as_str() == request.kind) / number;
        score.priority += f64::from(task.priority.as_str() == request.priority) / number;
        score.complexity_error += (f64::from(task.complexity) - request.complexity).abs() / number;
        let found: Vec<String> =
            task.risk_factors.iter().map(|risk| risk.category.to_string()).collect();
        count(&mut risks, &request.risks, &found, |a, b| a == b);
        count(&mut criteria, &request.criteria, &criteria_of(&task), |a, b| {
            words_in_common(a, b) >= 0.6
        });
    }
    score.criteria = harmonic(criteria);
    score.risks = harmonic(risks);
    score
}

fn criteria_of(task: &Task) -> Vec<String> {
    task.acceptance_criteria.iter().map(|one| one.text.clone()).collect()
}

/// Adds right, found and wanted.
fn count(
    sums: &mut [f64; 3],
    wanted: &[String],
    found: &[String],
    same: impl Fn(&str, &str) -> bool,
) {
    sums[0] +=
        wanted.iter().filter(|one| found.iter().any(|other| same(one, other))).count() as f64;
    sums[1] += found.len() as f64;
    sums[2] += wanted.len() as f64;
}

fn harmonic([right, found, wanted]: [f64; 3]) -> f64 {
    2.0 * right / (found + wanted)
}

/// Share of equal words, or equal characters where words are not written apart.
fn words_in_common(a: &str, b: &str) -> f64 {
    let tokens = |text: &str| -> Vec<String> {
        let lower = text.to_lowercase();
        if text.is_ascii() {
            lower.split_whitespace().map(str::to_owned).collect()
        } else {
            lower.chars().filter(|c| c.is_alphanumeric()).map(String::from).collect()
        }
    };
    let (a, mut b) = (tokens(a), tokens(b));
    let total = a.len() + b.len();
    let common = a
        .iter()
        .filter(|one| {
            b.iter().position(|other| other == *one).map(|at| b.swap_remove(at)).is_some()
        })
        .count();
    2.0 * common as f64 / total.max(1) as f64
}

#[track_caller]
fn check(source: &str, floor: Score) {
    let reached = score(source);
    assert!(reached.kind >= floor.kind, "type: {reached:?}");
    assert!(reached.priority >= floor.priority, "priority: {reached:?}");
    assert!(reached.complexity_error <= floor.complexity_error, "complexity: {reached:?}");
    assert!(reached.criteria >= floor.criteria, "criteria: {reached:?}");
    assert!(reached.risks >= floor.risks, "risks: {reached:?}");
}

#[test]
fn requests_the_rules_were_made_with_are_understood() {
    let source = include_str!("../../../tests/task/requests.txt");
    check(
        source,
        Score { kind: 0.93, priority: 0.94, complexity_error: 0.6, criteria: 0.95, risks: 0.85 },
    );
}

#[test]
fn requests_kept_apart_are_understood() {
    let source = include_str!("../../../tests/task/requests_held_out.txt");
    check(
        source,
        Score { kind: 0.90, priority: 0.92, complexity_error: 0.8, criteria: 0.93, risks: 0.85 },
    );
}

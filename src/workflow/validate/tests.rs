//! Every problem that a definition may have, in the words people read.

use super::*;
use serde_json::{Value, json};

fn kinds() -> Kinds {
    let known = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
    Kinds::from([
        ("analysis".to_owned(), known(&["plan", "complexity"])),
        ("work".to_owned(), None),
    ])
}

fn said(definition: Value) -> Vec<String> {
    let definition: Definition = serde_json::from_value(definition).expect("a definition");
    problems(&definition, &kinds()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_workflow(fields: Value, expected: &[&str]) {
    let mut definition = json!({"name": "w", "stages": [{"name": "a", "kind": "work"}]});
    for (key, value) in fields.as_object().expect("fields") {
        definition[key] = value.clone();
    }
    assert_eq!(said(definition), expected);
}

/// Stage `b` with the given fields, behind a stage `a` of kind `analysis`.
#[track_caller]
fn check(fields: Value, expected: &[&str]) {
    let mut stage = json!({"name": "b", "kind": "work"});
    for (key, value) in fields.as_object().expect("fields") {
        stage[key] = value.clone();
    }
    let stages = json!([{"name": "a", "kind": "analysis"}, stage, {"name": "c", "kind": "work"}]);
    assert_eq!(said(json!({"name": "w", "stages": stages})), expected);
}

#[test]
fn a_right_one_has_no_problem() {
    check(json!({}), &[]);
    check(
        json!({"needs": ["a"], "reopens": "a", "when": {"path": "a.plan", "exists": true},
               "success": [{"path": "b.n", "at_least": 1}, {"path": "input.x", "exists": true},
                           {"path": "task.priority", "equals": "high"}, {"path": "a", "exists": true}],
               "timeout_ms": 1, "wait_limit_ms": 1, "attempts": 100}),
        &[],
    );
}

#[test]
fn the_workflow_itself() {
    check_workflow(
        json!({"name": "Big Plan"}),
        &["workflow: name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`, not `Big Plan`"],
    );
    check_workflow(json!({"stages": []}), &["workflow: has no stages; name at least one"]);
    check_workflow(
        json!({"deadline_ms": 0}),
        &["workflow: deadline_ms must be 1 to 604800000 (7 days)"],
    );
    check_workflow(json!({"max_loops": 101}), &["workflow: max_loops must be 0 to 100"]);
    check_workflow(
        json!({"max_interruptions": 0}),
        &["workflow: max_interruptions must be at least 1"],
    );
    check_workflow(json!({"queue_ms": 0}), &["workflow: queue_ms must be 1 to 604800000 (7 days)"]);
    check_workflow(json!({"min_priority": 11}), &["workflow: min_priority must be 0 to 10"]);
    let stage = |i: usize| json!({"name": format!("s{i}"), "kind": "work"});
    let many: Vec<Value> = (0..10_001).map(stage).collect();
    let said = "workflow: has 10001 stages; at most 10000 are allowed";
    check_workflow(json!({"stages": many}), &[said]);
}

#[test]
fn names_of_stages() {
    check(
        json!({"name": ""}),
        &["stage 2: name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`, not ``"],
    );
    check(
        json!({"name": "input"}),
        &["stage input: the name is taken: conditions use it for the execution's own"],
    );
    check(
        json!({"name": "a"}),
        &["stage a: the name is used twice; names are unique in a workflow"],
    );
}

#[test]
fn kinds_that_nobody_knows() {
    check(
        json!({"kind": "htpp"}),
        &["stage b: stage kind `htpp` is unknown; known kinds: analysis, work"],
    );
}

#[test]
fn bounds_of_stages() {
    check(json!({"timeout_ms": 0}), &["stage b: timeout_ms must be 1 to 604800000 (7 days)"]);
    check(
        json!({"wait_limit_ms": 31_622_400_001_u64}),
        &["stage b: wait_limit_ms must be 1 to 31622400000 (366 days)"],
    );
    check(json!({"attempts": 0}), &["stage b: attempts must be 1 to 100"]);
    check(json!({"inactivity_ms": 0}), &["stage b: inactivity_ms must be 1 to 604800000 (7 days)"]);
    check(json!({"queue_ms": 0}), &["stage b: queue_ms must be 1 to 604800000 (7 days)"]);
    check(json!({"total_ms": 0}), &["stage b: total_ms must be 1 to 31622400000 (366 days)"]);
    check(
        json!({"retry": {"kinds": {"timeout": {"attempts": 0, "factor": 0.5, "cap_ms": u64::MAX}}}}),
        &[
            "stage b: retry.kinds.timeout.attempts must be 1 to 100",
            "stage b: retry.kinds.timeout.factor must be 1 to 100",
            "stage b: retry.kinds.timeout.delay_ms and retry.kinds.timeout.cap_ms must be 0 to \
             604800000 (7 days)",
        ],
    );
    check(json!({"retry": {"factor": 0.5}}), &["stage b: retry.factor must be 1 to 100"]);
    let delay = "stage b: retry.delay_ms and retry.cap_ms must be 0 to 604800000 (7 days)";
    check(json!({"retry": {"delay_ms": u64::MAX}}), &[delay]);
    check(json!({"retry": {"cap_ms": u64::MAX}}), &[delay]);
    check(
        json!({"retry": {"on": {"needs_person": true}}}),
        &["stage b: retry.on.needs_person cannot be true: only a person can go on"],
    );
}

#[test]
fn needs() {
    check(
        json!({"needs": ["a", "a", "x"]}),
        &["stage b: needs `a` twice", "stage b: needs `x`, which is no stage; stages: a, b, c"],
    );
    let forever = "workflow: stages wait for each other and could never start: b, c";
    check(json!({"needs": ["b"]}), &[forever]);
    check(json!({"needs": ["c"]}), &[forever]);
}

#[test]
fn reopening() {
    check(json!({"reopens": "x"}), &["stage b: reopens `x`, which is no stage; stages: a, b, c"]);
    check(json!({"reopens": "b"}), &["stage b: reopens `b`, on which it does not depend"]);
    check(json!({"reopens": "c"}), &["stage b: reopens `c`, on which it does not depend"]);
}

#[test]
fn conditions() {
    check(
        json!({"when": {"path": "x.n", "exists": true}}),
        &["stage b: when: path `x.n` begins with neither `input`, `task` nor a stage"],
    );
    check(
        json!({"when": {"any": [{"path": "b.n", "exists": true}, {"path": "c.n", "exists": true}]}}),
        &[
            "stage b: when: stage `b` of path `b.n` is not done by then: the stage does not depend on it",
            "stage b: when: stage `c` of path `c.n` is not done by then: the stage does not depend on it",
        ],
    );
    check(
        json!({"success": [{"not": {"path": "a.plam", "exists": true}}]}),
        &["stage b: success: a stage of kind `analysis` has no output `plam`; \
           its outputs: plan, complexity"],
    );
}

/// TOML and YAML can say `nan`; the stored definition would be unreadable.
#[test]
fn numbers_that_json_cannot_hold() {
    let mut definition = Definition::new("w", vec![StageDefinition::new("a", "work")]);
    let path = "a.n".to_owned();
    definition.stages[0].success = vec![Condition::AtLeast { path, at_least: f64::NAN }];
    let found = problems(&definition, &kinds());
    let message = "holds a number that JSON cannot (nan, inf), or is nested too deeply".to_owned();
    assert_eq!(found, [Problem { at: "workflow".to_owned(), message }]);
}

#[test]
fn values_that_could_not_be_read_back() {
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    check(
        json!({"config": deep}),
        &["workflow: holds a number that JSON cannot (nan, inf), or is nested too deeply"],
    );
}

#[test]
fn everything_is_said_at_once() {
    let stages = json!([{"name": "A", "kind": "x", "attempts": 0}, {"name": "A", "kind": "work"}]);
    let found = said(json!({"name": "", "max_loops": 500, "stages": stages}));
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn maps() {
    let said = "stage b: map.over: path `x.files` begins with neither `input`, `task` nor a stage";
    check(json!({"map": {"over": "x.files"}}), &[said]);
    check(
        json!({"map": {"over": "input.x", "max_parallel": 0, "max_items": 10_001}}),
        &[
            "stage b: map.max_parallel must be 1 to 100",
            "stage b: map.max_items must be 1 to 10000",
        ],
    );
}

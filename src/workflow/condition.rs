//! Conditions on what is known so far: the input, the task, outputs of earlier stages.
//!
//! Used by `when` (does the stage run?) and `success` (does its output count?). A path is
//! `input.KEY`, `task.KEY` or `STAGE.KEY`, further keys separated by dots. A path that leads nowhere
//! is null: never an error, because a skipped stage has no output.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One condition. Exactly one test must be given beside `path`, or `all`, `any`, `not`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Condition {
    /// All of them hold.
    All {
        /// The conditions.
        all: Vec<Condition>,
    },
    /// At least one of them holds.
    Any {
        /// The conditions.
        any: Vec<Condition>,
    },
    /// It does not hold.
    Not {
        /// The condition.
        not: Box<Condition>,
    },
    /// The value at `path` equals this.
    Equals {
        /// Where to look.
        path: String,
        /// What must be there.
        equals: Value,
    },
    /// The value at `path` is a number and at least this.
    AtLeast {
        /// Where to look.
        path: String,
        /// The lower bound, inclusive.
        at_least: f64,
    },
    /// The value at `path` is a number and at most this.
    AtMost {
        /// Where to look.
        path: String,
        /// The upper bound, inclusive.
        at_most: f64,
    },
    /// The value at `path` is one of these.
    OneOf {
        /// Where to look.
        path: String,
        /// The allowed values.
        one_of: Vec<Value>,
    },
    /// The value at `path` is there and not null (true), or is not (false).
    Exists {
        /// Where to look.
        path: String,
        /// Whether it must exist.
        exists: bool,
    },
}

impl Condition {
    /// Whether it holds; `lookup` gives the value of the first segment of a path.
    pub fn holds<'a>(&self, lookup: &dyn Fn(&str) -> Option<&'a Value>) -> bool {
        let at = |path: &str| resolve(path, lookup);
        match self {
            Condition::All { all } => all.iter().all(|c| c.holds(lookup)),
            Condition::Any { any } => any.iter().any(|c| c.holds(lookup)),
            Condition::Not { not } => !not.holds(lookup),
            Condition::Equals { path, equals } => at(path) == Some(equals).filter(|v| !v.is_null()),
            Condition::AtLeast { path, at_least } => {
                number(at(path)).is_some_and(|n| n >= *at_least)
            }
            Condition::AtMost { path, at_most } => number(at(path)).is_some_and(|n| n <= *at_most),
            Condition::OneOf { path, one_of } => at(path).is_some_and(|v| one_of.contains(v)),
            Condition::Exists { path, exists } => at(path).is_some() == *exists,
        }
    }

    /// Every path it looks at.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Condition::All { all: many } | Condition::Any { any: many } => {
                many.iter().flat_map(Condition::paths).collect()
            }
            Condition::Not { not } => not.paths(),
            Condition::Equals { path, .. }
            | Condition::AtLeast { path, .. }
            | Condition::AtMost { path, .. }
            | Condition::OneOf { path, .. }
            | Condition::Exists { path, .. } => vec![path],
        }
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}

/// The value that a path leads to, if it leads anywhere; see the module.
pub fn value_at<'a>(path: &str, lookup: &dyn Fn(&str) -> Option<&'a Value>) -> Option<&'a Value> {
    resolve(path, lookup)
}

fn resolve<'a>(path: &str, lookup: &dyn Fn(&str) -> Option<&'a Value>) -> Option<&'a Value> {
    let mut segments = path.split('.');
    let mut value = lookup(segments.next()?)?;
    for segment in segments {
        value = match value {
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
            other => other.get(segment)?,
        };
    }
    Some(value).filter(|v| !v.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(condition: Value, expected: bool) {
        let condition: Condition = serde_json::from_value(condition).expect("a condition");
        let analysis = json!({"complexity": 7, "files": ["a.rs"], "note": null});
        let lookup = |name: &str| (name == "analysis").then_some(&analysis);
        assert_eq!(condition.holds(&lookup), expected, "{condition:?}");
    }

    #[test]
    fn each_test() {
        check(json!({"path": "analysis.complexity", "equals": 7}), true);
        check(json!({"path": "analysis.complexity", "at_least": 7}), true);
        check(json!({"path": "analysis.complexity", "at_most": 6}), false);
        check(json!({"path": "analysis.complexity", "at_most": 7}), true);
        check(json!({"path": "analysis.files", "at_most": 7}), false);
        check(json!({"path": "analysis.complexity", "one_of": [1, 7]}), true);
        check(json!({"path": "analysis.files.0", "equals": "a.rs"}), true);
        check(json!({"path": "analysis.files.9", "exists": false}), true);
        check(json!({"path": "analysis.note", "exists": true}), false);
        check(json!({"path": "nobody.knows", "equals": 1}), false);
    }

    #[test]
    fn every_path_is_known() {
        let all = json!({"all": [
            {"path": "a", "equals": 1}, {"path": "b", "at_least": 1}, {"path": "c", "at_most": 1},
            {"any": [{"path": "d", "one_of": [1]}, {"not": {"path": "e", "exists": true}}]},
        ]});
        let condition: Condition = serde_json::from_value(all).expect("a condition");
        assert_eq!(condition.paths(), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn combinations() {
        let seven = json!({"path": "analysis.complexity", "equals": 7});
        let eight = json!({"path": "analysis.complexity", "equals": 8});
        check(json!({"all": [seven, eight]}), false);
        check(json!({"any": [seven, eight]}), true);
        check(json!({"not": eight}), true);
    }

    #[test]
    fn a_condition_with_an_unknown_test_is_refused() {
        let wrong = json!({"path": "analysis.complexity", "bigger": 1});
        assert!(serde_json::from_value::<Condition>(wrong).is_err());
    }
}

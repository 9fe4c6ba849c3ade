//! What differs between two JSON documents, path by path.
//!
//! Lists whose items all have a `name` of their own (stages) are aligned by it, other lists by place.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// One difference. A value that is absent on one side is left out there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Where: `stages[build].state.is`, `request.settings.agent.command`, `inbox[0]`.
    pub path: String,
    /// What stands in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What stands in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Every difference, in the order of the documents. A whole object or list that came or went is one.
pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(from), Some(to), &mut found);
    found
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Change>) {
    match (from, to) {
        (Some(from), Some(to)) if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let added = to.keys().filter(|key| !from.contains_key(*key));
            for key in from.keys().chain(added) {
                compare(&field(path, key), from.get(key), to.get(key), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => lists(path, from, to, found),
        (from, to) => {
            found.push(Change { path: path.to_owned(), from: from.cloned(), to: to.cloned() })
        }
    }
}

fn field(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn lists(path: &str, from: &[Value], to: &[Value], found: &mut Vec<Change>) {
    if let (Some(old), Some(new)) = (names(from), names(to)) {
        let added = new.iter().filter(|name| !old.contains(name));
        for name in old.iter().chain(added) {
            let at = |list: &[Value], names: &[&str]| {
                names.iter().position(|n| n == name).and_then(|i| list.get(i).cloned())
            };
            let (old, new) = (at(from, &old), at(to, &new));
            compare(&format!("{path}[{name}]"), old.as_ref(), new.as_ref(), found);
        }
        return;
    }
    for index in 0..from.len().max(to.len()) {
        compare(&format!("{path}[{index}]"), from.get(index), to.get(index), found);
    }
}

/// The names of the items, if each has one and no two have the same.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> =
        list.iter().map(|item| item.get("name")?.as_str()).collect::<Option<_>>()?;
    let distinct: BTreeSet<&&str> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(from: Value, to: Value, expected: &[&str]) {
        let shown = |c: &Change| {
            let side = |v: &Option<Value>| v.as_ref().map_or("-".to_owned(), Value::to_string);
            format!("{} {} {}", c.path, side(&c.from), side(&c.to))
        };
        assert_eq!(changes(&from, &to).iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn equal_documents_differ_in_nothing() {
        check(json!({"a": [1, {"b": null}]}), json!({"a": [1, {"b": null}]}), &[]);
        // The order of keys says nothing.
        check(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), &[]);
    }

    #[test]
    fn paths_lead_to_what_differs() {
        let from = json!({"a": {"x": 1, "gone": [1]}, "n": null});
        let to = json!({"a": {"x": 2, "new": true}, "n": 0});
        check(from, to, &["a.x 1 2", "a.gone [1] -", "a.new - true", "n null 0"]);
    }

    #[test]
    fn what_has_a_name_is_aligned_by_it() {
        let from = json!({"stages": [{"name": "a", "n": 1}, {"name": "b", "n": 1}]});
        let to = json!({"stages": [{"name": "b", "n": 2}, {"name": "c"}]});
        let expected =
            [r#"stages[a] {"name":"a","n":1} -"#, "stages[b].n 1 2", r#"stages[c] - {"name":"c"}"#];
        check(from, to, &expected);
    }

    #[test]
    fn other_lists_are_aligned_by_place() {
        check(json!([1, 2]), json!([1, 3, 4]), &["[1] 2 3", "[2] - 4"]);
        // Two items of one name are no names to go by.
        let twins = json!([{"name": "a", "n": 1}, {"name": "a", "n": 2}]);
        check(twins, json!([{"name": "a", "n": 1}]), &[r#"[1] {"name":"a","n":2} -"#]);
    }
}

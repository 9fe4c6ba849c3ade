//! Work that was judged and found wanting: the one shape in which it is sent back.

use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::{Map, Value, json};

/// Why the work is sent back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Red {
    /// One line for people.
    pub(super) summary: String,
    /// Everything that helps to do it better, bounded.
    pub(super) feedback: String,
    /// Further facts for machines.
    pub(super) facts: Map<String, Value>,
}

impl Red {
    pub(super) fn new(summary: impl Into<String>, feedback: impl Into<String>) -> Self {
        Red { summary: summary.into(), feedback: feedback.into(), facts: Map::new() }
    }

    /// The same with a fact.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.facts.insert(name.to_owned(), value);
        self
    }
}

impl From<Red> for Failure {
    fn from(red: Red) -> Self {
        let mut detail = json!({"feedback": red.feedback, "summary": red.summary});
        if let Value::Object(fields) = &mut detail {
            fields.extend(red.facts);
        }
        Failure::new(ErrorKind::Rejected, red.summary).with_detail(detail)
    }
}

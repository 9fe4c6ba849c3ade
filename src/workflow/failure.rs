//! Why an attempt did not succeed, in the seven kinds that policies tell apart.
//!
//! Knows nothing of who failed or what is done about it: `retry` and `decide` answer that.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of failure it was; the retry policy of a stage is written per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// May pass by itself: a refused connection, a full disk, exit code 75 of an agent.
    Transient,
    /// An outside service asked us to slow down; `retry_after_ms` says for how long.
    RateLimited,
    /// Trying again cannot help: wrong configuration, a missing program.
    Permanent,
    /// The attempt ran longer than its stage allows.
    Timeout,
    /// The worker went away in the midst of it; nothing is known of the outcome.
    Interrupted,
    /// The work was judged and sent back: red tests, a failed check, a merge conflict.
    Rejected,
    /// Only a person can go on: missing login, an agent that asks, exit code 64.
    NeedsPerson,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [ErrorKind; 7] = [
        ErrorKind::Transient,
        ErrorKind::RateLimited,
        ErrorKind::Permanent,
        ErrorKind::Timeout,
        ErrorKind::Interrupted,
        ErrorKind::Rejected,
        ErrorKind::NeedsPerson,
    ];

    /// The name used in JSON, in definitions and in `show`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Transient => "transient",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Permanent => "permanent",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Rejected => "rejected",
            ErrorKind::NeedsPerson => "needs_person",
        }
    }
}

/// One failure: what happened and, where it helps, the facts behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Which policy applies.
    pub kind: ErrorKind,
    /// What happened, to what, and what to do; one paragraph, no secrets.
    pub message: String,
    /// Machine-readable facts, for example failing tests; `null` when there are none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// How long an outside service asked us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), detail: Value::Null, retry_after_ms: None }
    }

    /// The same failure with facts attached.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_has_one_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(json!(kind), kind.as_str());
        }
    }

    #[test]
    fn facts_are_left_out_when_there_are_none() {
        let failure = Failure::new(ErrorKind::Permanent, "no");
        assert_eq!(json!(failure), json!({"kind": "permanent", "message": "no"}));
        let facts = json!({"failures": ["adds"]});
        assert_eq!(failure.with_detail(facts.clone()).detail, facts);
    }
}

//! What a caller hands to the parser beside the text, and why the parser may decline.
//!
//! What is set here wins over whatever the text suggests. Never: a clock of its own; "now" is a value.

use chrono::{DateTime, Utc};

use super::names::Priority;

/// What the caller knows and the text need not say. `None` means "let the text decide".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The moment "tomorrow" and "within 24 hours" are counted from.
    pub now: DateTime<Utc>,
    /// `owner/name` or a URL of the repository.
    pub repository: Option<String>,
    /// Name of the workflow to run, whatever the type.
    pub workflow: Option<String>,
    /// Priority set by hand.
    pub priority: Option<Priority>,
    /// Who should do it.
    pub assignee: Option<String>,
    /// When it has to be done.
    pub deadline: Option<DateTime<Utc>>,
}

impl Context {
    /// A context in which the caller sets nothing but the time.
    #[must_use]
    pub const fn at(now: DateTime<Utc>) -> Self {
        Self {
            now,
            repository: None,
            workflow: None,
            priority: None,
            assignee: None,
            deadline: None,
        }
    }
}

/// Why a text cannot become a task. The text says what happened and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseRefusal {
    /// Nothing but white space, control characters or nothing at all.
    #[error("the task text is empty: say in a sentence what should change")]
    Empty,
    /// Longer than any request a person writes; the limit keeps one caller from filling the event store.
    #[error(
        "the task text has {bytes} bytes, the limit is {limit}: shorten it or link to the long part"
    )]
    TooLong {
        /// Size of the text.
        bytes: usize,
        /// Largest size that is accepted.
        limit: usize,
    },
}

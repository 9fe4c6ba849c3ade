//! The structured task: what plain language becomes and every later part relies on.
//!
//! Plain data, written and read as JSON. Reading is lenient towards older or terser writers (a language
//! model, an earlier release): unknown fields are skipped, missing optional ones take their default.
//! Knows nothing of how the values were found.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::names::{ComplexityClass, CriterionSource, Priority, RiskCategory, Severity, TaskType};

/// What somebody asked for, structured.
///
/// ```json
/// {"title": "Add CSV export", "description": "Add CSV export ...", "type": "feature", "workflow": "feature",
///  "priority": "medium", "priority_rank": 5, "complexity": 3, "complexity_class": "simple",
///  "estimated_hours": 4.0, "acceptance_criteria": [], "risk_factors": [], "affected_files": [],
///  "dependencies": [], "requirements": {"testing_required": true, "fast_track": false},
///  "language": "en", "confidence": {"type": 0.8, "priority": 0.5}, "alternatives": [],
///  "parsed_by": "offline/1", "warnings": []}
/// ```
///
/// Only `title`, `description` and `type` have to be there when one is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// One line of 1 to 100 characters, whole words.
    pub title: String,
    /// The text as given, without NUL bytes. Offsets of criteria and risks count bytes of this text.
    pub description: String,
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// Name of the workflow that runs it; empty means "the one of the type" until `enhance` fills it in.
    #[serde(default)]
    pub workflow: String,
    /// How soon; medium unless something was said.
    #[serde(default = "medium")]
    pub priority: Priority,
    /// The same as a number: 2, 5, 8 or 10.
    #[serde(default = "medium_rank")]
    pub priority_rank: u8,
    /// Size and difficulty together, 1 to 10.
    #[serde(default = "usual_complexity")]
    pub complexity: u8,
    /// The same in three steps.
    #[serde(default = "usual_class")]
    pub complexity_class: ComplexityClass,
    /// Hours for one developer who knows the code base; 0 until estimated.
    #[serde(default)]
    pub estimated_hours: f64,
    /// What must hold when it is done.
    #[serde(default)]
    pub acceptance_criteria: Vec<Criterion>,
    /// What can go wrong, one entry per category.
    #[serde(default)]
    pub risk_factors: Vec<Risk>,
    /// Paths named in the text, in order of appearance.
    #[serde(default)]
    pub affected_files: Vec<String>,
    /// Tasks, pull requests or things it waits for.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// Circumstances of the work.
    #[serde(default)]
    pub requirements: Requirements,
    /// BCP 47 tag of the language of the text, `und` when it cannot be told.
    #[serde(default = "undetermined")]
    pub language: String,
    /// How sure the parser is.
    #[serde(default)]
    pub confidence: Confidence,
    /// Other types that were close, likeliest first.
    #[serde(default)]
    pub alternatives: Vec<Alternative>,
    /// `offline/<version>` or `<provider>/<model>/<prompt version>`.
    #[serde(default)]
    pub parsed_by: String,
    /// What a reader should know before trusting the rest; shown with the task.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// One condition that must hold when the task is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Verbatim from the description unless `generated`.
    pub text: String,
    /// First byte in the description; 0 when generated.
    #[serde(default)]
    pub start: usize,
    /// Byte after the last in the description; 0 when generated.
    #[serde(default)]
    pub end: usize,
    /// Where it was found.
    #[serde(default = "from_model")]
    pub source: CriterionSource,
    /// True when nobody wrote it: it follows from the type of the task.
    #[serde(default)]
    pub generated: bool,
}

/// One thing that can go wrong, with the words that say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// Which kind of trouble.
    pub category: RiskCategory,
    /// How bad it would be; medium by default.
    #[serde(default = "medium_severity")]
    pub severity: Severity,
    /// The words in the description that show it.
    #[serde(default)]
    pub evidence: String,
    /// First byte of the evidence in the description.
    #[serde(default)]
    pub start: usize,
    /// Byte after the last of the evidence.
    #[serde(default)]
    pub end: usize,
}

/// Circumstances of the work. All are absent or false unless said or implied by the type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// `owner/name` or a URL.
    pub repository: Option<String>,
    /// Who should do it, without `@`.
    pub assignee: Option<String>,
    /// When it has to be done; a date without a time means the end of that day in UTC.
    pub deadline: Option<DateTime<Utc>>,
    /// Tests must be part of the work.
    pub testing_required: bool,
    /// Skips the queue and the optional stages.
    pub fast_track: bool,
}

/// How sure the parser is, 0 to 1 each; 0 when a writer did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confidence {
    /// Of the type.
    #[serde(rename = "type")]
    pub task_type: f64,
    /// Of the priority.
    pub priority: f64,
}

/// A type that was not chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The type.
    #[serde(rename = "type")]
    pub task_type: TaskType,
    /// Its probability, 0 to 1.
    pub p: f64,
}

const fn medium() -> Priority {
    Priority::Medium
}

const fn medium_rank() -> u8 {
    Priority::Medium.rank()
}

const fn usual_complexity() -> u8 {
    3
}

const fn usual_class() -> ComplexityClass {
    ComplexityClass::Simple
}

const fn medium_severity() -> Severity {
    Severity::Medium
}

const fn from_model() -> CriterionSource {
    CriterionSource::Model
}

fn undetermined() -> String {
    "und".to_owned()
}

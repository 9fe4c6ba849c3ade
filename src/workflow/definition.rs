//! What a workflow is: stages as a directed graph, each with its policies.
//!
//! This file has the shape only. `validate` judges a definition, `catalog` holds the six that come
//! with the program, `condition` evaluates its conditions. A definition knows nothing of executions.

use super::condition::Condition;
use super::resources::Resources;
use super::retry::RetryPolicy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The bounds that fill what a definition leaves open, and cap what it asks for.
/// They come from the settings and are pinned in `ExecutionRequested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Deadline of an execution whose workflow names none, in ms. `TASK_TIMEOUT_MS`.
    pub task_timeout_ms: u64,
    /// Timeout of an attempt whose stage names none, in ms. `WORKFLOW_DEFAULT_TIMEOUT`.
    pub stage_timeout_ms: u64,
    /// First retry delay of a stage that names none, in ms. `WORKFLOW_RETRY_DELAY`.
    pub retry_delay_ms: u64,
    /// Retries (beyond the first try) of a stage that names no attempts. `WORKFLOW_MAX_RETRIES`.
    pub max_retries: u32,
    /// No stage retries more often than this, whatever it says. `MAX_STAGE_RETRIES`.
    pub max_stage_retries: u32,
    /// Events from which on people are warned that the history grows long; none: 10,000.
    /// `LONGHAUL_HISTORY_WARN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_warn: Option<u64>,
    /// Events from which on attempts record no more steps and progress; none: 50,000.
    /// `LONGHAUL_HISTORY_MAX`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_max: Option<u64>,
    /// A stage that already spent money is not started again once this much is spent, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            task_timeout_ms: 1_800_000,
            stage_timeout_ms: 600_000,
            retry_delay_ms: 30_000,
            max_retries: 3,
            max_stage_retries: 3,
            history_warn: None,
            history_max: None,
            cost_usd: None,
        }
    }
}

/// Events from which on people are warned, unless the limits say otherwise.
pub const HISTORY_WARN: u64 = 10_000;
/// Events from which on attempts record no more, unless the limits say otherwise.
pub const HISTORY_MAX: u64 = 50_000;

/// What to do when a repair loop or the attempts of a required stage are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// The execution fails; `retry` opens a new branch.
    #[default]
    Fail,
    /// The execution pauses and waits for a person; `resume` tries once more.
    Pause,
}

/// What a stage waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// All stages that it needs are done.
    #[default]
    All,
    /// One of them has succeeded; or all are done, and none has.
    Any,
}

impl Join {
    fn is_all(&self) -> bool {
        *self == Join::All
    }
}

/// A stage that does its kind's work once for each item of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapDefinition {
    /// Where the list is, as in conditions: `input.KEY`, `task.KEY` or `STAGE.KEY`.
    pub over: String,
    /// How many items are under way at once, 1 to 100. Default 4.
    #[serde(default = "four")]
    pub max_parallel: usize,
    /// A longer list is an error, 1 to 10,000. Default 1,000.
    #[serde(default = "thousand")]
    pub max_items: usize,
    /// What happens when an item has had its tries. Default `fail`.
    #[serde(default)]
    pub on_item_failure: OnItemFailure,
}

/// What happens when an item of a map has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnItemFailure {
    /// The stage fails; items under way are cut off.
    #[default]
    Fail,
    /// The others go on; the stage's output says which failed, and why.
    Continue,
}

/// A workflow: a name, bounds, and stages in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The name it is called by, `[a-z0-9_-]`, 1 to 64 characters.
    pub name: String,
    /// A name for people, free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Counted by the store at each registration that changes something; from 1.
    #[serde(default = "one")]
    pub version: u32,
    /// What it is for, free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Priority rank 0 to 10 that executions of it have at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_priority: Option<u8>,
    /// Bound on the active time of one execution, in ms; waiting does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How often, in all, a later stage may send work back. Default 3.
    #[serde(default = "three")]
    pub max_loops: u32,
    /// What happens when attempts or loops are used up. Default `fail`.
    #[serde(default)]
    pub on_exhausted: OnExhausted,
    /// Bound on the time that it waits for a worker, each time that something may be done for it, in
    /// ms. Judged when a worker takes it: too late, and it fails or pauses, as `on_exhausted` says,
    /// instead of going on. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// How often in a row one stage may lose its worker before a person has to look. Default 20.
    #[serde(default = "twenty")]
    pub max_interruptions: u32,
    /// The stages; at least one.
    pub stages: Vec<StageDefinition>,
}

/// One stage of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageDefinition {
    /// The name, unique in its workflow.
    pub name: String,
    /// The stage kind: which code performs it.
    #[serde(alias = "type")]
    pub kind: String,
    /// Stages that must be done before. Left out: the stage above it. Empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<String>>,
    /// Whether it waits for all that it needs, or for one of them. Default `all`.
    #[serde(default, skip_serializing_if = "Join::is_all")]
    pub join: Join,
    /// The kind's work is done for each item of a list, and the stage's output is
    /// `{"items": [..], "succeeded": N, "failed": [..]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapDefinition>,
    /// Whether its failure fails the execution. Default true.
    #[serde(default = "yes")]
    pub required: bool,
    /// The stage is skipped unless this holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Bound on the active time of one attempt, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Bound on the time for which an attempt gives no sign of life (step, progress, log), in ms. It
    /// then fails with kind `timeout`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactivity_ms: Option<u64>,
    /// Bound on the time from the stage's first start to its end, all attempts, delays and waits
    /// included, in ms. Counts anew when the stage is reopened or a rewind goes back before it.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// Bound on the time that the execution waits for a worker when this stage is to start or to go
    /// on, in ms; see the workflow's. Default: the workflow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// Bound on one wait (for a person, for CI), in ms. Default 6 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_limit_ms: Option<u64>,
    /// Tries in all, the first included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Delays between tries, and what is retried.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What happens when its attempts are used up. Default: as the workflow says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// An earlier stage that is opened again when this one rejects the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopens: Option<String>,
    /// Conditions on its own output, without which a success counts as a rejection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Condition>,
    /// What it needs of its worker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Passed to the stage kind as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
}

/// Six hours, the longest a stage waits for CI unless it says otherwise.
pub const DEFAULT_WAIT_LIMIT_MS: u64 = 6 * 3_600_000;

impl StageDefinition {
    /// A required stage of a kind, everything else at its default.
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        StageDefinition {
            name: name.into(),
            kind: kind.into(),
            needs: None,
            join: Join::All,
            map: None,
            required: true,
            when: None,
            timeout_ms: None,
            inactivity_ms: None,
            total_ms: None,
            queue_ms: None,
            wait_limit_ms: None,
            attempts: None,
            retry: RetryPolicy::default(),
            on_exhausted: None,
            reopens: None,
            success: Vec::new(),
            resources: Resources::default(),
            config: Value::Null,
        }
    }
}

impl Definition {
    /// A workflow with the given stages, everything else at its default.
    pub fn new(name: impl Into<String>, stages: Vec<StageDefinition>) -> Self {
        Definition {
            name: name.into(),
            title: String::new(),
            version: 1,
            description: String::new(),
            min_priority: None,
            deadline_ms: None,
            max_loops: three(),
            on_exhausted: OnExhausted::Fail,
            queue_ms: None,
            max_interruptions: twenty(),
            stages,
        }
    }

    /// Place of a stage by name. Looks through all of them: `Graph` answers many such questions.
    pub fn index_of(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|s| s.name == stage)
    }

    /// Places of the stages that the stage at `index` waits for. See `index_of`.
    pub fn needs_of(&self, index: usize) -> Vec<usize> {
        match &self.stages[index].needs {
            None if index == 0 => Vec::new(),
            None => vec![index - 1],
            Some(names) => names.iter().filter_map(|n| self.index_of(n)).collect(),
        }
    }

    /// The definition with nothing left open: what `ExecutionRequested` records.
    #[must_use]
    pub fn resolved(&self, limits: &Limits) -> Definition {
        let mut resolved = self.clone();
        resolved.deadline_ms = Some(self.deadline_ms.unwrap_or(limits.task_timeout_ms));
        let cap = limits.max_stage_retries.saturating_add(1);
        for stage in &mut resolved.stages {
            let attempts = stage.attempts.unwrap_or(limits.max_retries.saturating_add(1));
            stage.attempts = Some(attempts.clamp(1, cap));
            stage.timeout_ms = Some(stage.timeout_ms.unwrap_or(limits.stage_timeout_ms));
            stage.wait_limit_ms = Some(stage.wait_limit_ms.unwrap_or(DEFAULT_WAIT_LIMIT_MS));
            let delay = stage.retry.delay_ms.unwrap_or(limits.retry_delay_ms);
            stage.retry.delay_ms = Some(delay);
            for kind in stage.retry.kinds.values_mut() {
                kind.attempts = kind.attempts.map(|n| n.clamp(1, cap));
            }
        }
        resolved
    }
}

/// A name made of a title: lower case, words joined by `_`.
pub fn slug(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || c == '-' {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
    }
    out.truncate(64);
    out.trim_end_matches('_').to_owned()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn four() -> usize {
    4
}

fn thousand() -> usize {
    1_000
}

fn twenty() -> u32 {
    20
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_smallest_definition_is_enough() {
        let text = json!({"name": "move", "stages": [{"name": "backup", "type": "backup"}]});
        let read: Definition = serde_json::from_value(text).expect("a definition");
        assert_eq!(read, Definition::new("move", vec![StageDefinition::new("backup", "backup")]));
        assert_eq!((read.version, read.max_loops, read.max_interruptions), (1, 3, 20));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let stage = json!({"name": "s", "stages": [{"name": "a", "kind": "b", "attemps": 2}]});
        let said = serde_json::from_value::<Definition>(stage).expect_err("refused").to_string();
        assert!(said.starts_with("unknown field `attemps`"), "{said}");
        let workflow = json!({"name": "s", "stages": [], "dead_line": 2});
        assert!(serde_json::from_value::<Definition>(workflow).is_err());
    }

    #[test]
    fn limits_fill_what_is_open_and_cap_the_rest() {
        let mut greedy = StageDefinition::new("b", "x");
        (greedy.attempts, greedy.timeout_ms) = (Some(50), Some(7));
        let definition = Definition::new("w", vec![StageDefinition::new("a", "x"), greedy]);
        let limits = Limits { max_retries: 1, max_stage_retries: 4, ..Limits::default() };
        let resolved = definition.resolved(&limits);
        let bounds: Vec<_> = resolved.stages.iter().map(|s| (s.attempts, s.timeout_ms)).collect();
        assert_eq!(bounds, [(Some(2), Some(600_000)), (Some(5), Some(7))]);
        assert_eq!(resolved.deadline_ms, Some(1_800_000));
        assert_eq!(resolved.stages[0].retry.delay_ms, Some(30_000));
        assert_eq!(resolved.stages[0].wait_limit_ms, Some(DEFAULT_WAIT_LIMIT_MS));
    }

    #[test]
    fn a_slug_is_a_name() {
        #[track_caller]
        fn check(title: &str, expected: &str) {
            assert_eq!(slug(title), expected);
        }
        check("Data Migration Workflow", "data_migration_workflow");
        check("  a -- b!  ", "a_--_b");
        check("\u{dc}ber-Plan", "ber-plan");
        check("", "");
        check(&format!("{} x", "a".repeat(63)), &"a".repeat(63));
        check(&"b".repeat(80), &"b".repeat(64));
    }
}

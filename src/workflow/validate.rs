//! Judges a workflow definition and reports every problem at once.
//!
//! Pure: which stage kinds exist, and what their outputs are called, comes in as `Kinds`.

use super::condition::Condition;
use super::definition::{Definition, StageDefinition};
use super::event::is_too_deep;
use super::failure::ErrorKind;
use super::graph::Graph;
use super::resources::{is_label, wrong_key};
use super::retry::KindPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// Bounds that a definition must keep.
const STAGES_MAX: usize = 10_000;
const ATTEMPTS_MAX: u32 = 100;
const LOOPS_MAX: u32 = 100;
const PARALLEL_MAX: usize = 100;
const ITEMS_MAX: usize = 10_000;
const TIMEOUT_MS_MAX: u64 = 7 * 24 * 3_600_000;
const WAIT_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// The stage kinds that a program knows, each with the names of its outputs;
/// `None` means that its outputs are not known beforehand.
pub type Kinds = BTreeMap<String, Option<Vec<String>>>;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where: `workflow`, or `stage NAME`.
    pub at: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Every problem of `definition`; an empty list means that it can run.
pub fn problems(definition: &Definition, kinds: &Kinds) -> Vec<Problem> {
    let graph = Graph::of(definition);
    let mut judge = Judge { definition, kinds, graph: &graph, found: Vec::new() };
    judge.workflow();
    for (index, stage) in definition.stages.iter().enumerate() {
        judge.names(index, stage);
        judge.kind(stage);
        judge.bounds(stage);
        judge.needs(stage);
        judge.reopens(index, stage);
        judge.conditions(index, stage);
        judge.map(index, stage);
        judge.resources(stage);
    }
    judge.cycles();
    judge.found
}

struct Judge<'a> {
    definition: &'a Definition,
    kinds: &'a Kinds,
    graph: &'a Graph,
    found: Vec<Problem>,
}

impl Judge<'_> {
    fn say(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem { at: at.into(), message: message.into() });
    }

    fn say_stage(&mut self, stage: &StageDefinition, message: impl Into<String>) {
        self.say(label(stage), message);
    }

    fn workflow(&mut self) {
        let d = self.definition;
        if !is_name(&d.name) {
            let said = "name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`";
            self.say("workflow", format!("{said}, not `{}`", d.name));
        }
        if d.stages.is_empty() {
            self.say("workflow", "has no stages; name at least one");
        }
        if d.stages.len() > STAGES_MAX {
            let n = d.stages.len();
            self.say("workflow", format!("has {n} stages; at most {STAGES_MAX} are allowed"));
        }
        if d.deadline_ms.is_some_and(|ms| ms == 0 || ms > TIMEOUT_MS_MAX) {
            self.say("workflow", format!("deadline_ms must be 1 to {TIMEOUT_MS_MAX} (7 days)"));
        }
        if d.queue_ms.is_some_and(|ms| ms == 0 || ms > TIMEOUT_MS_MAX) {
            self.say("workflow", format!("queue_ms must be 1 to {TIMEOUT_MS_MAX} (7 days)"));
        }
        if d.max_loops > LOOPS_MAX {
            self.say("workflow", format!("max_loops must be 0 to {LOOPS_MAX}"));
        }
        if d.max_interruptions == 0 {
            self.say("workflow", "max_interruptions must be at least 1");
        }
        if !can_be_stored(d) {
            let said = "holds a number that JSON cannot (nan, inf), or is nested too deeply";
            self.say("workflow", said);
        }
        if d.min_priority.is_some_and(|rank| rank > 10) {
            self.say("workflow", "min_priority must be 0 to 10");
        }
    }

    fn names(&mut self, index: usize, stage: &StageDefinition) {
        if !is_name(&stage.name) {
            let said = "name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`";
            self.say(format!("stage {}", index + 1), format!("{said}, not `{}`", stage.name));
        }
        if matches!(stage.name.as_str(), "input" | "task") {
            self.say_stage(stage, "the name is taken: conditions use it for the execution's own");
        }
        let is_second = self.graph.index_of(&stage.name).is_some_and(|first| first < index);
        if !stage.name.is_empty() && is_second {
            self.say_stage(stage, "the name is used twice; names are unique in a workflow");
        }
    }

    fn kind(&mut self, stage: &StageDefinition) {
        if !self.kinds.contains_key(&stage.kind) {
            let known = self.kinds.keys().cloned().collect::<Vec<_>>().join(", ");
            let kind = &stage.kind;
            self.say_stage(stage, format!("stage kind `{kind}` is unknown; known kinds: {known}"));
        }
    }

    fn bounds(&mut self, stage: &StageDefinition) {
        if stage.timeout_ms.is_some_and(|ms| ms == 0 || ms > TIMEOUT_MS_MAX) {
            self.say_stage(stage, format!("timeout_ms must be 1 to {TIMEOUT_MS_MAX} (7 days)"));
        }
        for (name, bound) in [("inactivity_ms", stage.inactivity_ms), ("queue_ms", stage.queue_ms)]
        {
            if bound.is_some_and(|ms| ms == 0 || ms > TIMEOUT_MS_MAX) {
                self.say_stage(stage, format!("{name} must be 1 to {TIMEOUT_MS_MAX} (7 days)"));
            }
        }
        if stage.total_ms.is_some_and(|ms| ms == 0 || ms > WAIT_MS_MAX) {
            self.say_stage(stage, format!("total_ms must be 1 to {WAIT_MS_MAX} (366 days)"));
        }
        if stage.wait_limit_ms.is_some_and(|ms| ms == 0 || ms > WAIT_MS_MAX) {
            self.say_stage(stage, format!("wait_limit_ms must be 1 to {WAIT_MS_MAX} (366 days)"));
        }
        if stage.attempts.is_some_and(|n| n == 0 || n > ATTEMPTS_MAX) {
            self.say_stage(stage, format!("attempts must be 1 to {ATTEMPTS_MAX}"));
        }
        if !(1.0..=100.0).contains(&stage.retry.factor) {
            self.say_stage(stage, "retry.factor must be 1 to 100");
        }
        if stage.retry.delay_ms.unwrap_or(0).max(stage.retry.cap_ms) > TIMEOUT_MS_MAX {
            let said = "retry.delay_ms and retry.cap_ms must be 0 to";
            self.say_stage(stage, format!("{said} {TIMEOUT_MS_MAX} (7 days)"));
        }
        for (kind, own) in &stage.retry.kinds {
            self.kind_policy(stage, *kind, own);
        }
        if stage.retry.on.get(&ErrorKind::NeedsPerson) == Some(&true) {
            self.say_stage(stage, "retry.on.needs_person cannot be true: only a person can go on");
        }
    }

    fn kind_policy(&mut self, stage: &StageDefinition, kind: ErrorKind, own: &KindPolicy) {
        let at = format!("retry.kinds.{}", kind.as_str());
        if own.attempts.is_some_and(|n| n == 0 || n > ATTEMPTS_MAX) {
            self.say_stage(stage, format!("{at}.attempts must be 1 to {ATTEMPTS_MAX}"));
        }
        if own.factor.is_some_and(|factor| !(1.0..=100.0).contains(&factor)) {
            self.say_stage(stage, format!("{at}.factor must be 1 to 100"));
        }
        if own.delay_ms.unwrap_or(0).max(own.cap_ms.unwrap_or(0)) > TIMEOUT_MS_MAX {
            let said = format!("{at}.delay_ms and {at}.cap_ms must be 0 to");
            self.say_stage(stage, format!("{said} {TIMEOUT_MS_MAX} (7 days)"));
        }
    }

    fn resources(&mut self, stage: &StageDefinition) {
        for label in stage.resources.labels.iter().filter(|l| !is_label(l)) {
            let said = "a label is 1 to 64 of the characters a-z, A-Z, 0-9 and . _ - : /";
            self.say_stage(stage, format!("resources.labels: {said}, not `{label}`"));
        }
        for key in stage.resources.keys.iter().flatten().chain(&stage.resources.service) {
            let is_stage = |name: &str| self.graph.index_of(name).is_some();
            if let Some(wrong) = wrong_key(key, &is_stage) {
                self.say_stage(stage, format!("resources.keys and .service: {wrong}"));
            }
        }
        if stage.resources.cpu.is_some_and(|n| !(0.0..=10_000.0).contains(&n)) {
            self.say_stage(stage, "resources.cpu must be 0 to 10000 processors");
        }
    }

    fn needs(&mut self, stage: &StageDefinition) {
        let mut seen = BTreeSet::new();
        for need in stage.needs.iter().flatten() {
            if !seen.insert(need) {
                self.say_stage(stage, format!("needs `{need}` twice"));
            }
            if self.graph.index_of(need).is_none() {
                let names = self.names_list();
                self.say_stage(
                    stage,
                    format!("needs `{need}`, which is no stage; stages: {names}"),
                );
            }
        }
    }

    fn reopens(&mut self, index: usize, stage: &StageDefinition) {
        let Some(target) = &stage.reopens else { return };
        match self.graph.index_of(target) {
            None => {
                let names = self.names_list();
                let said = format!("reopens `{target}`, which is no stage; stages: {names}");
                self.say_stage(stage, said);
            }
            Some(t) if t == index || !self.graph.upstream_of(index).contains(&t) => {
                let said = format!("reopens `{target}`, on which it does not depend");
                self.say_stage(stage, said);
            }
            Some(_) => {}
        }
    }

    fn map(&mut self, index: usize, stage: &StageDefinition) {
        let Some(map) = &stage.map else { return };
        self.path(index, stage, "map.over", &map.over, false);
        if !(1..=PARALLEL_MAX).contains(&map.max_parallel) {
            self.say_stage(stage, format!("map.max_parallel must be 1 to {PARALLEL_MAX}"));
        }
        if !(1..=ITEMS_MAX).contains(&map.max_items) {
            self.say_stage(stage, format!("map.max_items must be 1 to {ITEMS_MAX}"));
        }
    }

    fn conditions(&mut self, index: usize, stage: &StageDefinition) {
        for path in stage.when.iter().flat_map(Condition::paths) {
            self.path(index, stage, "when", path, false);
        }
        for path in stage.success.iter().flat_map(Condition::paths) {
            self.path(index, stage, "success", path, true);
        }
    }

    fn path(&mut self, index: usize, stage: &StageDefinition, field: &str, path: &str, own: bool) {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        if matches!(head, "input" | "task") {
            return;
        }
        let Some(source) = self.graph.index_of(head) else {
            let said = "begins with neither `input`, `task` nor a stage";
            return self.say_stage(stage, format!("{field}: path `{path}` {said}"));
        };
        let is_before = source != index && self.graph.upstream_of(index).contains(&source);
        if !(is_before || own && source == index) {
            let said = "is not done by then: the stage does not depend on it";
            return self
                .say_stage(stage, format!("{field}: stage `{head}` of path `{path}` {said}"));
        }
        let output = rest.split('.').next().unwrap_or_default();
        let kind = &self.definition.stages[source].kind;
        if self.definition.stages[source].map.is_some() {
            let known = ["items", "succeeded", "failed"];
            if !output.is_empty() && !known.contains(&output) {
                let said = format!("{field}: stage `{head}` is a map and has no output `{output}`");
                self.say_stage(stage, format!("{said}; its outputs: {}", known.join(", ")));
            }
            return;
        }
        if let Some(Some(known)) = self.kinds.get(kind)
            && !output.is_empty()
            && !known.iter().any(|k| k == output)
        {
            let known = known.join(", ");
            let said = format!("a stage of kind `{kind}` has no output `{output}`");
            self.say_stage(stage, format!("{field}: {said}; its outputs: {known}"));
        }
    }

    fn cycles(&mut self) {
        let name = |index: usize| self.definition.stages[index].name.as_str();
        let stuck: Vec<&str> = self.graph.stuck().into_iter().map(name).collect();
        if !stuck.is_empty() {
            let said =
                format!("stages wait for each other and could never start: {}", stuck.join(", "));
            self.say("workflow", said);
        }
    }

    fn names_list(&self) -> String {
        self.definition.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The first event of an execution holds the definition, and must be readable for ever.
fn can_be_stored(definition: &Definition) -> bool {
    let Ok(value) = serde_json::to_value(definition) else { return false };
    let read = serde_json::from_value::<Definition>(value.clone());
    read.is_ok_and(|d| d == *definition) && !is_too_deep(&value)
}

fn label(stage: &StageDefinition) -> String {
    format!("stage {}", stage.name)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests;

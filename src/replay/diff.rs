//! Two sides of a comparison: branches, moments or executions, and where they part.
//!
//! A side is a line of attempts: what a rewind has undone is not part of it. Stages are aligned by
//! name. How long something took never makes two stages different.

use super::compare::{Change, changes};
use crate::workflow::event::{Cost, Event, Happened};
use crate::workflow::evolve::evolve;
use crate::workflow::state::{Execution, Stage};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use similar::TextDiff;
use std::collections::BTreeMap;

/// What one stage did on a side.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Record {
    /// Attempts begun on this line.
    pub attempts: u32,
    /// What they used up.
    pub cost: Cost,
    /// Sequence of its first event on this line.
    pub began: u64,
    /// Sequence of its last event on this line.
    pub ended: u64,
    /// Time in which an attempt was active, in ms.
    pub active_ms: i64,
    #[serde(skip)]
    since: Option<DateTime<Utc>>,
}

/// One side, fed event by event.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// The state after the last event.
    pub state: Execution,
    /// When that was.
    pub at: Option<DateTime<Utc>>,
    records: BTreeMap<String, Record>,
}

impl Side {
    /// Takes the next event.
    pub fn event(&mut self, happened: &Happened) {
        evolve(&mut self.state, happened);
        let (sequence, at) = (self.state.version, happened.at);
        self.at = Some(at);
        match &happened.event {
            Event::ExecutionRewound { reset, .. } => {
                self.records.retain(|name, _| !reset.contains(name));
            }
            Event::ExecutionRequested(request) => {
                let carried = request.origin.iter().flat_map(|o| &o.stages);
                let record = Record { began: sequence, ended: sequence, ..Record::default() };
                self.records.extend(carried.map(|s| (s.name.clone(), record.clone())));
            }
            event => {
                if let Some(stage) = event.stage() {
                    let record = self.records.entry(stage.to_owned()).or_default();
                    record.take(sequence, at, event);
                }
            }
        }
    }

    /// What it used up on this line.
    fn cost(&self) -> Cost {
        self.records.values().fold(Cost::default(), |sum, r| Cost {
            usd: sum.usd + r.cost.usd,
            input_tokens: sum.input_tokens + r.cost.input_tokens,
            output_tokens: sum.output_tokens + r.cost.output_tokens,
        })
    }

    fn active_ms(&self) -> i64 {
        self.records.values().map(|r| r.active_ms).sum()
    }
}

impl Record {
    fn take(&mut self, sequence: u64, at: DateTime<Utc>, event: &Event) {
        if self.began == 0 {
            self.began = sequence;
        }
        self.ended = sequence;
        match event {
            Event::StageStarted { .. } => {
                self.attempts += 1;
                self.since = Some(at);
            }
            Event::StageResumed { .. } => self.since = Some(at),
            Event::StageSucceeded { .. }
            | Event::StageFailed { .. }
            | Event::StageWaiting { .. }
            | Event::StageInterrupted { .. } => {
                let active = self.since.take().map(|since| (at - since).num_milliseconds());
                self.active_ms += active.unwrap_or(0).max(0);
            }
            Event::BudgetSpent { cost, .. } => {
                self.cost.usd += cost.usd;
                self.cost.input_tokens += cost.input_tokens;
                self.cost.output_tokens += cost.output_tokens;
            }
            _ => {}
        }
    }
}

/// A side in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideView {
    /// Sequence of its last event.
    pub sequence: u64,
    /// Its branch.
    pub branch: u32,
    /// Its status.
    pub status: &'static str,
    /// When its last event happened.
    pub at: Option<DateTime<Utc>>,
    /// Time in which attempts were active, in ms.
    pub active_ms: i64,
    /// What it used up.
    pub cost: Cost,
}

/// A stage on one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSide {
    /// Its status.
    pub status: &'static str,
    /// What it did there; none if nothing.
    #[serde(flatten)]
    pub record: Option<Record>,
}

/// A text that differs, as a unified diff.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextChange {
    /// Where it stands.
    pub path: String,
    /// The difference.
    pub unified: String,
}

/// A stage on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageDiff {
    /// Its name.
    pub name: String,
    /// Whether it came to the same on both.
    pub same: bool,
    /// On the first side; none: the workflow has no such stage there.
    pub a: Option<StageSide>,
    /// On the second.
    pub b: Option<StageSide>,
    /// What differs in what it was given: `config`, `feedback`, `signals`.
    pub input: Vec<Change>,
    /// What differs in what came of it: `status`, `output`, `error`, `reason`.
    pub outcome: Vec<Change>,
    /// Texts of several lines among the latter.
    pub texts: Vec<TextChange>,
}

/// Where two sides part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// The stage.
    pub stage: String,
    /// In what: the path of the first difference.
    pub path: String,
    /// Its first event on the first side.
    pub a: Option<u64>,
    /// Its first event on the second.
    pub b: Option<u64>,
}

/// Two sides compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The first.
    pub a: SideView,
    /// The second.
    pub b: SideView,
    /// The first stage that came to something else; none: none did.
    pub divergence: Option<Divergence>,
    /// What differs in what was asked for: `settings`, `input`, `task`, `definition`, `limits`.
    pub request: Vec<Change>,
    /// Every stage, in the order of the definition.
    pub stages: Vec<StageDiff>,
}

/// Compares two sides.
pub fn compare(a: &Side, b: &Side) -> Comparison {
    let stages = stages(a, b);
    Comparison {
        divergence: divergence(&stages),
        request: changes(&request(&a.state), &request(&b.state)),
        a: view(a),
        b: view(b),
        stages,
    }
}

fn view(side: &Side) -> SideView {
    SideView {
        sequence: side.state.version,
        branch: side.state.branch,
        status: side.state.status().as_str(),
        at: side.at,
        active_ms: side.active_ms(),
        cost: side.cost(),
    }
}

fn request(state: &Execution) -> Value {
    state.request.as_deref().map_or(Value::Null, |r| {
        json!({"settings": r.settings, "input": r.input, "task": r.task,
               "definition": r.definition, "limits": r.limits})
    })
}

fn stages(a: &Side, b: &Side) -> Vec<StageDiff> {
    let is_new = |s: &&Stage| a.state.stage(&s.name).is_none();
    let all = a.state.stages.iter().chain(b.state.stages.iter().filter(is_new));
    all.map(|stage| stage_diff(&stage.name, a, b)).collect()
}

fn stage_diff(name: &str, a: &Side, b: &Side) -> StageDiff {
    let on = |side: &Side| {
        let status = side.state.stage(name)?.state.as_str();
        Some(StageSide { status, record: side.records.get(name).cloned() })
    };
    let input = changes(&given(&a.state, name), &given(&b.state, name));
    let outcome = changes(&came_of(&a.state, name), &came_of(&b.state, name));
    let texts = outcome.iter().filter_map(text_change).collect();
    let same = outcome.iter().all(is_only_time);
    StageDiff { name: name.to_owned(), same, a: on(a), b: on(b), input, outcome, texts }
}

/// What a stage is given beside the settings and the outputs of others.
fn given(state: &Execution, name: &str) -> Value {
    let definition = state.request.as_deref().map(|r| &r.definition);
    let config = definition.and_then(|d| Some(&d.stages.get(d.index_of(name)?)?.config));
    state.stage(name).map_or(
        Value::Null,
        |stage| json!({"config": config, "feedback": stage.feedback, "signals": stage.signals}),
    )
}

fn came_of(state: &Execution, name: &str) -> Value {
    state.stage(name).map_or(Value::Null, |stage| {
        json!({"status": stage.state.as_str(), "output": stage.output(), "error": stage.error()})
    })
}

fn is_only_time(change: &Change) -> bool {
    change.path.ends_with("duration_ms")
}

fn text_change(change: &Change) -> Option<TextChange> {
    let (from, to) = (change.from.as_ref()?.as_str()?, change.to.as_ref()?.as_str()?);
    if !(from.contains('\n') || to.contains('\n')) {
        return None;
    }
    let diff = TextDiff::from_lines(from, to);
    let unified = diff.unified_diff().header("a", "b").to_string();
    Some(TextChange { path: change.path.clone(), unified })
}

/// The stage that differs and began first.
fn divergence(stages: &[StageDiff]) -> Option<Divergence> {
    let began =
        |side: &Option<StageSide>| side.as_ref()?.record.as_ref().map(|record| record.began);
    let first = |s: &&StageDiff| began(&s.a).or_else(|| began(&s.b)).unwrap_or(u64::MAX);
    let found = stages.iter().filter(|s| !s.same).min_by_key(first)?;
    let change = found.outcome.iter().find(|c| !is_only_time(c))?;
    Some(Divergence {
        stage: found.name.clone(),
        path: change.path.clone(),
        a: began(&found.a),
        b: began(&found.b),
    })
}

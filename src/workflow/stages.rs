//! The stages of an execution, with what is asked about all of them kept at hand.
//!
//! A workflow may have thousands of stages, and each transition asks: does anything run, is all done,
//! what may start? The answers are counted along with each change, so that a transition costs the
//! same at the first stage and at the last. Derived, never stored: a state that is read is counted
//! anew. Stages change through `change` only, so that the counts cannot be forgotten.

use super::definition::Definition;
use super::graph::Graph;
use super::state::{Stage, StageState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, Index};
use std::sync::Arc;

/// Outputs of the stages that succeeded, by name of the stage. Cheap to clone; copied when it changes
/// while somebody still reads an older one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs(Arc<BTreeMap<Arc<str>, Arc<Value>>>);

impl Outputs {
    /// The output of a stage.
    pub fn get(&self, stage: &str) -> Option<&Value> {
        self.0.get(stage).map(AsRef::as_ref)
    }

    /// Every output with the name of its stage, in the order of the names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(stage, output)| (stage.as_ref(), output.as_ref()))
    }
}

/// Null when the stage gave none.
impl Index<&str> for Outputs {
    type Output = Value;

    fn index(&self, stage: &str) -> &Value {
        self.get(stage).unwrap_or(&Value::Null)
    }
}

impl FromIterator<(String, Value)> for Outputs {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(outputs: T) -> Self {
        Outputs(Arc::new(outputs.into_iter().map(|(s, o)| (Arc::from(s), Arc::new(o))).collect()))
    }
}

/// The stages in the order of the definition. Reads like a slice.
#[derive(Clone, Debug, Default)]
pub struct Stages {
    list: Vec<Stage>,
    graph: Arc<Graph>,
    /// Per stage, how many of its needs are not done.
    open_needs: Vec<usize>,
    /// Per stage, how many of its needs have succeeded.
    won_needs: Vec<usize>,
    done: usize,
    waiting: usize,
    running: BTreeSet<usize>,
    /// Stages for which something may have to be done: pending with all needs done, waiting, to be
    /// tried again, interrupted.
    open: BTreeSet<usize>,
    /// Required stages that failed for good.
    broken: BTreeSet<usize>,
    outputs: Outputs,
}

impl Stages {
    /// The stages of a definition, none of which has begun.
    pub fn of(definition: &Definition) -> Self {
        let list = definition.stages.iter().map(|s| Stage::new(&s.name)).collect();
        Stages::counted(list, Graph::of(definition))
    }

    /// The same stages as those of `definition`; what a state does after it was read.
    pub(super) fn connect(&mut self, definition: &Definition) {
        *self = Stages::counted(std::mem::take(&mut self.list), Graph::of(definition));
    }

    fn counted(list: Vec<Stage>, graph: Graph) -> Self {
        let open_needs = (0..list.len()).map(|i| graph.needs_of(i).len()).collect();
        let (graph, won_needs) = (Arc::new(graph), vec![0; list.len()]);
        let mut stages = Stages { list, graph, open_needs, won_needs, ..Stages::default() };
        (0..stages.list.len()).for_each(|index| stages.count(index));
        stages
    }

    /// Changes the stage at `index`.
    pub fn change<R>(&mut self, index: usize, change: impl FnOnce(&mut Stage) -> R) -> R {
        self.uncount(index);
        let result = change(&mut self.list[index]);
        self.count(index);
        result
    }

    /// The graph that they make.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Outputs of those that succeeded.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// How many are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether an attempt of any of them is under way.
    pub fn is_any_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether any waits, for whatever.
    pub fn is_any_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Places of those with an attempt under way, in order.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.running.iter().copied()
    }

    /// Places of those that something may have to be done for, in order: pending with all needs
    /// done, waiting, to be tried again, interrupted.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.open.iter().copied()
    }

    /// Whether nothing holds up the one at `index`. An optional stage that failed is done too.
    pub fn are_needs_met(&self, index: usize) -> bool {
        let has_won = || self.won_needs.get(index).is_some_and(|won| *won > 0);
        self.open_needs.get(index) == Some(&0) || self.graph.joins_any(index) && has_won()
    }

    /// Place of the first required one that failed for good.
    pub fn broken(&self) -> Option<usize> {
        self.broken.first().copied()
    }

    fn uncount(&mut self, index: usize) {
        let stage = &self.list[index];
        match &stage.state {
            StageState::Running { .. } => drop(self.running.remove(&index)),
            StageState::RetryDue { .. } | StageState::Waiting { .. } => self.waiting -= 1,
            StageState::Failed { .. } => drop(self.broken.remove(&index)),
            StageState::Succeeded { .. } => {
                Arc::make_mut(&mut self.outputs.0).remove(stage.name.as_str());
            }
            StageState::Pending | StageState::Interrupted | StageState::Skipped { .. } => {}
        }
        self.open.remove(&index);
        if stage.state.is_done() {
            self.done -= 1;
            let won = usize::from(stage.output().is_some());
            self.tell_dependents(index, |open, all_won| {
                *open += 1;
                *all_won -= won;
            });
        }
    }

    fn count(&mut self, index: usize) {
        let stage = &self.list[index];
        match &stage.state {
            StageState::Running { .. } => drop(self.running.insert(index)),
            StageState::RetryDue { .. } | StageState::Waiting { .. } => self.waiting += 1,
            StageState::Failed { .. } if self.graph.is_required(index) => {
                self.broken.insert(index);
            }
            StageState::Succeeded { output } => {
                let (name, output) = (Arc::from(stage.name.as_str()), Arc::clone(output));
                Arc::make_mut(&mut self.outputs.0).insert(name, output);
            }
            StageState::Failed { .. } => {}
            StageState::Pending | StageState::Interrupted | StageState::Skipped { .. } => {}
        }
        self.see_whether_open(index);
        let stage = &self.list[index];
        if stage.state.is_done() {
            self.done += 1;
            let won = usize::from(stage.output().is_some());
            self.tell_dependents(index, |open, all_won| {
                *open -= 1;
                *all_won += won;
            });
        }
    }

    fn tell_dependents(&mut self, index: usize, change: impl Fn(&mut usize, &mut usize)) {
        let graph = Arc::clone(&self.graph);
        for dependent in graph.dependents_of(index) {
            change(&mut self.open_needs[*dependent], &mut self.won_needs[*dependent]);
            self.see_whether_open(*dependent);
        }
    }

    fn see_whether_open(&mut self, index: usize) {
        let is_open = match &self.list[index].state {
            StageState::Pending => self.are_needs_met(index),
            StageState::Interrupted => true,
            StageState::RetryDue { .. } | StageState::Waiting { .. } => true,
            StageState::Running { .. } | StageState::Skipped { .. } => false,
            StageState::Succeeded { .. } | StageState::Failed { .. } => false,
        };
        if is_open {
            self.open.insert(index);
        } else {
            self.open.remove(&index);
        }
    }
}

impl Deref for Stages {
    type Target = [Stage];

    fn deref(&self) -> &[Stage] {
        &self.list
    }
}

impl<'a> IntoIterator for &'a Stages {
    type Item = &'a Stage;
    type IntoIter = std::slice::Iter<'a, Stage>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// Stages without an edge between them.
impl From<Vec<Stage>> for Stages {
    fn from(list: Vec<Stage>) -> Self {
        let graph = Graph::unconnected(list.iter().map(|s| s.name.as_str()));
        Stages::counted(list, graph)
    }
}

impl PartialEq for Stages {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Serialize for Stages {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Stage>::deserialize(deserializer).map(Stages::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::definition::StageDefinition;
    use serde_json::json;

    fn three() -> Stages {
        let stages = ["a", "b", "c"].map(|n| StageDefinition::new(n, "x")).into();
        Stages::of(&Definition::new("w", stages))
    }

    fn open(stages: &Stages) -> Vec<usize> {
        stages.open().collect()
    }

    fn succeed(stages: &mut Stages, index: usize) {
        let output = Arc::new(json!({"n": index}));
        stages.change(index, |s| s.state = StageState::Succeeded { output });
    }

    #[test]
    fn what_is_done_opens_what_is_behind_it() {
        let mut stages = three();
        assert_eq!((open(&stages), stages.done()), (vec![0], 0));
        succeed(&mut stages, 0);
        assert_eq!((open(&stages), stages.done()), (vec![1], 1));
        stages.change(1, |s| s.state = StageState::Running { attempt: 1 });
        assert!(stages.is_any_running() && open(&stages).is_empty());
        stages.change(0, |s| s.state = StageState::Pending);
        assert_eq!((open(&stages), stages.done()), (vec![0], 0));
    }

    #[test]
    fn outputs_of_an_older_time_stay_as_they_were() {
        let mut stages = three();
        succeed(&mut stages, 0);
        let before = stages.outputs().clone();
        succeed(&mut stages, 1);
        assert_eq!((before.get("a"), before.get("b")), (Some(&json!({"n": 0})), None));
        assert_eq!(stages.outputs().get("b"), Some(&json!({"n": 1})));
        stages.change(0, |s| s.state = StageState::Pending);
        assert_eq!(stages.outputs().iter().collect::<Vec<_>>(), [("b", &json!({"n": 1}))]);
    }

    #[test]
    fn what_is_read_is_counted_anew() {
        let mut stages = three();
        succeed(&mut stages, 0);
        let read: Stages = serde_json::from_value(json!(stages)).expect("stages");
        assert_eq!((read.done(), read.outputs()), (1, stages.outputs()));
        assert_eq!(read, stages);
    }
}

//! The graph that the stages of a definition make, worked out once: who needs whom, by place.
//!
//! A definition names stages; whoever runs one asks for places many thousand times. Knows nothing of
//! executions: what a stage's state does to those behind it is in `stages`.

use super::definition::{Definition, Join};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Places of stages, and the edges between them. `Default` has no stages.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    places: HashMap<String, usize>,
    needs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    required: Vec<bool>,
    joins_any: Vec<bool>,
    is_choosy: bool,
    kinds: Arc<BTreeMap<String, String>>,
}

impl Graph {
    /// The graph of a definition. Needs that name no stage are left out; of two stages with one name
    /// the first counts (`validate` refuses both).
    pub fn of(definition: &Definition) -> Self {
        let stages = &definition.stages;
        let mut graph = Graph::unconnected(stages.iter().map(|s| s.name.as_str()));
        for (index, stage) in stages.iter().enumerate() {
            let needs = match &stage.needs {
                None if index == 0 => Vec::new(),
                None => vec![index - 1],
                Some(names) => names.iter().filter_map(|n| graph.index_of(n)).collect(),
            };
            needs.iter().for_each(|need| graph.dependents[*need].push(index));
            graph.needs[index] = needs;
            graph.required[index] = stage.required;
            graph.joins_any[index] = stage.join == Join::Any;
            graph.is_choosy |= !stage.resources.is_for_any_worker();
        }
        graph.kinds = Arc::new(stages.iter().map(|s| (s.name.clone(), s.kind.clone())).collect());
        graph
    }

    /// Required stages without an edge between them.
    pub fn unconnected<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut graph = Graph::default();
        for (index, name) in names.enumerate() {
            graph.places.entry(name.to_owned()).or_insert(index);
            graph.needs.push(Vec::new());
        }
        graph.dependents = vec![Vec::new(); graph.needs.len()];
        graph.required = vec![true; graph.needs.len()];
        graph.joins_any = vec![false; graph.needs.len()];
        graph
    }

    /// Place of a stage by name.
    pub fn index_of(&self, stage: &str) -> Option<usize> {
        self.places.get(stage).copied()
    }

    /// Places of the stages that the stage at `index` waits for.
    pub fn needs_of(&self, index: usize) -> &[usize] {
        self.needs.get(index).map_or(&[], Vec::as_slice)
    }

    /// Places of the stages that wait for the one at `index`.
    pub fn dependents_of(&self, index: usize) -> &[usize] {
        self.dependents.get(index).map_or(&[], Vec::as_slice)
    }

    /// Whether the failure of the stage at `index` fails the execution.
    pub fn is_required(&self, index: usize) -> bool {
        self.required.get(index).copied().unwrap_or(true)
    }

    /// Whether one success among its needs is enough for the stage at `index`.
    pub fn joins_any(&self, index: usize) -> bool {
        self.joins_any.get(index).copied().unwrap_or(false)
    }

    /// Whether any stage asks for something that not every worker offers.
    pub fn is_choosy(&self) -> bool {
        self.is_choosy
    }

    /// Stage kinds by name of the stage.
    pub fn kinds(&self) -> &Arc<BTreeMap<String, String>> {
        &self.kinds
    }

    /// `from` and every stage that depends on it, directly or not, in definition order.
    pub fn downstream_of(&self, from: usize) -> Vec<usize> {
        self.reach(from, |index| self.dependents_of(index))
    }

    /// `from` and every stage that it depends on, directly or not, in definition order.
    pub fn upstream_of(&self, from: usize) -> Vec<usize> {
        self.reach(from, |index| self.needs_of(index))
    }

    /// Kahn's algorithm: what cannot be ordered lies on a cycle or behind one. In definition order.
    pub fn stuck(&self) -> Vec<usize> {
        let mut open: Vec<usize> = self.needs.iter().map(Vec::len).collect();
        let mut free: Vec<usize> = (0..open.len()).filter(|i| open[*i] == 0).collect();
        let mut is_ordered = vec![false; open.len()];
        while let Some(index) = free.pop() {
            is_ordered[index] = true;
            for dependent in self.dependents_of(index) {
                open[*dependent] -= 1;
                if open[*dependent] == 0 {
                    free.push(*dependent);
                }
            }
        }
        (0..open.len()).filter(|i| !is_ordered[*i]).collect()
    }

    fn reach<'a>(&'a self, from: usize, edges: impl Fn(usize) -> &'a [usize]) -> Vec<usize> {
        let mut is_reached = vec![false; self.needs.len()];
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut is_reached[index], true) {
                open.extend(edges(index));
            }
        }
        (0..is_reached.len()).filter(|i| is_reached[*i]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::definition::StageDefinition;

    /// d needs c and b, b needs a, c needs a; e needs the one above it, d.
    fn diamond() -> Graph {
        let stage = |name: &str, needs: Option<&[&str]>| StageDefinition {
            needs: needs.map(|n| n.iter().map(|s| (*s).to_owned()).collect()),
            ..StageDefinition::new(name, "x")
        };
        let stages = vec![
            stage("d", Some(&["c", "b"])),
            stage("e", None),
            stage("a", Some(&[])),
            stage("b", Some(&["a"])),
            stage("c", Some(&["a", "nobody"])),
        ];
        Graph::of(&Definition::new("w", stages))
    }

    #[test]
    fn edges_go_both_ways() {
        let graph = diamond();
        assert_eq!((graph.index_of("b"), graph.index_of("nobody")), (Some(3), None));
        assert_eq!((graph.needs_of(0), graph.dependents_of(2)), (&[4, 3][..], &[3, 4][..]));
        assert_eq!((graph.needs_of(1), graph.needs_of(4)), (&[0][..], &[2][..]));
        assert_eq!(graph.kinds().get("e").map(String::as_str), Some("x"));
    }

    #[test]
    fn what_lies_behind_and_before() {
        let graph = diamond();
        assert_eq!(graph.downstream_of(3), [0, 1, 3]);
        assert_eq!(graph.upstream_of(0), [0, 2, 3, 4]);
        assert_eq!(graph.downstream_of(1), [1]);
    }

    #[test]
    fn a_cycle_and_what_is_behind_it_are_stuck() {
        assert_eq!(diamond().stuck(), [0_usize; 0]);
        let mut stages: Vec<_> = ["a", "b", "c", "d"].map(|n| StageDefinition::new(n, "x")).into();
        stages[1].needs = Some(vec!["c".to_owned(), "a".to_owned()]);
        assert_eq!(Graph::of(&Definition::new("w", stages)).stuck(), [1, 2, 3]);
    }
}

//! The stage kinds that a program knows, by name.
//!
//! Knows nothing of what a kind does.

use super::StageExecutor;
use super::analysis::Analysis;
use super::approval::Approval;
use super::child::Child;
use super::code_generation::CodeGeneration;
use super::command::CommandLine;
use super::continuing::Continuing;
use super::deployment::Deployment;
use super::pr_creation::PrCreation;
use super::testing::Testing;
use super::validation::Validation;
use crate::workflow::event::Request;
use crate::workflow::resources::Resources;
use crate::workflow::validate::Kinds;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stage kinds by name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<String, Arc<dyn StageExecutor>>,
}

impl Registry {
    /// Adds a kind, or replaces the one of that name.
    pub fn register(&mut self, kind: &str, executor: Arc<dyn StageExecutor>) {
        self.kinds.insert(kind.to_owned(), executor);
    }

    /// The code of a kind.
    pub fn get(&self, kind: &str) -> Option<Arc<dyn StageExecutor>> {
        self.kinds.get(kind).cloned()
    }

    /// Whether no stage of a request asks for a label, a key or a service before it begins.
    pub fn asks_nothing(&self, request: &Request) -> bool {
        request.definition.stages.iter().all(|stage| {
            let is_of_kind = self.kinds.get(&stage.kind).is_some_and(|kind| {
                !kind.keys().is_empty() || kind.service(&request.settings, &stage.config).is_some()
            });
            stage.resources == Resources::default() && !is_of_kind
        })
    }

    /// Every kind with the names of its outputs; what definitions are checked against.
    pub fn kinds(&self) -> Kinds {
        let names = |executor: &Arc<dyn StageExecutor>| {
            Some(executor.outputs()?.into_iter().map(str::to_owned).collect())
        };
        self.kinds.iter().map(|(kind, executor)| (kind.clone(), names(executor))).collect()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

/// The kinds that come with the program.
pub fn builtin() -> Registry {
    let all: [(&str, Arc<dyn StageExecutor>); 10] = [
        ("analysis", Arc::new(Analysis)),
        ("code_generation", Arc::new(CodeGeneration)),
        ("testing", Arc::new(Testing)),
        ("pr_creation", Arc::new(PrCreation)),
        ("validation", Arc::new(Validation)),
        ("deployment", Arc::new(Deployment)),
        ("approval", Arc::new(Approval)),
        ("command", Arc::new(CommandLine)),
        ("child", Arc::new(Child)),
        ("continue", Arc::new(Continuing)),
    ];
    let mut registry = Registry::default();
    for (kind, executor) in all {
        registry.register(kind, executor);
    }
    registry
}

//! What is measured: `six-stage`, six stages in a row that do nothing, or nap.

use crate::stages::{StageContext, StageExecutor, StageOutcome};
use crate::task::{self, Context, Task};
use crate::workflow::definition::{Definition, StageDefinition};
use crate::workflow::failure::Failure;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// The stages of `six-stage`.
pub(super) const STAGES: [&str; 6] =
    ["analysis", "code_generation", "testing", "pr_creation", "validation", "deployment"];

/// The kind of all of them.
pub(super) const KIND: &str = "bench";

/// Naps, and gives 200 bytes of JSON.
pub(super) struct Nothing {
    pub(super) nap: Duration,
}

#[async_trait]
impl StageExecutor for Nothing {
    async fn run(&self, _context: &StageContext) -> Result<StageOutcome, Failure> {
        if !self.nap.is_zero() {
            tokio::time::sleep(self.nap).await;
        }
        Ok(StageOutcome::Done(output()))
    }
}

/// 200 bytes of JSON.
pub(super) fn output() -> Value {
    json!({"result": "x".repeat(187)})
}

/// Stages in a row, all of kind `bench`.
pub(super) fn row(name: &str, stages: impl IntoIterator<Item = String>) -> Definition {
    let stages = stages.into_iter().map(|stage| StageDefinition::new(stage, KIND)).collect();
    Definition::new(name, stages)
}

/// The workload `six-stage`.
pub(super) fn six_stage() -> Definition {
    row("six-stage", STAGES.map(str::to_owned))
}

/// A task as it comes out of the parser.
pub(super) fn task(now: DateTime<Utc>) -> Result<Task, String> {
    let mut context = Context::at(now);
    context.workflow = Some("six-stage".to_owned());
    task::parse("Fix the total of an order: the shipping fee is missing", &context)
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_200_bytes() {
        assert_eq!(output().to_string().len(), 200);
    }
}

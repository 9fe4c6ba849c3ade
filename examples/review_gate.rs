//! A workflow of your own from YAML: two checks that run at the same time, a person who decides, and
//! a step that runs only if the risk is high. Shows waiting, signals and conditions.
//!
//! ```sh
//! cargo run --example review_gate
//! ```

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use async_trait::async_trait;
use longhaul::engine::read_definition;
use longhaul::stages::{StageContext, StageExecutor, StageOutcome};
use longhaul::workflow::failure::Failure;
use longhaul::workflow::state::Status;
use longhaul::{Longhaul, Submission};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORKFLOW: &str = r"
name: review_gate
description: Two checks at once, then a person, then an audit if the risk is high
stages:
  - name: lint
    kind: check
    needs: []
  - name: risk
    kind: check
    needs: []
    config: {risk: 8}
  - name: review
    kind: approval
    needs: [lint, risk]
    wait_limit_ms: 604800000
  - name: audit
    kind: check
    when: {path: risk.risk, at_least: 7}
";

/// Gives its configuration back.
struct Check;

#[async_trait]
impl StageExecutor for Check {
    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        let risk = context.input.config["risk"].as_u64().unwrap_or(0);
        Ok(StageOutcome::Done(json!({"risk": risk})))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let longhaul = Longhaul::builder()
        .stage("check", Check)
        .workflow(read_definition(WORKFLOW, "review_gate.yaml")?)
        .build()
        .await?;
    let submission = Submission {
        workflow: Some("review_gate".to_owned()),
        ..Submission::text("Change the retention of the audit log")
    };
    let id = longhaul.submit(submission).await?.execution_id;

    let stop = CancellationToken::new();
    let worker = longhaul.worker();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { worker.run(stop).await }
    });
    while longhaul.state(id).await?.status() != Status::Waiting {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("waits for a person; meanwhile no worker is held");
    let decision = json!({"decision": "approve", "by": "alice", "comment": "fine"});
    longhaul.signal(id, "approval", decision, None, "reviewed").await?;

    let view = longhaul.wait_for_end(id).await?;
    for stage in &view.stages {
        println!("  {:<8} {:<10} {}", stage.name, stage.status, json!(stage.output));
    }
    stop.cancel();
    working.await??;
    let is_completed = view.status == Status::Completed;
    longhaul.close().await;
    if is_completed { Ok(()) } else { Err("the review gate did not complete".into()) }
}

//! Stage kinds of your own, in a workflow of your own: a data migration that is backed up, carried
//! out in batches, and verified, and that survives a crash in the midst of it.
//!
//! ```sh
//! cargo run --example data_migration
//! ```

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use async_trait::async_trait;
use longhaul::engine::read_definition;
use longhaul::stages::{StageContext, StageExecutor, StageOutcome};
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::state::Status;
use longhaul::{Longhaul, Submission};
use serde_json::json;

/// The smallest definition: stages in a row, each with a kind that the program registers.
const WORKFLOW: &str = r#"{
    "name": "Data Migration Workflow",
    "stages": [
        {"name": "backup", "type": "backup", "required": true},
        {"name": "migration", "type": "migration", "required": true},
        {"name": "verification", "type": "verification", "required": true}
    ]
}"#;

/// Copies what is to be changed.
struct Backup;

#[async_trait]
impl StageExecutor for Backup {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["rows"])
    }

    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        let rows = context.input.input["rows"].as_u64().unwrap_or(0);
        context.log(format!("backed up {rows} rows"));
        Ok(StageOutcome::Done(json!({"rows": rows})))
    }
}

/// Changes the rows in batches. Each batch is a step: once recorded, no crash makes it run again.
struct Migration;

#[async_trait]
impl StageExecutor for Migration {
    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        let rows = context.input.outputs["backup"]["rows"].as_u64().unwrap_or(0);
        let mut migrated = 0;
        for batch in 0..rows.div_ceil(100) {
            let size = (rows - batch * 100).min(100);
            migrated += context
                .step(&format!("batch-{batch}"), async {
                    context.log(format!("batch {batch}: {size} rows"));
                    Ok(size)
                })
                .await?;
            let fraction = migrated as f64 / rows as f64;
            context.progress(&format!("{migrated} of {rows} rows"), Some(fraction)).await?;
        }
        Ok(StageOutcome::Done(json!({"migrated": migrated})))
    }
}

/// Counts again. A wrong count is a rejection, which no retry mends.
struct Verification;

#[async_trait]
impl StageExecutor for Verification {
    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        let (before, after) = (
            &context.input.outputs["backup"]["rows"],
            &context.input.outputs["migration"]["migrated"],
        );
        if before != after {
            let said = format!("{before} rows were backed up, but {after} were migrated");
            return Err(Failure::new(ErrorKind::Rejected, said));
        }
        Ok(StageOutcome::Done(json!({"verified": true})))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let longhaul = Longhaul::builder()
        .stage("backup", Backup)
        .stage("migration", Migration)
        .stage("verification", Verification)
        .workflow(read_definition(WORKFLOW, "data_migration.json")?)
        .progress(|text| eprintln!("{text}"))
        .build()
        .await?;
    let submission = Submission {
        workflow: Some("data_migration_workflow".to_owned()),
        input: json!({"rows": 250}),
        ..Submission::text("Move the customers to the new schema")
    };
    let submitted = longhaul.submit(submission).await?;
    let view = longhaul.process_task(submitted.task_id).await?;
    println!("{}: {}", view.execution_id, view.status.as_str());
    for stage in &view.stages {
        println!("  {:<14} {:<10} {}", stage.name, stage.status, json!(stage.output));
    }
    let is_completed = view.status == Status::Completed;
    longhaul.close().await;
    if is_completed { Ok(()) } else { Err("the migration did not complete".into()) }
}

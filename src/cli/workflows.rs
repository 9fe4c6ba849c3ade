//! `workflows list|show|validate|register`.

use super::args::{Workflows, WorkflowsAction};
use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::engine::{WorkflowError, read_definition};
use crate::stages::builtin;
use crate::workflow::definition::{Definition, slug};
use crate::workflow::validate::problems;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn workflows(session: &Session, args: &Workflows) -> Done {
    match &args.action {
        WorkflowsAction::List => list(session).await,
        WorkflowsAction::Show { name } => show(session, name).await,
        WorkflowsAction::Validate { file } => validate(session, file),
        WorkflowsAction::Register { file, name, reason } => {
            register(session, file, name.as_deref(), reason).await
        }
    }
}

async fn list(session: &Session) -> Done {
    let engine = session.open().await?;
    let list = engine.workflow_list().await?;
    if session.json() {
        out::json(&list);
    } else {
        let stages = |d: &Definition| {
            d.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let cells = |d: &Definition| vec![d.name.clone(), d.version.to_string(), stages(d)];
        let rows: Vec<Vec<String>> = list.iter().map(cells).collect();
        out::table(&["NAME", "VERSION", "STAGES"], &rows);
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn show(session: &Session, name: &str) -> Done {
    let engine = session.open().await?;
    let definition = engine.find_workflow(name).await?;
    engine.close().await;
    out::json(&definition);
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Definition, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| CliError::Usage(format!("the file {} cannot be read: {e}", file.display())))?;
    Ok(read_definition(&text, &file.display().to_string())?)
}

fn validate(session: &Session, file: &Path) -> Done {
    let definition = read(file)?;
    let found = problems(&definition, &builtin().kinds());
    if session.json() {
        out::json(&json!({"valid": found.is_empty(), "name": definition.name, "problems": found}));
        return Ok(ExitCode::from(if found.is_empty() { 0 } else { 2 }));
    }
    if !found.is_empty() {
        return Err(WorkflowError::Wrong { name: definition.name, problems: found }.into());
    }
    out::line(format!(
        "workflow `{}` is valid: {} stages",
        definition.name,
        definition.stages.len()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn register(session: &Session, file: &Path, name: Option<&str>, reason: &str) -> Done {
    let mut definition = read(file)?;
    if let Some(name) = name {
        definition.name = slug(name);
    }
    let engine = session.open().await?;
    let registered = engine.register_workflow_for(&definition, reason).await?;
    if session.json() {
        out::json(&registered);
    } else {
        out::line(format!(
            "workflow `{}` is registered as version {}",
            registered.name, registered.version
        ));
    }
    engine.close().await;
    Ok(ExitCode::SUCCESS)
}

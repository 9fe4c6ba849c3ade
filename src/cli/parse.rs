//! `parse`: the structured task that a text becomes. Needs no database.

use super::error::CliError;
use super::run::text;
use super::session::Session;
use super::{Done, out};
use crate::task::{self, Context, Task};
use crate::workflow::catalog;
use chrono::Utc;
use clap::Args;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Debug, Args)]
pub(super) struct Parse {
    /// The text; `-` reads it from stdin
    #[arg(value_name = "TEXT", required_unless_present_any = ["file", "jsonl"])]
    pub(super) text: Option<String>,
    /// Read the text from a file
    #[arg(long, conflicts_with = "text", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Use no model (there is none in this version)
    #[arg(long)]
    pub(super) offline: bool,
    /// Read lines {"id","text"} from stdin or --file, write a task a line
    #[arg(long)]
    pub(super) jsonl: bool,
    /// Add what follows from the type: generated criteria, hours, deadlines
    #[arg(long)]
    pub(super) enhance: bool,
}

pub(super) fn parse(session: &Session, args: &Parse) -> Done {
    // There is only the offline parser; the flag says what is so.
    let _ = args.offline;
    if args.jsonl {
        return parse_lines(args);
    }
    let text = text(args.text.as_deref(), args.file.as_deref())?;
    let task = understand(&text, args.enhance)?;
    if session.json() {
        out::json(&task)
    } else {
        print(&task)
    }
    Ok(ExitCode::SUCCESS)
}

fn understand(text: &str, enhance: bool) -> Result<Task, CliError> {
    let context = Context::at(Utc::now());
    let parsed = task::parse(text, &context)?;
    let mut task = if enhance { task::enhance(parsed, &context) } else { parsed };
    let names: Vec<String> = catalog::all().into_iter().map(|d| d.name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = task::validate(&task, &names).warnings;
    let new: Vec<String> = found.into_iter().filter(|w| !task.warnings.contains(w)).collect();
    task.warnings.extend(new);
    Ok(task)
}

/// A line that cannot be parsed gets a line with an error: nothing is lost, and the rest goes on.
fn parse_lines(args: &Parse) -> Done {
    let input: Box<dyn Read> = match &args.file {
        Some(path) => Box::new(std::fs::File::open(path).map_err(|e| {
            CliError::Usage(format!("the file {} cannot be read: {e}", path.display()))
        })?),
        None => Box::new(std::io::stdin()),
    };
    for line in BufReader::new(input).split(b'\n') {
        let line = line.map_err(|e| CliError::Usage(format!("the input cannot be read: {e}")))?;
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() {
            out::json_line(&parse_line(&line, args.enhance));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_line(line: &str, enhance: bool) -> Value {
    let wrong = |id: Value, error: String| json!({"id": id, "error": error});
    let row: Value = match serde_json::from_str(line) {
        Ok(row) => row,
        Err(e) => return wrong(Value::Null, format!("the line is not JSON: {e}")),
    };
    let id = row.get("id").cloned().unwrap_or_default();
    let Some(text) = row.get("text").and_then(Value::as_str) else {
        return wrong(id, "the line has no `text`".to_owned());
    };
    let started = Instant::now();
    let result = understand(text, enhance);
    let elapsed_us = started.elapsed().as_micros() as u64;
    match result.map(serde_json::to_value) {
        Ok(Ok(mut task)) => {
            task["id"] = id;
            task["elapsed_us"] = json!(elapsed_us);
            task
        }
        Ok(Err(error)) => wrong(id, error.to_string()),
        Err(error) => {
            let mut said = wrong(id, error.to_string());
            said["elapsed_us"] = json!(elapsed_us);
            said
        }
    }
}

fn print(task: &Task) {
    out::line(format!(
        "{}  ({}, {} priority)",
        task.title,
        task.task_type.as_str(),
        task.priority.as_str()
    ));
    out::line(format!("  workflow    {}", task.workflow));
    out::line(format!("  complexity  {} of 10", task.complexity));
    for criterion in &task.acceptance_criteria {
        let mark = if criterion.generated { " (suggested)" } else { "" };
        out::line(format!("  criterion   {}{mark}", criterion.text.replace('\n', " ")));
    }
    for risk in &task.risk_factors {
        out::line(format!("  risk        {}: {}", risk.category.as_str(), risk.evidence));
    }
    for file in &task.affected_files {
        out::line(format!("  file        {file}"));
    }
    for dependency in &task.dependencies {
        out::line(format!("  waits for   {dependency}"));
    }
    for warning in &task.warnings {
        out::line(format!("  warning     {warning}"));
    }
}

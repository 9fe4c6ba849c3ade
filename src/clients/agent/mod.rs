//! Coding agents: programs that change the files of a worktree.
//!
//! One adapter per kind of agent behind `Agent`, found by the name in `agent.name`. An agent's word
//! counts for nothing: what it did is read from the worktree, and whether that is right from tests.
//! Never: git; whoever calls an agent takes what it left.

mod command;
mod prompt;
mod report;

#[cfg(test)]
mod tests;

pub use prompt::Brief;
pub use report::Report;

use crate::clients::process::Sink;
use crate::config::run::{AgentSettings, RunLimits};
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// One turn of an agent.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The execution.
    pub execution_id: Uuid,
    /// The stage.
    pub stage: &'a str,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of the repair loop, from 0.
    pub repair_loop: u32,
    /// What the turn before this one called its session.
    pub session: Option<&'a str>,
    /// What to do.
    pub prompt: &'a str,
    /// The worktree to do it in.
    pub tree: &'a Path,
    /// A directory outside of the worktree, for the prompt and the report.
    pub notes: &'a Path,
    /// Which agent, and what it may see.
    pub settings: &'a AgentSettings,
    /// What it may use.
    pub limits: &'a RunLimits,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What the agent said about it; what it used up is true also when it failed.
    pub report: Report,
    /// Whether there is anything to look at in the worktree.
    pub result: Result<(), Failure>,
}

/// A kind of agent.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Performs a turn; `sink` gets what the agent prints.
    async fn run(&self, turn: &Turn<'_>, sink: &Sink<'_>, cancelled: &CancellationToken) -> Ended;
}

/// The adapter called `name`.
pub fn find(name: &str) -> Result<Box<dyn Agent>, Failure> {
    match name {
        "command" => Ok(Box::new(command::CommandAgent)),
        other => {
            let said = format!("agent `{other}` is unknown; known agents: command");
            let hint = "set `agent.name` to one of them";
            Err(Failure::new(ErrorKind::Permanent, format!("{said}; {hint}")))
        }
    }
}

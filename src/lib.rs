//! Longhaul: a durable, event-sourced workflow engine for AI software delivery.
//!
//! A task in plain language becomes a structured task, runs through the stages of a workflow, and
//! survives any crash on the way. Every transition is an event in Postgres; state is what replaying
//! events gives. The walk of one task is in the README.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use longhaul::{Longhaul, Submission};
//!
//! let longhaul = Longhaul::builder().build().await?;
//! let submitted = longhaul.submit(Submission::text("Fix the login bug, it is urgent")).await?;
//! let view = longhaul.process_task(submitted.task_id).await?;
//! println!("{}", view.status.as_str());
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod audit;
pub mod bench;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod embedded;
pub mod engine;
pub mod monitor;
pub mod projector;
pub mod replay;
pub mod stages;
pub mod store;
pub mod task;
pub mod view;
pub mod worker;
pub mod workflow;

pub use engine::{Builder, Database, Longhaul, Submission};

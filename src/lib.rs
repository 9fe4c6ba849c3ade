//! Longhaul: a durable, event-sourced workflow engine for AI software delivery.

pub mod clock;
pub mod config;
pub mod workflow;

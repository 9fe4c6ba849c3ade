//! The embedded Postgres, with real processes: each fault that its docs promise to survive is
//! caused here. Every test has a cluster of its own, with durable settings.
//!
//! Needs the program's own binary as guardian, and PostgreSQL 15 or newer installed (or a registry
//! in reach). Tests that change the user run only as root. Never: a sleep where a condition would
//! do.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and may say what it saw"
)]

mod clusters;
mod faults;
mod support;
mod users;

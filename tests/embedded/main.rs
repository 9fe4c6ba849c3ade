//! The embedded Postgres, with real processes: each fault that its docs promise to survive is
//! caused here. Every test has a cluster of its own, with durable settings.
//!
//! Needs the program's own binary as guardian, and PostgreSQL 15 or newer installed (or a registry
//! in reach). Tests that change the user run only as root. Never: a sleep where a condition would
//! do.

#![allow(clippy::unwrap_used, reason = "a test may end in a panic")]
#![allow(clippy::print_stdout, reason = "client processes talk over their standard streams")]

mod clusters;
mod faults;
mod support;
mod users;

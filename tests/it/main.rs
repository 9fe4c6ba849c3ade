//! Every integration test, in one binary: it links once, and the runner gives each test a process.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and may say what it saw"
)]

mod aggregate_pure;
mod archive;
mod audit;
mod bounds;
mod children;
mod cli;
mod faults;
mod flow;
mod fork;
mod framework;
mod history;
mod long;
mod map;
mod monitor;
mod months;
mod permits;
mod pooler;
mod projections;
mod properties;
mod recovery;
mod replay;
mod roles;
mod scenarios;
mod services;
mod steps;
mod store;
mod support;
mod tidy;
mod transitions;
mod verify;
mod worker;

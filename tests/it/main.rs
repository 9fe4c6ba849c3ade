//! Every integration test, in one binary: it links once, and the runner gives each test a process.

mod aggregate_pure;
mod cli;
mod properties;
mod replay;
mod scenarios;
mod store;
mod support;
mod tidy;
mod transitions;
mod worker;

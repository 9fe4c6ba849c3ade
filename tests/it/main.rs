//! Every integration test, in one binary: it links once, and the runner gives each test a process.

mod cli;
mod store;
mod support;
mod worker;

//! The built binary, as a user runs it: commands, exit codes, JSON, bad input, crashes.

mod archive;
mod audit;
mod bad_input;
mod bench;
mod commands;
mod crash;
mod differences;
mod embedded_home;
mod examples;
mod forks;
pub(crate) mod harness;
mod looking_back;
mod main_job;

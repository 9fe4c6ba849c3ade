//! Read models: every event takes effect exactly once, and what is shown is what happened.

mod faults;
mod files;
mod log;
mod program;
mod rebuilding;

mod truth;

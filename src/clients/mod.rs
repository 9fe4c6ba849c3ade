//! Everything outside of this program, one folder each: processes, git, agents, forges, test output.
//!
//! A client knows its counterpart and nothing of workflows: which stage calls it, what is recorded,
//! and what is tried again is decided above. Errors carry the counterpart's own words.

pub mod agent;
pub mod forge;
pub mod git;
pub mod process;
pub mod test_run;

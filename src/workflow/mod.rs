//! The pure core: what a workflow is, what can happen to an execution, and what follows.
//!
//! `decide(state, command)` gives events, `evolve(state, event)` gives the next state, `next(state,
//! now)` says what may be done. No async, no SQL, no HTTP, no clock, no randomness: times and ids
//! come in with the command. Never: an import from a shell.
//!
//! What each command does in each situation stands in
//! `tests/it/snapshots/it__transitions__transitions.snap`; `tests/scenarios/` tells it as stories.

pub mod catalog;
pub mod command;
pub mod condition;
pub mod decide;
pub mod definition;
pub mod event;
pub mod evolve;
pub mod failure;
pub mod fork;
pub mod graph;
pub mod next;
pub mod resources;
pub mod retry;
pub mod stages;
pub mod state;
pub mod validate;

//! Programs: starting them so that they cannot harm us, and ending them so that nothing stays.
//!
//! Each program gets a process group of its own, an environment in which every variable was meant,
//! a time limit and an output limit. When it has to go, the whole group goes: SIGTERM, five seconds,
//! SIGKILL. What survives even that, or a worker that was killed, is found by `end_leftovers`.
//! Never: what a program is for. Agents, tests and git all look the same from here.

mod command;
mod environment;
mod group;
#[cfg(any(test, not(target_os = "linux")))]
mod group_note;
mod leftovers;
mod os;
#[cfg(target_os = "linux")]
mod proc_scan;
mod run;
mod running;
mod spawn;
mod text;

#[cfg(test)]
mod tests;

pub use command::{Command, ProcessError};
pub use environment::Environment;
pub use leftovers::end_leftovers;
pub use run::{Captured, Ended, Exit, Sink, capture, run};

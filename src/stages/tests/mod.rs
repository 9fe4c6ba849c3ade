//! Stage kinds against real repositories and real processes.

mod agents;
mod chain;
mod crashes;
mod judging;
#[cfg(target_os = "linux")]
mod killed;
mod kinds;

//! Stage kinds against real repositories and real processes.

mod agents;
mod chain;
mod crashes;
mod judging;
mod kinds;

//! Measures a real database under the workloads of the documentation, and says what it saw.
//!
//! Each measurement runs in a database of its own on the given server, which goes afterwards, and
//! refuses a server that would lose what it acknowledges. It uses what every program uses: the
//! engine, the store, the worker. Never: a short cut that the product does not have.

mod append;
mod arena;
mod history;
mod latency;
mod rebuild;
mod recover;
mod throughput;
mod times;
mod workload;

pub use append::{Appends, Rival, append};
pub use arena::{Arena, BenchError};
pub use history::{History, history};
pub use latency::{Latency, latency};
pub use rebuild::{Rebuild, rebuild};
pub use recover::{Recovery, RecoveryOptions, recover, work};
pub use throughput::{Throughput, throughput};

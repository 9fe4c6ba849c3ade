//! The history as the product: hash a state, compare two, prove a stream, show where two part.
//!
//! Pure: states and events go in, findings come out. Who reads the streams is the engine's business.

pub mod canonical;
pub mod compare;
pub mod decision;
pub mod diff;
pub mod record;
pub mod verify;

pub use canonical::{canonical_json, state_hash};
pub use compare::{Change, changes};
pub use record::{Recorded, read_line, write_line};
pub use verify::{Difference, Finding, Found, HeadFacts, Verdict, Verifier};

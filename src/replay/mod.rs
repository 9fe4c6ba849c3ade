//! The history as the product: hash a state, compare two, prove a stream, show where two part.
//!
//! Pure: states and events go in, findings come out. Who reads the streams is the engine's business.

pub mod canonical;
pub mod compare;

pub use canonical::{canonical_json, state_hash};
pub use compare::{Change, changes};

//! Proofs over what is stored: the chain of a stream, the tree over all heads, the signed note.
//!
//! Pure: rows, bytes and keys come in, verdicts and bytes go out. Knows the layout that a verifier in
//! another language relies on (`docs/audit.md`). Never: SQL, files, or a key of its own.

pub mod heads;
pub mod merkle;
pub mod note;
pub mod stream;

pub use crate::store::StreamKind as Kind;

/// Where a stream ends: the sequence of its last event, and that event's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sequence of the last event.
    pub version: u64,
    /// Its hash; none where only the version is kept (tasks).
    pub hash: Option<[u8; 32]>,
}

//! The hash chain of a stream: each event carries SHA-256 over the one before and itself.
//!
//! Pure. The layout is fixed for ever, because a verifier in another language relies on it:
//! `"longhaul/event/1\n"`, previous hash (32 bytes; zeros before the first), execution id (16),
//! sequence (8, big-endian), event id (16), microseconds since 1970 (8, big-endian), branch (4,
//! big-endian), length of actor (4, big-endian) and actor, payload text to the end.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the first event of a stream follows.
pub const GENESIS: [u8; 32] = [0; 32];

/// What an event is hashed with besides its payload.
#[derive(Clone, Copy, Debug)]
pub struct EventHeader<'a> {
    /// The stream.
    pub stream: Uuid,
    /// The number within it, from 1.
    pub sequence: u64,
    /// The event.
    pub event_id: Uuid,
    /// When it happened; microseconds count, nothing finer.
    pub at: DateTime<Utc>,
    /// The branch it is on.
    pub branch: u32,
    /// Who caused it.
    pub actor: &'a str,
}

/// The hash of an event that follows one with hash `before`.
pub fn link(before: &[u8; 32], header: &EventHeader<'_>, payload: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"longhaul/event/1\n");
    hasher.update(before);
    hasher.update(header.stream.as_bytes());
    hasher.update(header.sequence.to_be_bytes());
    hasher.update(header.event_id.as_bytes());
    hasher.update(header.at.timestamp_micros().to_be_bytes());
    hasher.update(header.branch.to_be_bytes());
    hasher.update((header.actor.len() as u32).to_be_bytes());
    hasher.update(header.actor.as_bytes());
    hasher.update(payload.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_fixed() {
        let header = EventHeader {
            stream: Uuid::from_u128(1),
            sequence: 1,
            event_id: Uuid::from_u128(2),
            at: DateTime::from_timestamp_micros(1_700_000_000_000_001).expect("a time"),
            branch: 1,
            actor: "test",
        };
        let hash = hex::encode(link(&GENESIS, &header, r#"{"type":"ExecutionCompleted"}"#));
        assert_eq!(
            hash, "ec8e3ff2b166c38754db4ff747e11abf6b3595dbdfbf86cd57a14efaf6d7811f",
            "as another program computed it"
        );
        let other = link(&GENESIS, &EventHeader { sequence: 2, ..header }, "");
        assert_ne!(other, link(&GENESIS, &header, ""));
    }
}

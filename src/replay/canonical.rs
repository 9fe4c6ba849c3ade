//! The canonical form of a state, and its hash.
//!
//! Canonical is: JSON without white space, the keys of every object sorted by their bytes, numbers
//! and texts as `serde_json` writes them. So the hash depends on what is known, not on the order in
//! which a struct lists its fields. A field that was added later and is empty is left out, so that
//! old histories keep their hashes.

use crate::workflow::state::Execution;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 over the canonical form of a state, in hex.
pub fn state_hash(state: &Execution) -> String {
    hex::encode(state_digest(state))
}

/// SHA-256 over the canonical form of a state.
pub fn state_digest(state: &Execution) -> [u8; 32] {
    Sha256::digest(canonical_json(state)).into()
}

/// The canonical form. What cannot be written as JSON is `null`; a state always can.
pub fn canonical_json<T: Serialize>(value: &T) -> String {
    let mut out = String::new();
    write(&serde_json::to_value(value).unwrap_or_default(), &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                comma(index, out);
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                comma(index, out);
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        scalar => *out += &scalar.to_string(),
    }
}

fn comma(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"z": 1, "a": "x\"y"}], "a": null, "B": 0.5});
        assert_eq!(canonical_json(&value), r#"{"B":0.5,"a":null,"b":[{"a":"x\"y","z":1}]}"#);
    }

    #[test]
    fn the_hash_is_that_of_what_is_known() {
        let state = Execution::default();
        let hash = state_hash(&state);
        assert_eq!(hash, hex::encode(Sha256::digest(canonical_json(&state))));
        let other = Execution { branch: 1, ..Execution::default() };
        assert_ne!(state_hash(&other), hash);
    }
}

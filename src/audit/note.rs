//! Signed notes (C2SP signed-note) whose text is a checkpoint (C2SP tlog-checkpoint).
//!
//! ```text
//! longhaul                                      origin
//! 3                                             number of leaves
//! qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=  root of the tree
//! time 2026-03-01T12:00:00.000000Z              when the heads were read
//!
//! — longhaul hRCVBxhoXw...=                     key name, then key id and signature
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};

/// First line of every checkpoint of ours, and the name of its key.
pub const ORIGIN: &str = "longhaul";
/// The signature type of Ed25519 in a key id.
const ED25519: u8 = 1;

/// Why a note, a key or a signature is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// The text is no checkpoint.
    #[error("it is no checkpoint: {0}")]
    Text(&'static str),
    /// The key cannot be read.
    #[error("the key cannot be read: {0}")]
    Key(&'static str),
    /// No signature of this key.
    #[error("it has no signature of the key {0}")]
    Unsigned(String),
    /// A signature that does not fit.
    #[error("its signature is wrong: it was altered, or signed with another key than {0}")]
    Forged(String),
}

/// What a checkpoint states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many heads there were.
    pub size: u64,
    /// The root of the tree over them.
    pub root: [u8; 32],
    /// When they were read.
    pub at: DateTime<Utc>,
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        let time = self.at.to_rfc3339_opts(SecondsFormat::Micros, true);
        format!("{ORIGIN}\n{}\n{}\ntime {time}\n", self.size, STANDARD.encode(self.root))
    }

    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let mut signature = key_id(&key.verifying_key()).to_vec();
        signature.extend(key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n\u{2014} {ORIGIN} {}\n", STANDARD.encode(signature))
    }

    /// Reads a note and checks its signature.
    pub fn open(note: &str, key: &VerifyingKey) -> Result<Self, NoteError> {
        let (body, signatures) =
            note.split_once("\n\n").ok_or(NoteError::Text("it has no signature"))?;
        let text = format!("{body}\n");
        let id = key_id(key);
        let ours = signatures.lines().find_map(|line| signature(line, id));
        let signed = ours.ok_or_else(|| NoteError::Unsigned(verifier_key(key)))?;
        key.verify(text.as_bytes(), &signed).map_err(|_| NoteError::Forged(verifier_key(key)))?;
        parse(body)
    }
}

fn parse(body: &str) -> Result<Checkpoint, NoteError> {
    let mut lines = body.lines();
    let mut next = |what| lines.next().ok_or(NoteError::Text(what));
    if next("it is empty")? != ORIGIN {
        return Err(NoteError::Text("its first line is not `longhaul`"));
    }
    let size = next("it has no size")?.parse().ok();
    let root = STANDARD.decode(next("it has no root")?).ok().and_then(|r| r.try_into().ok());
    let at = lines.find_map(|l| l.strip_prefix("time ")).and_then(|t| t.parse().ok());
    Ok(Checkpoint {
        size: size.ok_or(NoteError::Text("its size is no number"))?,
        root: root.ok_or(NoteError::Text("its root is no hash"))?,
        at: at.ok_or(NoteError::Text("it does not say its time"))?,
    })
}

/// The signature of a line, if the line is one of the key with this id.
fn signature(line: &str, id: [u8; 4]) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (given, signature) = bytes.split_at_checked(4)?;
    (name == ORIGIN && given == id).then(|| Signature::from_slice(signature).ok()).flatten()
}

fn key_id(key: &VerifyingKey) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(ORIGIN.as_bytes());
    hasher.update([b'\n', ED25519]);
    hasher.update(key.as_bytes());
    let digest = hasher.finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The public key as text, in the notation of signed notes: `longhaul+KEYID+KEY`.
pub fn verifier_key(key: &VerifyingKey) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend(key.as_bytes());
    format!("{ORIGIN}+{}+{}", hex::encode(key_id(key)), STANDARD.encode(bytes))
}

/// Reads a public key from its text.
pub fn read_verifier_key(text: &str) -> Result<VerifyingKey, NoteError> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(ORIGIN), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("it does not look like longhaul+KEYID+KEY"));
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Key("it is not base64"))?;
    let key: &[u8; 32] = match bytes.split_first() {
        Some((&ED25519, key)) => key.try_into().map_err(|_| NoteError::Key("it is too short"))?,
        _ => return Err(NoteError::Key("it is not for Ed25519")),
    };
    let key = VerifyingKey::from_bytes(key).map_err(|_| NoteError::Key("it is no point"))?;
    if hex::encode(key_id(&key)) != id {
        return Err(NoteError::Key("its id does not belong to it; a character is wrong"));
    }
    Ok(key)
}

/// The private key as text: the seed in hex, with a line that says what it is.
pub fn write_private_key(seed: &[u8; 32]) -> String {
    format!("LONGHAUL AUDIT PRIVATE KEY ed25519 {}\n", hex::encode(seed))
}

/// Reads a private key from its text.
pub fn read_private_key(text: &str) -> Result<SigningKey, NoteError> {
    let line = text.trim().strip_prefix("LONGHAUL AUDIT PRIVATE KEY ed25519 ");
    let seed = line.and_then(|hex| hex::decode(hex).ok()).and_then(|s| s.try_into().ok());
    let seed: [u8; 32] = seed.ok_or(NoteError::Key("it is no private key of `audit keygen`"))?;
    Ok(SigningKey::from_bytes(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn checkpoint() -> Checkpoint {
        let at = DateTime::from_timestamp_micros(1_700_000_000_000_001).expect("a time");
        Checkpoint { size: 3, root: [5; 32], at }
    }

    #[test]
    fn a_signed_note_opens_with_its_key() {
        let note = checkpoint().sign(&key());
        assert!(note.starts_with("longhaul\n3\n"), "{note}");
        assert_eq!(Checkpoint::open(&note, &key().verifying_key()), Ok(checkpoint()));
        // Signatures of others may stand beside ours.
        let more = format!("{note}\u{2014} witness AAAAAAAA\n");
        assert_eq!(Checkpoint::open(&more, &key().verifying_key()), Ok(checkpoint()));
    }

    #[test]
    fn nothing_else_opens() {
        let note = checkpoint().sign(&key());
        let open = |note: &str| Checkpoint::open(note, &key().verifying_key());
        let forged = open(&note.replacen("\n3\n", "\n2\n", 1));
        assert!(matches!(forged, Err(NoteError::Forged(_))), "{forged:?}");
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        let unsigned = Checkpoint::open(&note, &other);
        assert!(matches!(unsigned, Err(NoteError::Unsigned(_))), "{unsigned:?}");
        for text in ["", "longhaul\n3\n", "\n\n", "longhaul\n\n\u{2014} longhaul x\n"] {
            assert!(open(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn keys_survive_their_text() {
        let public = verifier_key(&key().verifying_key());
        assert_eq!(read_verifier_key(&public), Ok(key().verifying_key()));
        let private = write_private_key(&[7; 32]);
        assert_eq!(read_private_key(&private).map(|k| k.to_bytes()), Ok([7; 32]));
        let mut typo = public.clone();
        typo.replace_range(12..13, if &public[12..13] == "0" { "1" } else { "0" });
        assert!(read_verifier_key(&typo).is_err(), "{typo}");
        assert!(read_private_key("x").is_err() && read_verifier_key("longhaul+x").is_err());
    }
}

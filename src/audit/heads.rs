//! The heads that a checkpoint is made of, one line per stream: `execution ID VERSION HASH`.
//!
//! A line is a leaf of the tree, byte for byte, so that any language can compute the root. Lines are
//! sorted by kind and id.

use super::{Head, Kind};
use uuid::Uuid;

/// A line of the heads file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLine {
    /// Of what kind the stream is.
    pub kind: Kind,
    /// The stream.
    pub stream: Uuid,
    /// Sequence of its last event.
    pub version: u64,
    /// Hash of its last event.
    pub hash: [u8; 32],
}

impl HeadLine {
    /// The line, without a line feed.
    pub fn text(&self) -> String {
        let HeadLine { kind, stream, version, hash } = self;
        format!("{} {stream} {version} {}", kind.as_str(), hex::encode(hash))
    }

    /// Reads a line; none if it is not exactly as `text` writes it.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut word = || words.next();
        let kind = word()?;
        let kind = Kind::ALL.into_iter().find(|k| k.as_str() == kind)?;
        let stream = Uuid::parse_str(word()?).ok()?;
        let version = word()?.parse().ok()?;
        let hash = hex::decode(word()?).ok()?.try_into().ok()?;
        let read = HeadLine { kind, stream, version, hash };
        (read.text() == line).then_some(read)
    }

    /// Where it stands in the order of lines.
    pub fn place(&self) -> (Kind, Uuid) {
        (self.kind, self.stream)
    }

    /// The head alone.
    pub fn head(&self) -> Head {
        Head { version: self.version, hash: Some(self.hash) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_their_text() {
        for kind in Kind::ALL {
            let stream = Uuid::from_u128(1 << 100);
            let line = HeadLine { kind, stream, version: 12, hash: [0xab; 32] };
            assert_eq!(HeadLine::read(&line.text()), Some(line));
            assert_eq!(HeadLine::read(&line.text().to_uppercase()), None);
            assert_eq!(HeadLine::read(&format!("{} ", line.text())), None);
        }
    }
}

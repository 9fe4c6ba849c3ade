//! Text that programs print, made storable and bounded.
//!
//! Any bytes may come, in any pieces: what is no UTF-8 is replaced, NUL is removed (Postgres keeps
//! neither), and of very much only the beginning and the end are kept. Memory stays constant.

use std::collections::VecDeque;

/// Turns bytes that come in pieces into text.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a character whose rest has not come yet; at most three bytes.
    partial: Vec<u8>,
}

impl Decoder {
    /// The text of the next piece.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.utf8_chunks().peekable();
        while let Some(chunk) = rest.next() {
            push_without_nul(&mut text, chunk.valid());
            if rest.peek().is_none() && is_beginning(chunk.invalid()) {
                self.partial = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

/// Whether more bytes could still make a character of these.
fn is_beginning(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}

fn push_without_nul(text: &mut String, piece: &str) {
    for part in piece.split('\0') {
        text.push_str(part);
    }
}

/// The beginning and the end of a text of any length.
#[derive(Debug)]
pub(super) struct Kept {
    head: String,
    tail: VecDeque<u8>,
    half_bytes: usize,
    left_out_bytes: u64,
}

impl Kept {
    /// Keeps at most `limit_bytes`, half of it from the beginning.
    pub(super) fn new(limit_bytes: usize) -> Self {
        let half_bytes = (limit_bytes / 2).max(64);
        Kept { head: String::new(), tail: VecDeque::new(), half_bytes, left_out_bytes: 0 }
    }

    /// Appends text.
    pub(super) fn push(&mut self, text: &str) {
        let room = if self.tail.is_empty() { self.half_bytes - self.head.len() } else { 0 };
        let (first, rest) = text.split_at(boundary_before(text, room));
        self.head.push_str(first);
        self.push_tail(rest.as_bytes());
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(self.half_bytes);
        let new = &bytes[skipped..];
        let surplus = (self.tail.len() + new.len()).saturating_sub(self.half_bytes);
        self.tail.drain(..surplus);
        self.tail.extend(new);
        self.left_out_bytes += (skipped + surplus) as u64;
    }

    /// Everything that was kept.
    pub(super) fn into_text(self) -> String {
        let rest = self.rest();
        self.head + &rest
    }

    /// What follows the beginning: how much is missing, and the end.
    fn rest(&self) -> String {
        let (one, two) = self.tail.as_slices();
        let tail = [one, two].concat();
        // A character at the cut may have lost its beginning.
        let cut =
            tail.iter().take_while(|b| self.left_out_bytes > 0 && is_continuation(**b)).count();
        let text = String::from_utf8_lossy(&tail[cut..]);
        match self.left_out_bytes + cut as u64 {
            0 => text.into_owned(),
            missing => format!("\n... {missing} bytes left out ...\n{text}"),
        }
    }
}

/// The last place at or before `index` where `text` may be cut.
fn boundary_before(text: &str, index: usize) -> usize {
    let end = index.min(text.len());
    (0..=end).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text_wherever_they_are_cut() {
        let cases: [(&[u8], &str); 5] = [
            ("grün – 日本 🚀".as_bytes(), "grün – 日本 🚀"),
            (b"a\0b\0", "ab"),
            (b"bad \xff here", "bad \u{fffd} here"),
            (b"\xe2\x28", "\u{fffd}("),
            (b"", ""),
        ];
        for (bytes, expected) in cases {
            for size in 1..=bytes.len().max(1) {
                let mut decoder = Decoder::default();
                let text: String = bytes.chunks(size).map(|c| decoder.decode(c)).collect();
                assert_eq!(text, expected, "in pieces of {size}");
            }
        }
    }

    #[test]
    fn the_middle_is_left_out_and_counted() {
        let mut kept = Kept::new(128);
        let all: String = (0..100).map(|n| format!("line {n:03}ü\n")).collect();
        for piece in all.as_bytes().chunks(7).map(String::from_utf8_lossy) {
            kept.push(&piece);
        }
        let text = kept.into_text();
        assert!(text.starts_with("line 000"), "{text}");
        assert!(text.trim_end().contains("line 099"), "{text}");
        assert!(text.contains(" bytes left out ..."), "{text}");
        assert!(text.len() < 128 + 40, "{}", text.len());
    }

    #[test]
    fn little_is_kept_whole() {
        let mut kept = Kept::new(200);
        for piece in ["one\n", "", "two\n"] {
            kept.push(piece);
        }
        assert_eq!(kept.into_text(), "one\ntwo\n");
        let mut exact = Kept::new(128);
        exact.push(&"x".repeat(128));
        assert_eq!(exact.into_text(), "x".repeat(128));
    }
}

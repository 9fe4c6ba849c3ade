//! The log of one attempt on its way to the database: chunks, a bound, a digest.
//!
//! Writers never block on the database. Of a log that grows beyond its bound the beginning and the
//! end are kept, with a line in between that says how much is missing.

use crate::clock::Clock;
use crate::stages::LogSink;
use crate::store::LogChunk;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Chunks are cut at about this size.
const CHUNK_BYTES: usize = 32 * 1024;

/// Collects what an attempt prints.
pub(super) struct LogBuffer {
    execution_id: Uuid,
    stage: String,
    attempt: u32,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    head_left: usize,
    tail_max: usize,
    pending: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: usize,
    chunks: i32,
    hasher: Sha256,
    is_empty: bool,
}

impl LogBuffer {
    /// A buffer that keeps `limit_bytes`, half of it from the beginning.
    pub(super) fn new(
        execution_id: Uuid,
        stage: &str,
        attempt: u32,
        limit_bytes: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let half = limit_bytes / 2;
        let inner = Inner {
            head_left: half,
            tail_max: half,
            pending: String::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            left_out: 0,
            chunks: 0,
            hasher: Sha256::new(),
            is_empty: true,
        };
        LogBuffer {
            execution_id,
            stage: stage.to_owned(),
            attempt,
            clock,
            inner: Mutex::new(inner),
        }
    }

    /// Goes on after what an attempt wrote before it began to wait.
    pub(super) fn continue_after(&self, before: &[LogChunk]) {
        let mut inner = self.lock();
        for chunk in before {
            inner.hasher.update(chunk.content.as_bytes());
            inner.is_empty = false;
            inner.chunks = chunk.chunk + 1;
        }
    }

    /// What has come since the last call, ready to be stored.
    pub(super) fn drain(&self) -> Vec<LogChunk> {
        let mut inner = self.lock();
        let text = std::mem::take(&mut inner.pending);
        self.cut(&mut inner, text)
    }

    /// The rest, and the digest over everything stored; none if nothing was ever written.
    pub(super) fn finish(&self) -> (Vec<LogChunk>, Option<String>) {
        let mut inner = self.lock();
        let mut text = std::mem::take(&mut inner.pending);
        if inner.left_out > 0 {
            text.push_str(&format!("\n... {} bytes left out ...\n", inner.left_out));
        }
        text.extend(inner.tail.drain(..));
        inner.tail_bytes = 0;
        let chunks = self.cut(&mut inner, text);
        let digest = (!inner.is_empty).then(|| hex::encode(inner.hasher.clone().finalize()));
        (chunks, digest)
    }

    fn cut(&self, inner: &mut Inner, text: String) -> Vec<LogChunk> {
        let mut chunks = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let end = boundary(rest, CHUNK_BYTES);
            let (content, after) = rest.split_at(end);
            inner.hasher.update(content.as_bytes());
            inner.is_empty = false;
            chunks.push(LogChunk {
                execution_id: self.execution_id,
                stage: self.stage.clone(),
                attempt: self.attempt as i32,
                chunk: inner.chunks,
                at: self.clock.now(),
                content: content.to_owned(),
            });
            inner.chunks += 1;
            rest = after;
        }
        chunks
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for LogBuffer {
    fn write(&self, text: &str) {
        let clean = if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() };
        let mut inner = self.lock();
        let fits = boundary(&clean, inner.head_left);
        inner.head_left -= fits;
        inner.pending.push_str(&clean[..fits]);
        let rest = &clean[fits..];
        if rest.is_empty() {
            return;
        }
        inner.head_left = 0;
        inner.tail_bytes += rest.len();
        inner.tail.push_back(rest.to_owned());
        while inner.tail_bytes > inner.tail_max && inner.tail.len() > 1 {
            if let Some(dropped) = inner.tail.pop_front() {
                inner.tail_bytes -= dropped.len();
                inner.left_out += dropped.len();
            }
        }
    }
}

/// The largest length up to `max` at which `text` can be cut between characters.
fn boundary(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn buffer(limit: usize) -> LogBuffer {
        LogBuffer::new(Uuid::from_u128(1), "testing", 1, limit, Arc::new(SystemClock))
    }

    fn text(chunks: &[LogChunk]) -> String {
        chunks.iter().map(|c| c.content.as_str()).collect()
    }

    #[test]
    fn what_was_written_comes_out_and_the_digest_is_over_all_of_it() {
        let log = buffer(1_000);
        log.write("one\n");
        let first = log.drain();
        log.write("tw\0o\n");
        let (rest, digest) = log.finish();
        assert_eq!((text(&first).as_str(), text(&rest).as_str()), ("one\n", "two\n"));
        assert_eq!((first[0].chunk, rest[0].chunk), (0, 1));
        assert_eq!(digest, Some(hex::encode(Sha256::digest(b"one\ntwo\n"))));
    }

    #[test]
    fn a_silent_attempt_has_no_digest() {
        assert_eq!(buffer(10).finish(), (Vec::new(), None));
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let log = buffer(20);
        (0..1_000).for_each(|i| log.write(&format!("{i:04}\n")));
        let all = text(&log.finish().0);
        assert!(all.starts_with("0000\n0001\n"), "{all}");
        assert!(all.ends_with("0998\n0999\n"), "{all}");
        assert!(all.contains("4980 bytes left out"), "{all}");
    }

    #[test]
    fn characters_are_never_cut() {
        let log = buffer(6);
        log.write("ääää");
        assert!(text(&log.finish().0).starts_with('ä'));
        let long = buffer(1 << 20);
        long.write(&"ä".repeat(40_000));
        assert_eq!(text(&long.finish().0).chars().count(), 40_000);
    }
}

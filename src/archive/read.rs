//! Reading an archive, and proving it: digests, counts, every chain from its first event to its head.

use super::{ArchiveError, EventLine, FILES, FORMAT, HeadLine, LogLine, MANIFEST, Manifest, bytes};
use crate::store::{EventHeader, GENESIS, LogChunk, MonthEvent, MonthHead, link};
use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// An archive whose manifest can be read.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Its directory.
    pub place: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of the manifest.
    pub digest: [u8; 32],
}

impl Archive {
    /// Opens a directory, or the manifest in it. Proves nothing yet.
    pub fn open(path: &Path) -> Result<Archive, ArchiveError> {
        let path = path.canonicalize().map_err(ArchiveError::io(path))?;
        let is_manifest = path.file_name().is_some_and(|n| n == MANIFEST);
        let place = match path.parent() {
            Some(parent) if is_manifest => parent.to_owned(),
            _ => path,
        };
        let path = place.join(MANIFEST);
        let text = std::fs::read(&path).map_err(ArchiveError::io(&path))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| ArchiveError::broken(&path, e.to_string()))?;
        if manifest.format != FORMAT {
            let said =
                format!("its format is `{}`, this version reads `{FORMAT}`", manifest.format);
            return Err(ArchiveError::broken(&path, said));
        }
        Ok(Archive { place, manifest, digest: Sha256::digest(&text).into() })
    }

    /// Its heads, in the order of ids.
    pub fn heads(
        &self,
    ) -> Result<impl Iterator<Item = Result<MonthHead, ArchiveError>> + use<>, ArchiveError> {
        Ok(Rows::<HeadLine>::open(&self.place.join(FILES[0]))?.map(|l| l.map(MonthHead::from)))
    }

    /// Its events, in the order of execution and sequence.
    pub fn events(
        &self,
    ) -> Result<impl Iterator<Item = Result<MonthEvent, ArchiveError>> + use<>, ArchiveError> {
        Ok(Rows::<EventLine>::open(&self.place.join(FILES[1]))?.map(|l| l.map(MonthEvent::from)))
    }

    /// Its output.
    pub fn logs(
        &self,
    ) -> Result<impl Iterator<Item = Result<LogChunk, ArchiveError>> + use<>, ArchiveError> {
        Ok(Rows::<LogLine>::open(&self.place.join(FILES[2]))?.map(|l| l.map(LogChunk::from)))
    }
}

/// The archives at a path: itself, its manifest, or a directory of archives.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
    if path.is_file() || path.join(MANIFEST).exists() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(ArchiveError::io(path))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ArchiveError::io(path))?.path();
        let is_hidden = entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if !is_hidden && entry.join(MANIFEST).exists() {
            found.push(entry);
        }
    }
    found.sort();
    if found.is_empty() { Err(ArchiveError::None(path.to_owned())) } else { Ok(found) }
}

/// Proves an archive without a database: its files are those that the manifest names, each stream is
/// whole, each event is what was hashed, each chain leads to its head, and every execution has ended.
pub fn verify(path: &Path) -> Result<Archive, ArchiveError> {
    let archive = Archive::open(path)?;
    for name in FILES {
        check_file(&archive, name)?;
    }
    let mut heads = archive.heads()?;
    let mut events = archive.events()?.peekable();
    let broken = |what: String| ArchiveError::broken(&archive.place, what);
    let (mut executions, mut count) = (0, 0);
    let mut last = None;
    for head in heads.by_ref() {
        let head = head?;
        let id = head.execution_id;
        if last.is_some_and(|l| l >= id) {
            return Err(broken(format!("execution {id} stands out of order")));
        }
        if !["completed", "failed", "cancelled"].contains(&head.status.as_str()) {
            return Err(broken(format!("execution {id} is {}: it has not ended", head.status)));
        }
        let mut before = GENESIS;
        for sequence in 1..=head.version {
            let wrong = |what: &str| broken(format!("event {sequence} of execution {id} {what}"));
            let event = match events.next() {
                None => return Err(wrong("is missing")),
                Some(event) => event?,
            };
            if event.execution_id != id || event.sequence != sequence {
                return Err(wrong("is missing"));
            }
            before = linked(&before, &event);
            if before.as_slice() != event.hash {
                return Err(wrong("is not what was hashed"));
            }
            count += 1;
        }
        if before.as_slice() != head.head_hash {
            return Err(broken(format!("the events of execution {id} do not lead to its head")));
        }
        last = Some(id);
        executions += 1;
    }
    if let Some(event) = events.next() {
        let event = event?;
        let (sequence, id) = (event.sequence, event.execution_id);
        return Err(broken(format!("event {sequence} of execution {id} belongs to no head")));
    }
    let mut chunks = 0;
    for chunk in archive.logs()? {
        chunk?;
        chunks += 1;
    }
    let counted = (executions, count, chunks);
    let m = &archive.manifest;
    if counted != (m.executions, m.events, m.log_chunks) {
        let said =
            format!("executions, events and chunks are {counted:?}, not as the manifest says");
        return Err(broken(said));
    }
    Ok(archive)
}

fn linked(before: &[u8; 32], event: &MonthEvent) -> [u8; 32] {
    let header = EventHeader {
        stream: event.execution_id,
        sequence: event.sequence as u64,
        event_id: event.event_id,
        at: event.at,
        branch: event.branch as u32,
        actor: &event.actor,
    };
    link(before, &header, &event.payload)
}

fn check_file(archive: &Archive, name: &str) -> Result<(), ArchiveError> {
    let path = archive.place.join(name);
    let Some(note) = archive.manifest.files.get(name) else {
        return Err(ArchiveError::broken(&path, "the manifest does not name it"));
    };
    let mut file = File::open(&path).map_err(ArchiveError::io(&path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let n = file.read(&mut buffer).map_err(ArchiveError::io(&path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        length += n as u64;
    }
    if length != note.bytes || hasher.finalize().as_slice() != bytes(&note.sha256) {
        return Err(ArchiveError::broken(&path, "its digest is not the one in the manifest"));
    }
    Ok(())
}

/// The lines of a file.
struct Rows<T> {
    path: PathBuf,
    number: u64,
    lines: Lines<BufReader<GzDecoder<BufReader<File>>>>,
    of: PhantomData<T>,
}

impl<T> Rows<T> {
    fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::io(path))?;
        let lines = BufReader::new(GzDecoder::new(BufReader::new(file))).lines();
        Ok(Rows { path: path.to_owned(), number: 0, lines, of: PhantomData })
    }
}

impl<T: DeserializeOwned> Iterator for Rows<T> {
    type Item = Result<T, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        self.number += 1;
        let read = line.map_err(ArchiveError::io(&self.path)).and_then(|text| {
            serde_json::from_str(&text)
                .map_err(|e| ArchiveError::broken(&self.path, format!("line {}: {e}", self.number)))
        });
        Some(read)
    }
}

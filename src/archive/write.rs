//! Writing an archive: into a directory beside its place, proven there, brought to disk, renamed.
//!
//! A crash at any point leaves the finished archive or a directory that the next try removes.

use super::{
    Archive, ArchiveError, EventLine, FILES, FORMAT, FileNote, HeadLine, LogLine, MANIFEST,
    Manifest, verify,
};
use crate::store::{LogChunk, MonthEvent, MonthHead};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// An archive on its way.
pub struct Writer {
    /// Where it will be.
    place: PathBuf,
    /// Where it is until then.
    beside: PathBuf,
    heads: Lines,
    events: Lines,
    logs: Lines,
    manifest: Manifest,
    _lock: File,
}

impl Writer {
    /// Begins the archive of `month` (as in `2026-10`) in a directory, which is made if need be.
    pub fn begin(
        directory: &Path,
        month: &str,
        since_ever: bool,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, ArchiveError> {
        std::fs::create_dir_all(directory).map_err(ArchiveError::io(directory))?;
        let directory = &directory.canonicalize().map_err(ArchiveError::io(directory))?;
        let lock = lock(directory)?;
        let place = directory.join(month);
        if place.exists() {
            return Err(ArchiveError::Exists(place));
        }
        let beside = directory.join(format!(".{month}.unfinished"));
        if beside.exists() {
            std::fs::remove_dir_all(&beside).map_err(ArchiveError::io(&beside))?;
        }
        std::fs::create_dir(&beside).map_err(ArchiveError::io(&beside))?;
        let [heads, events, logs] = FILES.map(|name| Lines::create(&beside.join(name)));
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            month: month.to_owned(),
            since_ever,
            created_at: now,
            created_by: actor.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            executions: 0,
            events: 0,
            log_chunks: 0,
            first: None,
            last: None,
            files: Default::default(),
        };
        let (heads, events, logs) = (heads?, events?, logs?);
        Ok(Writer { place, beside, heads, events, logs, manifest, _lock: lock })
    }

    /// Adds heads, in the order of ids.
    pub fn heads(&mut self, heads: &[MonthHead]) -> Result<(), ArchiveError> {
        for head in heads {
            self.heads.add(&HeadLine::from(head))?;
            self.manifest.executions += 1;
            self.manifest.first.get_or_insert(head.execution_id);
            self.manifest.last = Some(head.execution_id);
        }
        Ok(())
    }

    /// Adds events, in the order of execution and sequence.
    pub fn events(&mut self, events: Vec<MonthEvent>) -> Result<(), ArchiveError> {
        self.manifest.events += events.len() as u64;
        events.into_iter().try_for_each(|e| self.events.add(&EventLine::from(e)))
    }

    /// Adds output.
    pub fn logs(&mut self, chunks: Vec<LogChunk>) -> Result<(), ArchiveError> {
        self.manifest.log_chunks += chunks.len() as u64;
        chunks.into_iter().try_for_each(|c| self.logs.add(&LogLine::from(c)))
    }

    /// Brings everything to disk, proves it by reading it back, and gives it its name.
    pub fn finish(mut self) -> Result<Archive, ArchiveError> {
        for (name, lines) in FILES.into_iter().zip([self.heads, self.events, self.logs]) {
            self.manifest.files.insert(name.to_owned(), lines.finish()?);
        }
        let path = self.beside.join(MANIFEST);
        let text = serde_json::to_string_pretty(&self.manifest)
            .map_err(|e| ArchiveError::broken(&path, e.to_string()))?;
        let mut file = File::create_new(&path).map_err(ArchiveError::io(&path))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .map_err(ArchiveError::io(&path))?;
        verify(&self.beside)?;
        sync_directory(&self.beside)?;
        std::fs::rename(&self.beside, &self.place).map_err(ArchiveError::io(&self.place))?;
        let directory = self.place.parent().unwrap_or(Path::new("/"));
        sync_directory(directory)?;
        Archive::open(&self.place)
    }
}

impl Archive {
    /// Brings it to disk, wherever it was copied from.
    pub fn sync(&self) -> Result<(), ArchiveError> {
        for name in FILES.into_iter().chain([MANIFEST]) {
            let path = self.place.join(name);
            File::open(&path).and_then(|f| f.sync_all()).map_err(ArchiveError::io(&path))?;
        }
        sync_directory(&self.place)?;
        self.place.parent().map_or(Ok(()), sync_directory)
    }
}

fn sync_directory(path: &Path) -> Result<(), ArchiveError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(ArchiveError::io(path))
}

/// One process at a time writes to a directory.
fn lock(directory: &Path) -> Result<File, ArchiveError> {
    let path = directory.join(".longhaul-archive.lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(ArchiveError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Busy(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(ArchiveError::Io { path, source }),
    }
}

/// JSON Lines in gzip, with the digest of what reaches the file.
struct Lines {
    path: PathBuf,
    encoder: GzEncoder<Hashing>,
}

struct Hashing {
    file: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Lines {
    fn create(path: &Path) -> Result<Self, ArchiveError> {
        let file = BufWriter::new(File::create_new(path).map_err(ArchiveError::io(path))?);
        let hashing = Hashing { file, hasher: Sha256::new(), bytes: 0 };
        let encoder = GzEncoder::new(hashing, Compression::default());
        Ok(Lines { path: path.to_owned(), encoder })
    }

    fn add<T: Serialize>(&mut self, line: &T) -> Result<(), ArchiveError> {
        let mut text = serde_json::to_vec(line)
            .map_err(|e| ArchiveError::broken(&self.path, e.to_string()))?;
        text.push(b'\n');
        self.encoder.write_all(&text).map_err(ArchiveError::io(&self.path))
    }

    fn finish(self) -> Result<FileNote, ArchiveError> {
        let io = || ArchiveError::io(&self.path);
        let Hashing { file, hasher, bytes } = self.encoder.finish().map_err(io())?;
        let file = file.into_inner().map_err(|e| io()(e.into_error()))?;
        file.sync_all().map_err(io())?;
        Ok(FileNote { sha256: hex::encode(hasher.finalize()), bytes })
    }
}

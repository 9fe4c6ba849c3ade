//! Checkpoints: the signed root over all heads, written to files that are kept elsewhere.
//!
//! Beside the note `FILE` lies `FILE.heads` with the heads themselves, so that a later verification can
//! name the stream whose end was cut off or replaced. Keys are files that only their owner can read.

use super::Longhaul;
use crate::audit::Kind;
use crate::audit::heads::HeadLine;
use crate::audit::merkle::Tree;
use crate::audit::note::{self, Checkpoint, NoteError};
use crate::config::home::Home;
use crate::store::StoreError;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why a checkpoint or a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file.
    #[error("`{}`: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Others can read the private key.
    #[error("the private key `{}` can be read by others; make it yours with chmod 600", .0.display())]
    OpenKey(PathBuf),
    /// A note or key that says something else than it should.
    #[error("`{}`: {error}", path.display())]
    Note {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        error: NoteError,
    },
    /// The heads beside the note are not those that were signed.
    #[error("`{}`: {what}; it does not belong to its checkpoint or was altered", path.display())]
    Heads {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, CheckpointError>;

/// Where keys and the newest checkpoint lie on this machine.
#[derive(Clone, Debug)]
pub struct AuditFiles {
    /// The private key; mode 0600.
    pub key: PathBuf,
    /// The public key.
    pub public_key: PathBuf,
    /// The newest checkpoint that went nowhere else.
    pub checkpoint: PathBuf,
}

impl AuditFiles {
    /// Those of a home.
    pub fn of(home: &Home) -> Self {
        let at = |name: &str| home.root().join("audit").join(name);
        AuditFiles { key: at("key"), public_key: at("key.pub"), checkpoint: at("checkpoint") }
    }
}

/// A checkpoint that was read and found to be what was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What the note states.
    pub checkpoint: Checkpoint,
    /// The heads, sorted by kind and id.
    pub heads: Vec<HeadLine>,
}

/// Makes a private key; one that is there is never replaced. Gives the public key as text.
pub fn make_key(path: &Path) -> Result<String> {
    let at = |error| CheckpointError::File { path: path.to_owned(), error };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(at)?;
    }
    let seed: [u8; 32] = rand::random();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
    file.write_all(note::write_private_key(&seed).as_bytes()).map_err(at)?;
    file.sync_all().map_err(at)?;
    let public = note::verifier_key(&SigningKey::from_bytes(&seed).verifying_key());
    replace(&with_suffix(path, ".pub"), |file| writeln!(file, "{public}"))?;
    Ok(public)
}

/// Reads a private key that nobody else can read.
pub fn read_key(path: &Path) -> Result<SigningKey> {
    let at = |error| CheckpointError::File { path: path.to_owned(), error };
    if fs::metadata(path).map_err(at)?.mode() & 0o077 != 0 {
        return Err(CheckpointError::OpenKey(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(at)?;
    note::read_private_key(&text)
        .map_err(|error| CheckpointError::Note { path: path.to_owned(), error })
}

/// Reads a public key: the text itself, or a file that holds it.
pub fn read_public_key(given: &str) -> Result<VerifyingKey> {
    if let Ok(key) = note::read_verifier_key(given) {
        return Ok(key);
    }
    let path = PathBuf::from(given);
    let text = fs::read_to_string(&path)
        .map_err(|error| CheckpointError::File { path: path.clone(), error })?;
    note::read_verifier_key(&text).map_err(|error| CheckpointError::Note { path, error })
}

/// Reads a checkpoint and the heads beside it, and proves both with the key.
pub fn read_checkpoint(path: &Path, key: &VerifyingKey) -> Result<Signed> {
    let read = |path: &Path| {
        let at = |error| CheckpointError::File { path: path.to_owned(), error };
        fs::read_to_string(path).map_err(at)
    };
    let checkpoint = Checkpoint::open(&read(path)?, key)
        .map_err(|error| CheckpointError::Note { path: path.to_owned(), error })?;
    let beside = with_suffix(path, ".heads");
    let heads = read_heads(&read(&beside)?, &checkpoint)
        .map_err(|what| CheckpointError::Heads { path: beside, what })?;
    Ok(Signed { checkpoint, heads })
}

fn read_heads(text: &str, checkpoint: &Checkpoint) -> std::result::Result<Vec<HeadLine>, String> {
    let mut tree = Tree::default();
    let mut heads: Vec<HeadLine> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let head = HeadLine::read(line).ok_or(format!("line {} is no head", index + 1))?;
        if heads.last().is_some_and(|last| last.place() >= head.place()) {
            return Err(format!("line {} is out of order", index + 1));
        }
        tree.push(line.as_bytes());
        heads.push(head);
    }
    if (tree.size(), tree.root()) != (checkpoint.size, checkpoint.root) {
        return Err("its root is not the one that was signed".to_owned());
    }
    Ok(heads)
}

impl Longhaul {
    /// Signs the root over all heads as they stand now, and writes the note to `path` and the heads
    /// beside it. Gives the note.
    pub async fn audit_checkpoint(
        &self,
        path: &Path,
        key: &SigningKey,
    ) -> Result<(Checkpoint, String)> {
        let at = self.clock.now();
        let mut heads = self.store.read_heads().await?;
        let mut tree = Tree::default();
        let beside = with_suffix(path, ".heads");
        let mut file = Draft::new(&beside)?;
        for kind in Kind::ALL {
            let mut after = Uuid::nil();
            loop {
                let page = heads.page(kind, after).await?;
                let Some(last) = page.last() else { break };
                after = last.0;
                for (stream, version, hash) in page {
                    let line = HeadLine { kind, stream, version, hash }.text();
                    tree.push(line.as_bytes());
                    file.write(|f| writeln!(f, "{line}"))?;
                }
            }
        }
        file.publish()?;
        let checkpoint = Checkpoint { size: tree.size(), root: tree.root(), at };
        let note = checkpoint.sign(key);
        replace(path, |file| file.write_all(note.as_bytes()))?;
        let root = hex::encode(checkpoint.root);
        let data = json!({"size": checkpoint.size, "root": root, "source": self.source});
        self.record_action("CheckpointSigned", &data).await?;
        Ok((checkpoint, note))
    }
}

/// `FILE` with something behind its name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file that appears under its name only when it is complete.
struct Draft {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
}

impl Draft {
    fn new(path: &Path) -> Result<Self> {
        let at = |error| CheckpointError::File { path: path.to_owned(), error };
        let directory = path.parent().filter(|d| !d.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(at)?;
        let file = tempfile::NamedTempFile::new_in(directory).map_err(at)?;
        Ok(Draft { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        write(&mut self.file)
            .map_err(|error| CheckpointError::File { path: self.path.clone(), error })
    }

    fn publish(self) -> Result<()> {
        let Draft { path, file } = self;
        let at = |error| CheckpointError::File { path: path.clone(), error };
        let file = file.into_inner().map_err(|e| at(e.into_error()))?;
        file.as_file().sync_all().map_err(at)?;
        let published: File = file.persist(&path).map_err(|e| at(e.error))?;
        drop(published);
        Ok(())
    }
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let mut draft = Draft::new(path)?;
    draft.write(write)?;
    draft.publish()
}

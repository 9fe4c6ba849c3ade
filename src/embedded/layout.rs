//! Where things of one cluster lie, and the careful ways to write them.
//!
//! Knows paths, modes and owners; does not know Postgres, locks or processes. Never: a file that
//! others can read, or a socket in a directory that somebody else made.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::sys;

/// Its port. It only names the socket, since Postgres listens nowhere else.
pub(super) const PORT: u16 = 5432;

/// The room for a socket's path in the kernel, its final zero included; macOS has four fewer.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 104 } else { 108 };

/// A file that says the directory is ours, without which nothing may be deleted.
const MARKER: &str = ".longhaul-pg";

/// The directory of one cluster, absolute, without symbolic links.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// Whose files these are: whoever owns the root directory.
    owner: u32,
    group: u32,
}

impl Layout {
    /// Makes the directory if it is missing, and refuses one that belongs to somebody else.
    pub(super) fn prepare(config: &Config) -> Result<Self> {
        // Root's own directory must let the unprivileged user through to the data.
        let as_root = sys::effective_uid() == 0;
        create_path(&config.root, if as_root { 0o711 } else { 0o700 })?;
        let layout = Layout::find(config)?
            .ok_or_else(|| EmbeddedError::NotACluster { path: config.root.clone() })?;
        layout.check_owner()?;
        if !layout.marker().exists() {
            layout.write_file(
                &layout.marker(),
                b"made by Longhaul, see `longhaul db status`\n",
                0o600,
            )?;
        }
        Ok(layout)
    }

    /// The same without making anything; none if there is no such directory.
    pub(super) fn find(config: &Config) -> Result<Option<Self>> {
        let root = match fs::canonicalize(&config.root) {
            Ok(root) => root,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EmbeddedError::io("find", &config.root)(error)),
        };
        let about = fs::metadata(&root).map_err(EmbeddedError::io("look at", &root))?;
        Ok(Some(Layout { root, owner: about.uid(), group: about.gid() }))
    }

    fn check_owner(&self) -> Result<()> {
        let uid = sys::effective_uid();
        if uid == 0 || uid == self.owner {
            return Ok(());
        }
        Err(EmbeddedError::Owner {
            path: self.root.clone(),
            owner: self.owner,
            expected: uid,
            hint: "run as its owner, or choose another --home".to_owned(),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn owner(&self) -> u32 {
        self.owner
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }

    pub(super) fn owner_lock(&self) -> PathBuf {
        self.root.join("owner.lock")
    }

    /// What the guardian says about itself, see `record.rs`.
    pub(super) fn record(&self) -> PathBuf {
        self.root.join("owner.json")
    }

    /// Asks the guardian to stop.
    pub(super) fn stop_request(&self) -> PathBuf {
        self.root.join("stop.request")
    }

    /// Asks the guardian to go on although nobody uses the cluster.
    pub(super) fn keep(&self) -> PathBuf {
        self.root.join("keep")
    }

    pub(super) fn marker(&self) -> PathBuf {
        self.root.join(MARKER)
    }

    /// Our settings for Postgres. Outside the data, since that belongs to another user when we are
    /// root, and root must not write where somebody else could have put a link.
    pub(super) fn settings(&self) -> PathBuf {
        self.root.join("postgresql.conf")
    }

    /// Who may connect.
    pub(super) fn access(&self) -> PathBuf {
        self.root.join("pg_hba.conf")
    }

    /// Which user of the system is which user of the database.
    pub(super) fn identities(&self) -> PathBuf {
        self.root.join("pg_ident.conf")
    }

    pub(super) fn postgres_log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(super) fn guardian_log(&self) -> PathBuf {
        self.root.join("guardian.log")
    }

    /// The major version that the data was made with; none if there is no data yet.
    pub(super) fn data_major(&self) -> Result<Option<u32>> {
        let data = self.data();
        if !data.exists() {
            return Ok(None);
        }
        let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        let major = version.trim().parse().ok();
        major.map(Some).ok_or(EmbeddedError::NotACluster { path: data })
    }

    /// Where the socket goes: inside the root if its path fits into the kernel's structure.
    pub(super) fn socket_dir(&self) -> PathBuf {
        let inside = self.root.join("socket");
        if fits(&inside) {
            return inside;
        }
        let digest = hex::encode(Sha256::digest(self.root.as_os_str().as_bytes()));
        let hash = &digest[..8];
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        runtime
            .filter(|directory| directory.is_dir() && sys::effective_uid() != 0)
            .map(|directory| directory.join(format!("longhaul-{hash}")))
            .filter(|directory| fits(directory))
            .unwrap_or_else(|| {
                PathBuf::from(format!("/tmp/longhaul-{}-{hash}", sys::effective_uid()))
            })
    }

    /// Makes the directory of the socket for `user`; `open` lets others go through to the socket,
    /// where Postgres itself asks who they are.
    pub(super) fn prepare_socket_dir(&self, uid: u32, gid: u32, open: bool) -> Result<PathBuf> {
        let directory = self.socket_dir();
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(EmbeddedError::io("create", &directory)(error));
            }
            _ => self.distrust(&directory, uid)?,
        }
        chown(&directory, Some(uid), Some(gid))
            .map_err(EmbeddedError::io("hand over", &directory))?;
        set_mode(&directory, if open { 0o711 } else { 0o700 })?;
        Ok(directory)
    }

    /// In /tmp anybody could have made the directory before us, or a link in its place.
    fn distrust(&self, directory: &Path, uid: u32) -> Result<()> {
        let look = EmbeddedError::io("look at", directory);
        let about = fs::symlink_metadata(directory).map_err(look)?;
        // Inside the root only its owner can have made it.
        let trusted = directory.starts_with(&self.root)
            || [uid, sys::effective_uid(), self.owner].contains(&about.uid());
        if about.is_dir() && trusted {
            return Ok(());
        }
        Err(EmbeddedError::Owner {
            path: directory.to_path_buf(),
            owner: about.uid(),
            expected: uid,
            hint: "it may be a trap; remove it, or choose a --home with a shorter path".to_owned(),
        })
    }

    /// Opens a file of ours for reading and writing, making it if it is missing.
    pub(super) fn open_file(&self, path: &Path, append: bool) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).append(append).create(true);
        let open = options.mode(0o600).open(path);
        let file = open.map_err(EmbeddedError::io("open", path))?;
        self.own(&file, path)?;
        Ok(file)
    }

    /// Replaces a file of ours at once, so that a reader sees the old text or the new one.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        let mut draft = tempfile::Builder::new()
            .prefix(".draft-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(&self.root)
            .map_err(EmbeddedError::io("write", path))?;
        draft.write_all(bytes).map_err(EmbeddedError::io("write", path))?;
        self.own(draft.as_file(), path)?;
        // The umask may have taken some of it away.
        set_mode(draft.path(), mode)?;
        let kept = draft.persist(path).map_err(|failure| failure.error);
        kept.map(drop).map_err(EmbeddedError::io("write", path))
    }

    /// Finds out by trying whether a page can be written: a full disk silences everybody else.
    pub(super) fn check_writable(&self) -> Result<()> {
        tempfile::tempfile_in(&self.root)
            .and_then(|mut file| file.write_all(&[1; 4096]))
            .map_err(EmbeddedError::io("write to", &self.root))
    }

    /// When root acts in a directory of somebody else, the files must stay usable for that one.
    fn own(&self, file: &File, path: &Path) -> Result<()> {
        if sys::effective_uid() != 0 || self.owner == 0 {
            return Ok(());
        }
        std::os::unix::fs::fchown(file, Some(self.owner), Some(self.group))
            .map_err(EmbeddedError::io("hand over", path))
    }
}

fn fits(directory: &Path) -> bool {
    let socket = directory.join(format!(".s.PGSQL.{PORT}"));
    socket.as_os_str().len() < SOCKET_PATH_MAX
}

/// Like `mkdir -p`, with this mode for each directory that it makes, whatever the umask.
pub(super) fn create_path(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_path(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => set_mode(path, mode),
        // Somebody else made it at the same moment.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(EmbeddedError::io("create", path)(error)),
    }
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(EmbeddedError::io("set the permissions of", path))
}

/// Makes a rename or a new name in this directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(EmbeddedError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(root: &Path) -> Layout {
        Layout::prepare(&Config::new(root, root.join("bin"))).unwrap()
    }

    #[test]
    fn a_long_path_moves_the_socket_elsewhere() {
        let base = tempfile::tempdir().unwrap();
        let short = layout(&base.path().join("pg"));
        assert!(short.socket_dir().starts_with(short.root()));
        let long = layout(&base.path().join("x".repeat(90)).join("pg"));
        let elsewhere = long.socket_dir();
        assert!(!elsewhere.starts_with(long.root()) && fits(&elsewhere), "{elsewhere:?}");
        assert_eq!(elsewhere, long.socket_dir(), "the same at every call");
    }

    #[test]
    fn a_link_in_the_place_of_the_socket_directory_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let layout = layout(base.path());
        std::os::unix::fs::symlink("/tmp", layout.socket_dir()).unwrap();
        let (uid, gid) = (sys::effective_uid(), sys::effective_gid());
        let error = layout.prepare_socket_dir(uid, gid, false).unwrap_err();
        assert!(error.to_string().contains("trap"), "{error}");
    }

    #[test]
    fn data_without_a_version_is_not_a_cluster() {
        let base = tempfile::tempdir().unwrap();
        let layout = layout(base.path());
        assert_eq!(layout.data_major().unwrap(), None);
        fs::create_dir(layout.data()).unwrap();
        assert!(layout.data_major().is_err());
        fs::write(layout.data().join("PG_VERSION"), "17\n").unwrap();
        assert_eq!(layout.data_major().unwrap(), Some(17));
    }
}

//! Where Longhaul keeps things on this machine.
//!
//! Non-root: `$XDG_DATA_HOME/longhaul` (macOS: `~/Library/Application Support/longhaul`); root:
//! `/var/lib/longhaul`, because the unprivileged user of the database must be able to get there.
//! `--home` or `LONGHAUL_HOME` replaces it. Never: the database's own layout, see `embedded`.

use std::path::{Path, PathBuf};

/// The home directory and what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// A home at an explicit place. A relative path is taken from the current directory.
    pub fn at(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        Home { root: std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf()) }
    }

    /// `LONGHAUL_HOME`, else the home of this user on this platform.
    pub fn from_environment() -> Self {
        let named = std::env::var_os("LONGHAUL_HOME").filter(|v| !v.is_empty());
        named.map_or_else(Home::of_platform, Home::at)
    }

    /// The home of this user on this platform.
    pub fn of_platform() -> Self {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        if is_root {
            return Home::at("/var/lib/longhaul");
        }
        let under_home = |tail: &str| {
            std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(tail)
        };
        let base = match std::env::var_os("XDG_DATA_HOME").filter(|v| !v.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None if cfg!(target_os = "macos") => under_home("Library/Application Support"),
            None => under_home(".local/share"),
        };
        Home::at(base.join("longhaul"))
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Bare mirrors of repositories, one per repository.
    pub fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    /// One directory per execution.
    pub fn workspace(&self, execution_id: uuid::Uuid) -> PathBuf {
        self.root.join("workspaces").join(execution_id.to_string())
    }

    /// Lock files by which workers on this machine prove that they live.
    pub fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }
}

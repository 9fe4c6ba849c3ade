//! Removing a directory with everything in it, also where a program took away the right to do so.

use super::error::GitError;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes `path` and all below it; nothing there is fine. Links are removed, not followed.
pub async fn remove_tree(path: &Path) -> Result<(), GitError> {
    let owned = path.to_owned();
    let removed = tokio::task::spawn_blocking(move || remove(&owned)).await;
    removed.map_err(io::Error::other).flatten().map_err(GitError::files("cannot remove", path))
}

fn remove(path: &Path) -> io::Result<()> {
    match try_remove(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Caches of some toolchains are read-only directories.
            open_directories(path);
            try_remove(path)
        }
        // Something was added while we were at it; its writer has been ended by now.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => try_remove(path),
        other => other,
    }
}

fn try_remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_directories(path: &Path) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_directories(&entry.path());
        }
    }
}

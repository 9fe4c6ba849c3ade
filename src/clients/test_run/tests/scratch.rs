//! A folder for one test, gone when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The folder.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "longhaul-test-run-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder is made");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, or makes a folder for a name that ends in `/`.
    pub(super) fn write(&self, path: &str, text: &str) {
        let full = self.0.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(full).expect("a folder is made");
            return;
        }
        let folder = full.parent().expect("a file lies in a folder");
        fs::create_dir_all(folder).expect("a folder is made");
        fs::write(full, text).expect("a file is written");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it being gone.
        let _ = fs::remove_dir_all(&self.0);
    }
}

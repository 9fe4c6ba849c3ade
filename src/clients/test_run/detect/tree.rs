//! A look at the files of a repository that costs a bounded amount: at most so many files listed, so
//! deep, so many read, and so much of each.
//!
//! Only reads. Never follows a symbolic link, so that a repository cannot lead outside of itself.

use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Folders that hold what was built or installed, not what was written.
const SKIPPED: &[&str] = &[
    ".git",
    "node_modules",
    "target",
    "vendor",
    "dist",
    "build",
    ".venv",
    "venv",
    ".tox",
    ".nox",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".next",
    ".gradle",
    ".idea",
    "_build",
    "deps",
    ".cargo",
    "bower_components",
    "coverage",
    "obj",
    "site-packages",
    ".terraform",
];

const FILES_MAX: usize = 20_000;
const FOLDERS_MAX: usize = 5_000;
const DEPTH_MAX: usize = 12;
const READS_MAX: usize = 400;
const READ_BYTES_MAX: u64 = 256 * 1024;

/// The files of a repository.
pub(in super::super) struct Tree {
    root: PathBuf,
    /// Paths from the root with `/`, in order.
    files: Vec<String>,
    reads_left: Cell<usize>,
}

impl Tree {
    /// Lists the files below `root`. What cannot be read is left out.
    pub(in super::super) fn new(root: &Path) -> Self {
        let mut files = Vec::new();
        // Breadth first: when there are too many, the files near the root are those that matter.
        let mut folders = std::collections::VecDeque::from([(String::new(), 0)]);
        let mut visited = 0;
        while let Some((folder, depth)) = folders.pop_front() {
            visited += 1;
            if visited > FOLDERS_MAX || files.len() >= FILES_MAX {
                break;
            }
            for (name, is_folder) in entries(&root.join(&folder)) {
                let path = join(&folder, &name);
                if !is_folder {
                    files.push(path);
                } else if depth < DEPTH_MAX && !SKIPPED.contains(&name.as_str()) {
                    folders.push_back((path, depth + 1));
                }
            }
        }
        files.truncate(FILES_MAX);
        files.sort_unstable();
        Self { root: root.to_owned(), files, reads_left: Cell::new(READS_MAX) }
    }

    /// All files, as paths from the root with `/`, in order.
    pub(in super::super) fn files(&self) -> &[String] {
        &self.files
    }

    /// The folders directly below the root that hold any files, in order.
    pub(super) fn folders(&self) -> Vec<String> {
        let folders = self.files.iter().filter_map(|file| file.split_once('/'));
        let mut folders: Vec<String> = folders.map(|(folder, _)| folder.to_owned()).collect();
        folders.dedup();
        folders
    }

    /// The project that lies in a folder; `""` is the root.
    pub(super) fn project(&self, folder: &str) -> Project<'_> {
        Project { tree: self, folder: folder.to_owned() }
    }
}

/// Names in a folder, each with whether it is a folder itself.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .take(FILES_MAX)
        .flatten()
        .filter_map(|entry| {
            let kind = entry.file_type().ok()?;
            let name = entry.file_name().into_string().ok()?;
            (kind.is_dir() || kind.is_file()).then(|| (name, kind.is_dir()))
        })
        .collect()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A folder with a project in it. All paths are relative to that folder.
pub(super) struct Project<'t> {
    tree: &'t Tree,
    folder: String,
}

impl Project<'_> {
    /// The files of the project, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let folder = self.folder.as_str();
        self.tree.files.iter().filter_map(move |file| match folder {
            "" => Some(file.as_str()),
            _ => file.strip_prefix(folder)?.strip_prefix('/'),
        })
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.tree.files.binary_search(&join(&self.folder, path)).is_ok()
    }

    /// The first of some files that exists.
    pub(super) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Whether a path exists, also one in a folder that is not listed, such as `node_modules`.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The beginning of a file's text, `None` when it is missing or too many were read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        if !self.has(path) {
            return None;
        }
        let left = self.tree.reads_left.get().checked_sub(1)?;
        self.tree.reads_left.set(left);
        let mut bytes = Vec::new();
        let file = fs::File::open(self.path(path)).ok()?;
        file.take(READ_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// How to call a script: by its name when it may be executed, else through a shell.
    pub(super) fn runnable(&self, path: &str) -> String {
        let quoted = super::quoted(&format!("./{path}"));
        if is_executable(&self.path(path)) {
            return quoted;
        }
        let bash =
            self.read(path).is_some_and(|text| text.lines().next().unwrap_or("").contains("bash"));
        format!("{} {quoted}", if bash { "bash" } else { "sh" })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.tree.root.join(&self.folder).join(path)
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    false
}

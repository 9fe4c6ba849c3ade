//! What a git call said.

use std::path::PathBuf;

/// What a call printed, and whether it said no.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The output as text, without the last line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// The parts of an output that is separated by NUL.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        let parts = self.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| String::from_utf8_lossy(part).into_owned())
    }
}

/// The lock file that a call met, in git's words: `Unable to create '/x/index.lock': File exists.`
pub(super) fn lock_file_in(words: &str) -> Option<PathBuf> {
    let from = words.split_once("Unable to create '")?.1;
    let path = from.split_once("': File exists")?.0;
    path.ends_with(".lock").then(|| PathBuf::from(path))
}

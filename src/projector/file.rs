//! Files of read models: those that come with the program, and those of a user's directory.
//!
//! A file opens with comments, then makes its tables; after the line `-- fold` stands one statement
//! that folds the relation `batch` into them. Knows nothing of generations or of what was read.

use sha2::{Digest, Sha256};
use std::path::Path;

/// The read models that come with the program: name and text.
pub const BUILT_IN: [(&str, &str); 10] = [
    ("execution_list", include_str!("../../projections/execution_list.sql")),
    ("execution_timeline", include_str!("../../projections/execution_timeline.sql")),
    ("active_executions", include_str!("../../projections/active_executions.sql")),
    ("stage_stats", include_str!("../../projections/stage_stats.sql")),
    ("task_stats", include_str!("../../projections/task_stats.sql")),
    ("retry_stats", include_str!("../../projections/retry_stats.sql")),
    ("cost_ledger", include_str!("../../projections/cost_ledger.sql")),
    ("worker_activity", include_str!("../../projections/worker_activity.sql")),
    ("daily_metrics", include_str!("../../projections/daily_metrics.sql")),
    ("failure_reasons", include_str!("../../projections/failure_reasons.sql")),
];

/// One file.
#[derive(Clone, Debug)]
pub struct File {
    /// The read model, and its main table.
    pub name: String,
    /// The text.
    pub text: String,
}

impl File {
    /// SHA-256 of the text, in hex: what tells a change.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.text.as_bytes()))
    }

    /// Event types that it says it handles, and those it says it ignores.
    pub fn types(&self) -> (Vec<&str>, Vec<&str>) {
        let of = |mark: &str| {
            let lines = self.text.lines().filter_map(|l| l.trim().strip_prefix(mark));
            lines.flat_map(|l| l.split(',')).map(str::trim).filter(|t| !t.is_empty()).collect()
        };
        (of("-- handles:"), of("-- ignores:"))
    }

    /// What makes the tables, and what folds; or what is wrong with the file.
    pub(super) fn parts(&self) -> Result<(&str, &str), String> {
        let mark = "\n-- fold\n";
        let (tables, fold) = self
            .text
            .split_once(mark)
            .ok_or_else(|| format!("`{}` has no line `-- fold` before its statement", self.name))?;
        let fold = fold.trim().trim_end_matches(';').trim();
        if fold.is_empty() {
            return Err(format!("`{}` has no statement after `-- fold`", self.name));
        }
        Ok((tables, fold))
    }
}

/// The read models that come with the program.
pub fn built_in() -> Vec<File> {
    let file = |(name, text): &(&str, &str)| File { name: (*name).into(), text: (*text).into() };
    BUILT_IN.iter().map(file).collect()
}

/// The files `*.sql` of a directory, in the order of their names. The error says which cannot be read.
pub fn of_directory(directory: &Path) -> Result<Vec<File>, String> {
    let said = |e: std::io::Error| {
        format!(
            "the read models of {} cannot be read: {e}; mend LONGHAUL_PROJECTIONS",
            directory.display()
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(said)? {
        let path = entry.map_err(said)?.path();
        let Some(name) = path.file_stem().and_then(|n| n.to_str()) else { continue };
        if path.extension().is_none_or(|e| e != "sql") {
            continue;
        }
        if !is_name(name) {
            return Err(format!(
                "{}: a read model is named in small letters, digits and _, at most 40",
                path.display()
            ));
        }
        if BUILT_IN.iter().any(|(known, _)| *known == name) {
            return Err(format!(
                "{}: `{name}` comes with the program; give yours another name",
                path.display()
            ));
        }
        files.push(File {
            name: name.to_owned(),
            text: std::fs::read_to_string(&path).map_err(said)?,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

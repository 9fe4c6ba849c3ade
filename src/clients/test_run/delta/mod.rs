//! Compares the tests before and after a change, from its diff alone: an agent that is told to make
//! tests pass may be tempted to delete or disable them.
//!
//! Looks only at definitions of tests. Does not know whether a test still checks anything: a change that
//! empties a test's body is not seen here.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

mod definitions;
mod diff;

use definitions::Found;
use diff::FileDiff;

use super::languages;

/// What a change does to the tests of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDelta {
    /// Test files that are gone, or renamed so that no runner finds them. A file whose tests all turn up
    /// elsewhere in the change is not listed.
    pub deleted_files: Vec<String>,
    /// Tests that were there and are not any more. A renamed test is one removed and one added.
    pub removed_tests: usize,
    /// Tests that were not there before.
    pub added_tests: usize,
    /// Marks that keep a test from running (`#[ignore]`, `it.skip`, `t.Skip(...)`), or all others
    /// (`it.only`), which were not there before. A new test that comes with such a mark counts as well.
    pub newly_ignored: usize,
}

impl TestDelta {
    /// Whether the change takes tests away in any of these ways.
    pub fn weakens_tests(&self) -> bool {
        !self.deleted_files.is_empty()
            || self.removed_tests > self.added_tests
            || self.newly_ignored > 0
    }
}

/// Reads a unified diff as git writes it (with or without rename detection) and compares the tests.
///
/// Tests are told apart by their names over the whole change, so that a test which moves to another file
/// is neither removed nor added. A parametrised test counts once; groups of tests (`describe`, a class)
/// do not count by themselves.
pub fn test_count_delta(diff: &str) -> TestDelta {
    let files = diff::parse(diff);
    let mut balance = Balance::default();
    let mut deleted: Vec<(&str, Vec<String>)> = Vec::new();
    for file in &files {
        let before = found(file, Side::Old);
        let after = found(file, Side::New);
        balance.add(&before, -1);
        balance.add(&after, 1);
        if is_gone(file) {
            deleted.push((&file.old_path, before.tests));
        }
    }
    let moved = |tests: &[String]| {
        !tests.is_empty()
            && tests.iter().all(|test| balance.tests.get(test).is_none_or(|n| *n >= 0))
    };
    TestDelta {
        deleted_files: deleted
            .into_iter()
            .filter(|(_, tests)| !moved(tests))
            .map(|(path, _)| path.to_owned())
            .collect(),
        removed_tests: sum(balance.tests.values().map(|n| -n)),
        added_tests: sum(balance.tests.values().copied()),
        newly_ignored: sum(balance.marks.values().copied()),
    }
}

fn sum(differences: impl Iterator<Item = i64>) -> usize {
    let positive = differences.filter_map(|n| usize::try_from(n).ok());
    positive.fold(0, usize::saturating_add)
}

#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

/// Tests and marks on one side of a file's hunks. What is unchanged stands on both and cancels out.
fn found(file: &FileDiff<'_>, side: Side) -> Found {
    let path = match side {
        Side::Old => &file.old_path,
        Side::New => &file.new_path,
    };
    let mut all = Found::default();
    let Some(language) = languages::language_of(path) else {
        return all;
    };
    for hunk in &file.hunks {
        let lines = match side {
            Side::Old => &hunk.old,
            Side::New => &hunk.new,
        };
        all.extend(definitions::find(language, lines));
    }
    all
}

/// Whether a test file is not one any more.
fn is_gone(file: &FileDiff<'_>) -> bool {
    is_test_path(&file.old_path)
        && (file.deleted || (file.new_path != file.old_path && !is_test_path(&file.new_path)))
}

/// How many more of each there are after the change than before.
#[derive(Default)]
struct Balance {
    tests: HashMap<String, i64>,
    marks: HashMap<String, i64>,
}

impl Balance {
    fn add(&mut self, found: &Found, sign: i64) {
        for test in &found.tests {
            *self.tests.entry(test.clone()).or_default() += sign;
        }
        for mark in &found.marks {
            *self.marks.entry(mark.clone()).or_default() += sign;
        }
    }
}

/// Whether a path is that of tests, by the usual names of files and folders.
pub fn is_test_path(path: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "test",
        "tests",
        "__tests__",
        "spec",
        "specs",
        "e2e",
        "testdata",
        "test_data",
        "androidTest",
    ];
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or("");
    if parts.iter().any(|folder| FOLDERS.contains(folder) || folder.ends_with(".Tests")) {
        return true;
    }
    let Some((stem, ending)) = name.rsplit_once('.') else {
        return false;
    };
    match ending {
        "bats" => true,
        "t" => parts.first() == Some(&"t"),
        "java" | "kt" | "kts" | "scala" | "groovy" | "cs" | "fs" | "php" | "swift" => {
            ["Test", "Tests", "Spec", "Specs", "TestCase", "IT"]
                .iter()
                .any(|end| stem.ends_with(end))
        }
        _ if languages::language_of(name).is_none() => false,
        _ => {
            let middle = stem.rsplit_once('.').map_or("", |(_, middle)| middle);
            stem.starts_with("test_")
                || ["_test", "_tests", "_spec", "-test", "-spec"]
                    .iter()
                    .any(|end| stem.ends_with(end))
                || ["test", "tests", "spec", "conftest"].contains(&stem)
                || ["test", "spec", "e2e", "cy"].contains(&middle)
        }
    }
}

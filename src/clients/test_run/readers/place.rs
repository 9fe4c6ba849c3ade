//! Finds the file and line that a failure message points to.
//!
//! Knows how stack traces of the usual languages write a place, and which files are never the cause:
//! those of the framework, the runtime or a dependency.

use crate::clients::test_run::text::patterns;

patterns! {
    FILE_LINE = r#"(?:^|[\s("'`│])(?:file://)?((?:[A-Za-z]:)?[\w@.+/\\~-]*\w\.(?:rs|py|jsx?|tsx?|[mc][jt]s|vue|svelte|go|java|kts?|scala|groovy|cs|fs|vb|rb|php|exs?|erl|c|cc|cpp|cxx|h|hh|hpp|mm?|swift|dart|lua|p[lm]|t|sh|bats|zig|hs|ml|clj|jl|sql|toml|ya?ml)):(?:line )?(\d{1,7})\b"#;
    PYTHON_FRAME = r#"File "([^"]+)", line (\d{1,7})"#;
}

/// A file as printed and a line in it, from 1.
pub(super) type Place = (String, u64);

/// Parts of paths that belong to a runtime or a dependency.
const FOREIGN: &[&str] = &[
    "node_modules/",
    "site-packages/",
    "dist-packages/",
    "/lib/python",
    ".cargo/registry/",
    "/rustc/",
    "rustlib/",
    "/usr/lib/",
    "/usr/share/",
    "/usr/local/go/",
    "/vendor/",
    "/gems/",
    "node:",
    "ext:",
    "<frozen ",
    "internal/process",
    "/deps/",
    "doctest_bundle",
    "_testmain.go",
];

/// Whether a file is the reporter's, the runtime's or a dependency's.
fn is_foreign(file: &str) -> bool {
    FOREIGN.iter().any(|part| file.contains(part)) || file.starts_with("vendor/")
}

/// The place in the repository's own code that a line names.
fn place_in(line: &str) -> Option<Place> {
    // A cheap look before the patterns: no place without a dot and a digit.
    if !line.contains('.') || line.len() > 2_000 {
        return None;
    }
    let found = PYTHON_FRAME.captures(line).or_else(|| FILE_LINE.captures(line))?;
    let file = found[1].trim_start_matches("./").to_owned();
    let line = found[2].parse().ok()?;
    (!is_foreign(&file)).then_some((file, line))
}

/// The first place of the repository's own code.
pub(super) fn first(lines: &[&str]) -> Option<Place> {
    lines.iter().find_map(|line| place_in(line))
}

/// The last place of the repository's own code: where the innermost call is printed last.
pub(super) fn last(lines: &[&str]) -> Option<Place> {
    lines.iter().rev().find_map(|line| place_in(line))
}

/// The first place inside `file`, else the first one at all.
pub(super) fn first_in(lines: &[&str], file: &str) -> Option<Place> {
    lines
        .iter()
        .filter_map(|line| place_in(line))
        .find(|(found, _)| found.ends_with(file) || file.ends_with(found.as_str()))
        .or_else(|| first(lines))
}

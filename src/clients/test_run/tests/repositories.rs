//! Which test commands repositories want: `tests/test_run/repositories.cases`, where each case is a few
//! files and the plans for them.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::samples::write;
use crate::clients::test_run::{TestPlan, detect, languages};

/// A case: its title, programs on the path, files with their texts, expected lines.
#[derive(Default)]
struct Case {
    title: String,
    which: HashSet<String>,
    files: Vec<(String, String)>,
    expected: Vec<String>,
}

fn cases() -> Vec<Case> {
    let path =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test_run/repositories.cases"));
    let text = fs::read_to_string(path).expect("the cases exist");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("== ")) {
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case { title: title.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case has begun");
        if let Some(programs) = line.strip_prefix("which: ") {
            case.which = programs.split(' ').map(str::to_owned).collect();
        } else if let Some(file) = line.strip_prefix("--- ") {
            case.files.push((file.to_owned(), String::new()));
        } else if line.starts_with("=> ")
            || line.starts_with("   hint: ")
            || line.starts_with("   report: ")
        {
            case.expected.push(line.to_owned());
        } else if let (Some((_, text)), true) = (case.files.last_mut(), case.expected.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
    }
    cases
}

fn shown(plan: &TestPlan) -> Vec<String> {
    let mut lines = vec![format!(
        "=> {} | {} | {} | {}",
        plan.language,
        plan.framework.name(),
        plan.command,
        plan.why
    )];
    lines.extend(plan.hint.as_ref().map(|hint| format!("   hint: {hint}")));
    lines.extend(plan.report.as_ref().map(|report| format!("   report: {}", report.path)));
    lines
}

fn check(case: &Case) -> Option<String> {
    let scratch = tempfile::tempdir().expect("a folder is made");
    for (path, text) in &case.files {
        write(scratch.path(), path, text);
    }
    let plans = detect(scratch.path(), &|program| case.which.contains(program));
    let mut actual: Vec<String> = plans.iter().flat_map(shown).collect();
    if actual.is_empty() {
        actual.push("=> nothing".to_owned());
    }
    let (expected, actual) = (case.expected.join("\n"), actual.join("\n"));
    (expected != actual)
        .then(|| format!("== {}\nexpected:\n{expected}\nactual:\n{actual}\n", case.title))
}

#[test]
fn every_repository_gets_its_command() {
    let wrong: Vec<String> = cases().iter().filter_map(check).collect();
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_folder_that_does_not_exist_wants_nothing() {
    let missing = PathBuf::from("/no/such/folder/anywhere");
    assert_eq!(detect(&missing, &|_| true), Vec::new());
    assert_eq!(languages(&missing), Vec::new());
}

#[test]
fn languages_are_counted_without_what_was_built_or_installed() {
    let scratch = tempfile::tempdir().expect("a folder is made");
    for path in [
        "src/a.rs",
        "src/b.rs",
        "web/a.ts",
        "setup.PY",
        "README.md",
        "target/debug/c.rs",
        "node_modules/x/index.js",
        "vendor/y.rb",
        ".git/hooks/z.py",
    ] {
        write(scratch.path(), path, "");
    }
    let expected = [("Rust", 2), ("Python", 1), ("TypeScript", 1)];
    let expected: Vec<(String, usize)> =
        expected.into_iter().map(|(name, files)| (name.to_owned(), files)).collect();
    assert_eq!(languages(scratch.path()), expected);
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed() {
    let outside = tempfile::tempdir().expect("a folder is made");
    write(outside.path(), "Cargo.toml", "[package]");
    let inside = tempfile::tempdir().expect("a folder is made");
    std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).expect("a link is made");
    std::os::unix::fs::symlink(inside.path(), inside.path().join("loop")).expect("a link is made");
    assert_eq!(detect(inside.path(), &|_| true), Vec::new());
}

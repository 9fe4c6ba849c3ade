//! The domain, told in stories: each file of `tests/scenarios/` is a test.
//!
//! The notation is explained in `tests/scenarios/README.txt`. To add a story, write it under its
//! heading with an empty `then`, run with `LONGHAUL_UPDATE=1`, and read what was filled in: a story
//! is right when a person finds it right.

#[path = "scenarios/heading.rs"]
pub(crate) mod heading;
#[path = "scenarios/notation.rs"]
pub(crate) mod notation;
#[path = "scenarios/story.rs"]
pub(crate) mod story;

use std::path::{Path, PathBuf};
use story::{Story, Unreadable, Wrong};

macro_rules! files {
    ($($name:ident: $file:literal),* $(,)?) => {
        /// The files that are told.
        pub(crate) const FILES: &[&str] = &[$($file),*];
        $(#[test] fn $name() { check($file); })*
    };
}

files! {
    a_life: "a_life.txt",
    stages: "stages.txt",
    retries: "retries.txt",
    repair: "repair.txt",
    persons: "persons.txt",
    waiting: "waiting.txt",
    signals: "signals.txt",
    cancelling: "cancelling.txt",
    workers: "workers.txt",
    bounds: "bounds.txt",
    branches: "branches.txt",
    the_end: "the_end.txt",
    histories: "histories.txt",
}

/// Where the stories lie.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// The text of a file of stories.
pub(crate) fn read(file: &str) -> String {
    let path = directory().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The stories of a file.
pub(crate) fn stories_of(file: &str) -> Vec<Story> {
    let unreadable = |(line, said): Unreadable| panic!("tests/scenarios/{file}:{line}: {said}");
    story::stories(&read(file)).unwrap_or_else(unreadable)
}

fn check(file: &str) {
    let mut wrong = Vec::new();
    for story in stories_of(file) {
        let told = story::tell(&story).unwrap_or_else(|(line, said)| {
            panic!("tests/scenarios/{file}:{line}: {}\n  {said}", story.title)
        });
        wrong.extend(told.wrong);
    }
    if std::env::var_os("LONGHAUL_UPDATE").is_some() {
        std::fs::write(directory().join(file), updated(&read(file), &wrong)).expect("written");
        return;
    }
    let said: Vec<String> = wrong.iter().map(|w| explained(file, w)).collect();
    assert!(said.is_empty(), "{}\n{HINT}", said.join("\n"));
}

const HINT: &str = "`-` is written, `+` is the case. If the new behaviour is right, edit the lines \
                    or run with LONGHAUL_UPDATE=1 and read the diff; if not, mend src/workflow.";

fn explained(file: &str, wrong: &Wrong) -> String {
    let Wrong { title, lines: (first, _), keyword, written, actual } = wrong;
    let marked = |mark: char, ours: &[String], theirs: &[String]| {
        let line = |l: &String| format!("  {} {l}\n", if theirs.contains(l) { ' ' } else { mark });
        ours.iter().map(line).collect::<String>()
    };
    let (minus, plus) = (marked('-', written, actual), marked('+', actual, written));
    format!("\ntests/scenarios/{file}:{first}: {title}\n{keyword}\n{minus}{plus}")
}

/// The text with what is the case in place of what was written.
fn updated(text: &str, wrong: &[Wrong]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for Wrong { lines: (first, last), keyword, actual, .. } in wrong.iter().rev() {
        let shown = actual.iter().enumerate().map(|(i, line)| {
            let head = if i == 0 { keyword.as_str() } else { "" };
            format!("{head:<8}{line}")
        });
        lines.splice(first - 1..*last, shown.collect::<Vec<_>>());
    }
    lines.join("\n") + "\n"
}

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
use story::{Story, Told, Unreadable, Wrong};

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

/// What a story gives when it is told.
pub(crate) fn told(file: &str, story: &Story) -> Told {
    story::tell(story).unwrap_or_else(|(line, said)| {
        panic!("tests/scenarios/{file}:{line}: {}\n  {said}", story.title)
    })
}

fn check(file: &str) {
    let stories = stories_of(file);
    assert!(!stories.is_empty(), "tests/scenarios/{file} tells nothing; remove it from the list");
    let wrong: Vec<Wrong> = stories.iter().flat_map(|s| told(file, s).wrong).collect();
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

fn told_of(text: &str) -> Result<Told, Unreadable> {
    story::tell(&story::stories(text)?[0])
}

#[test]
fn a_failing_story_says_what_is_the_case_and_what_to_edit() {
    let text = "# Build, then ship.\nstages  build\ngiven   ExecutionRequested\nwhen    Start build\n\
                then    StageStarted build #2\n";
    let told = told_of(text).expect("readable");
    let said = explained("build.txt", &told.wrong[0]);
    insta::assert_snapshot!(said, @r"

    tests/scenarios/build.txt:5: Build, then ship
    then
      - StageStarted build #2
      + StageStarted build #1
    ");
    let mended = updated(text, &told.wrong);
    assert!(mended.ends_with("then    StageStarted build #1\n"), "{mended}");
    assert!(told_of(&mended).expect("readable").wrong.is_empty());
}

#[test]
fn an_unreadable_story_says_where_and_why() {
    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let (line, said) =
            told_of(&format!("# A story.\nstages  build\n{lines}")).expect_err(lines);
        assert_eq!(format!("{line}: {said}"), expected);
    }
    check(
        "whenn   Start build",
        "3: `whenn` is no keyword; there are given, at, when, then, next, state, [\"workflow\", \"catalog\", \"stages\", \"limits\", \"input\", \"settings\", \"task\"]",
    );
    check("at      noon", "3: `noon` is no time; write +30s");
    check("at      +2s\nat      +1s", "4: it is +2s already; time does not go back");
    check("then    nothing", "3: `then` of nothing: no `when` before");
    check(
        "when    Start build",
        "3: refused: the execution does not exist\n  (and no `then` says so)",
    );
    check(
        "when    Strat build",
        "3: `Strat build`: unknown variant `Strat`, expected one of `Request`, `Claim`, `Start`, `Skip`, `RecordStep`, `Progress`, `Succeed`, `Fail`, `Wait`, `Wake`, `ExpireWait`, `Interrupt`, `Abandon`, `Signal`, `Pause`, `Resume`, `Cancel`, `ConfirmCancel`, `Conclude`, `Rewind`, `Retry`",
    );
    check("given   StageStarted build #x", "3: `#x` is no attempt");
    check("stages  build hurry", "3: `build hurry`: what is `hurry`?");
    check("stages  build when input.x about 3", "3: a condition on `input.x` has no test `about`");
    check("catalog  hotfixx", "3: there is no workflow `hotfixx`");
}

#[test]
fn durations_and_times_are_shown_as_they_are_read() {
    for text in ["0s", "250ms", "15s", "1h30m", "7d5s", "1d2h3m4s5ms"] {
        let ms = notation::duration(text).expect(text);
        assert_eq!(notation::show_duration(ms), text);
        assert_eq!(
            notation::time(&format!("+{text}")).map(notation::show_time),
            Some(format!("+{text}"))
        );
    }
    for text in ["", "15", "s", "15x", "1h-2m"] {
        assert_eq!(notation::duration(text), None, "{text}");
    }
}

#[test]
fn every_file_of_stories_is_told() {
    let entries = std::fs::read_dir(directory()).expect("tests/scenarios");
    let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut untold: Vec<String> =
        names.filter(|n| n != "README.txt" && !FILES.contains(&n.as_str())).collect();
    untold.sort();
    assert!(untold.is_empty(), "name these in `files!` of tests/it/scenarios.rs: {untold:?}");
}

//! The rules of the repository itself. A message names the place and the mend.
//!
//! A rule that has exceptions lists them with their reason; such a list only shrinks.

#[path = "tidy/readme.rs"]
mod readme;
#[path = "tidy/source.rs"]
mod source;

use crate::replay;
use crate::scenarios;
use longhaul::workflow::event::Event;
use source::{Source, files, root, shown, source, sources};

#[track_caller]
fn none(broken: &[String], mend: &str) {
    assert!(broken.is_empty(), "\n  {}\n{mend}", broken.join("\n  "));
}

/// Whether `word` stands in `line` as a whole word or path.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let after = line[at + word.len()..].chars().next().is_some_and(is_part);
        !(before && word.starts_with(is_part) || after && word.ends_with(is_part))
    })
}

const PURE: [&str; 5] = ["src/workflow/", "src/task/", "src/replay", "src/view.rs", "src/audit/"];
const IMPURE: [&str; 19] = [
    "tokio",
    "sqlx",
    "reqwest",
    "rand",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "new_v4",
    "now_v7",
    "async fn",
    "tracing",
    "unsafe",
];

#[test]
fn the_core_is_pure() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|s| PURE.iter().any(|p| s.path.starts_with(p))) {
        for (number, line) in file.program() {
            let found = IMPURE.iter().find(|word| has_word(line, word));
            broken.extend(found.map(|word| format!("{}:{number}: `{word}`", file.path)));
        }
    }
    none(
        &broken,
        "The core knows no time, chance or outside: take it as an argument, and ask for it \
                   in a shell (engine, worker, cli).",
    );
}

/// Who may use whom. Arrows point down; what is not listed is not allowed.
const MAY_USE: &[(&str, &[&str])] = &[
    ("config", &["workflow"]),
    ("workflow", &["config"]),
    ("task", &[]),
    ("clock", &[]),
    ("archive", &["store"]),
    ("embedded", &[]),
    ("replay", &["workflow", "config"]),
    ("audit", &["store"]),
    ("monitor", &["config", "store"]),
    ("view", &["workflow", "store"]),
    ("clients", &["clock", "config", "task", "workflow"]),
    ("stages", &["clients", "clock", "config", "task", "workflow"]),
    ("store", &["clock", "config", "task", "workflow"]),
    ("projector", &["clock", "config", "store", "workflow"]),
    ("worker", &["clients", "clock", "config", "monitor", "stages", "store", "task", "workflow"]),
    (
        "engine",
        &[
            "archive",
            "audit",
            "clients",
            "clock",
            "config",
            "embedded",
            "monitor",
            "projector",
            "replay",
            "stages",
            "store",
            "task",
            "view",
            "worker",
            "workflow",
        ],
    ),
    (
        "server",
        &[
            "clock", "config", "engine", "replay", "stages", "store", "task", "view", "worker",
            "workflow",
        ],
    ),
    (
        "bench",
        &[
            "clock",
            "config",
            "engine",
            "stages",
            "projector",
            "store",
            "task",
            "view",
            "worker",
            "workflow",
        ],
    ),
    (
        "cli",
        &[
            "archive",
            "audit",
            "bench",
            "clients",
            "clock",
            "config",
            "embedded",
            "engine",
            "monitor",
            "projector",
            "replay",
            "server",
            "stages",
            "store",
            "task",
            "view",
            "worker",
            "workflow",
        ],
    ),
];

/// The module a file belongs to: `store` of `src/store/append.rs`.
fn module_of(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
}

/// Modules named as `crate::NAME` in a line; names in upper case are re-exports of `lib.rs`.
fn uses(line: &str) -> Vec<&str> {
    let after = line.match_indices("crate::").map(|(at, word)| &line[at + word.len()..]);
    let name = |rest: &'_ str| {
        rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
    };
    after
        .map(|rest| &rest[..name(rest)])
        .filter(|n| n.starts_with(|c: char| c.is_lowercase()))
        .collect()
}

#[test]
fn arrows_point_down() {
    let mut broken = Vec::new();
    for file in
        sources().iter().filter(|s| !matches!(s.path.as_str(), "src/lib.rs" | "src/main.rs"))
    {
        let module = module_of(&file.path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            broken.push(format!(
                "{}: module `{module}` has no line in MAY_USE of tests/it/tidy.rs",
                file.path
            ));
            continue;
        };
        for (number, line) in file.program() {
            let wrong =
                uses(line).into_iter().find(|used| *used != module && !allowed.contains(used));
            broken.extend(
                wrong.map(|used| format!("{}:{number}: `{module}` uses `{used}`", file.path)),
            );
        }
    }
    none(
        &broken,
        "Arrows point down: cli -> server, engine -> worker -> stages -> clients; all shells \
                   -> store -> workflow, task. Move the code down, or hand over what it needs.",
    );
}

/// Where SQL may stand outside of `src/store`: the folder, how the text begins, and why.
const SQL_ELSEWHERE: &[(&str, &str, &str)] = &[
    ("src/projector", "", "applies the files of projections/"),
    ("src/embedded/", "select 1", "asks whether the server answers, before there is a pool"),
    ("src/embedded/", "create database", "makes the database that the store then connects to"),
];

/// Whether a text is a statement. Prose may begin with the same words, so that more is asked for.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    let text =
        text.strip_prefix("/*").and_then(|t| t.split_once("*/")).map_or(text, |(_, rest)| rest);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let things = [
        "table",
        "index",
        "unique index",
        "database",
        "schema",
        "view",
        "function",
        "role",
        "extension",
    ];
    let made = |verb: &str| {
        text.strip_prefix(verb)
            .is_some_and(|rest| things.iter().any(|t| rest.starts_with(&format!(" {t} "))))
    };
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    text.strip_prefix("select ")
        .is_some_and(|rest| rest.contains(" from ") || rest.contains('(') || digit(rest))
        || text.starts_with("with ") && text.contains(" as (")
        || text.starts_with("insert into ")
        || text.starts_with("delete from ")
        || text.starts_with("update ") && text.contains(" set ")
        || ["create", "alter", "drop"].into_iter().any(made)
        || text.starts_with("truncate table ")
}

#[test]
fn sql_has_one_home() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|s| !s.path.starts_with("src/store/")) {
        for (number, text) in file.texts().filter(|(_, text)| is_sql(text)) {
            let lower = text.to_lowercase();
            let is_known = |(folder, begins, _): &&(&str, &str, &str)| {
                file.path.starts_with(*folder) && lower.starts_with(*begins)
            };
            if SQL_ELSEWHERE.iter().find(is_known).is_none() {
                broken.push(format!("{}:{number}: {text:?}", file.path));
            }
        }
        let is_projector = file.path.starts_with("src/projector");
        let drivers = file.program().filter(|(_, line)| !is_projector && has_word(line, "sqlx"));
        broken.extend(
            drivers.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim())),
        );
    }
    none(&broken, "SQL lives in src/store, one file per noun: add a function there and call it.");
}

#[test]
fn every_file_says_why_it_exists() {
    let silent = sources().into_iter().filter(|s| !s.text.starts_with("//! "));
    let broken: Vec<String> = silent.map(|s| s.path).collect();
    none(&broken, "Open the file with `//!`: what it is for, and what it does not know.");
}

const LINES_MAX: usize = 500;

/// Files that are longer, with the number of lines they must not exceed. Shrinks only.
const LONG_FILES: &[(&str, usize)] = &[];

#[test]
fn files_can_be_read_in_a_sitting() {
    let mut broken = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        let allowed =
            LONG_FILES.iter().find(|(path, _)| *path == file.path).map(|(_, lines)| *lines);
        if lines > allowed.unwrap_or(LINES_MAX) {
            broken.push(format!(
                "{}: {lines} lines, at most {}",
                file.path,
                allowed.unwrap_or(LINES_MAX)
            ));
        } else if allowed.is_some_and(|allowed| lines < allowed) {
            broken.push(format!("{}: {lines} lines now; lower its line in LONG_FILES", file.path));
        }
    }
    none(&broken, "Which noun wants to leave? Give it a file of its own.");
}

#[test]
fn output_belongs_to_the_command_line() {
    let macros = ["println!", "print!", "eprintln!", "eprint!", "dbg!"];
    let mut broken = Vec::new();
    for file in
        sources().iter().filter(|s| !s.path.starts_with("src/cli/") && s.path != "src/main.rs")
    {
        for (number, line) in file.program() {
            let found = macros.iter().find(|word| has_word(line, word));
            broken.extend(found.map(|word| format!("{}:{number}: `{word}`", file.path)));
        }
    }
    none(&broken, "Stdout belongs to src/cli: return the text, or log it with `tracing`.");
}

/// Folders whose files are ours; those of samples hold other people's words.
const OURS: [&str; 8] = [
    "src",
    "tests/it",
    "tests/scenarios",
    "examples",
    "migrations",
    "projections",
    "replay",
    ".ci",
];

/// Files that have such a word for a reason.
const SUCH_WORDS: &[(&str, &str)] =
    &[("src/clients/test_run/readers/", "a directive of the Test Anything Protocol")];

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut broken = Vec::new();
    let tops =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Cargo.toml"].map(|f| root().join(f));
    for path in OURS.iter().flat_map(|folder| files(folder)).chain(tops) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if SUCH_WORDS.iter().any(|(folder, _)| shown(&path).starts_with(folder)) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let found = marks.iter().find(|mark| has_word(line, mark));
            broken.extend(found.map(|mark| format!("{}:{}: {mark}", shown(&path), index + 1)));
        }
    }
    none(&broken, "Do it now, or write an issue and link it.");
}

#[test]
fn every_event_has_a_story_and_a_history() {
    let stories: String = scenarios::FILES.iter().map(|file| scenarios::read(file)).collect();
    let histories: Vec<_> = replay::names().iter().flat_map(|name| replay::lines(name)).collect();
    let mut broken = Vec::new();
    for name in Event::NAMES {
        if !has_word(&stories, name) {
            broken.push(format!("{name}: no story in tests/scenarios/ mentions it"));
        }
        if !histories.iter().any(|line| line["type"] == name) {
            broken.push(format!("{name}: no history in replay/ has it"));
        }
    }
    none(&broken, "Tell a story; `record NAME` in it and LONGHAUL_RECORD=1 keep its history.");
}

#[test]
fn every_known_event_is_one_of_the_names() {
    let text = include_str!("../../src/workflow/event.rs");
    let (_, variants) = text.split_once("pub enum Event {").expect("the enum");
    let (variants, _) = variants.split_once("\n}\n").expect("its end");
    let is_variant =
        |line: &&str| line.starts_with("    ") && line.as_bytes()[4].is_ascii_uppercase();
    let name =
        |line: &str| line.trim().split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned);
    let names: Vec<String> =
        variants.lines().filter(|l| l.len() > 4).filter(is_variant).filter_map(name).collect();
    assert_eq!(names, Event::NAMES, "Event::NAMES lists the variants of `Event`, in their order");
}

/// The rules themselves are tried, so that a rule that finds nothing is not a rule that sees nothing.
mod rules {
    use super::*;

    fn lexed(text: &str) -> Source {
        source("src/x.rs", text.to_owned())
    }

    #[test]
    fn comments_and_texts_are_not_code() {
        let file = lexed(
            "let a = \"x // y\"; // z\n/* w\n*/ let b = r#\"q\"q\"#; let c = '\"'; f::<'a>()\n",
        );
        assert_eq!(file.code, ["let a = \"\"; ", "", " let b = \"\"; let c = ; f::<'a>()"]);
        let strings = [(1, "x // y".to_owned()), (3, "q\"q".to_owned())];
        assert_eq!(file.strings, strings);
    }

    #[test]
    fn tests_at_the_end_are_not_the_program() {
        let file = lexed("fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\n");
        let program: Vec<(usize, &str)> = file.program().collect();
        assert_eq!(program, [(1, "fn a() {}")]);
        assert_eq!(source("src/task/tests.rs", "fn a() {}\n".to_owned()).program().count(), 0);
    }

    #[test]
    fn statements_are_told_from_prose() {
        let sql = [
            "select 1",
            "/* head */ SELECT a\n  FROM t",
            "with x as (select 1) select 2",
            "insert into t values (1)",
            "update t set a = 1",
            "create unique index i on t (a)",
        ];
        let prose = [
            "select a file",
            "update the readme",
            "with care",
            "create a table of contents",
            "drop it",
        ];
        assert_eq!(sql.map(is_sql), [true; 6]);
        assert_eq!(prose.map(is_sql), [false; 5]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use rand::Rng;", "rand") && !has_word("operand", "rand"));
        assert!(has_word("Utc::now()", "Utc::now") && !has_word("brandy, rand_x", "rand"));
        assert!(has_word("println!(x)", "println!") && !has_word("eprintln!(x)", "println!"));
        assert!(has_word("x: async fn f()", "async fn"));
        assert_eq!(
            uses("use crate::store::{A}; crate::Longhaul; crate::view::b()"),
            ["store", "view"]
        );
        assert_eq!(module_of("src/store/append.rs"), "store");
        assert_eq!(module_of("src/view.rs"), "view");
    }
}

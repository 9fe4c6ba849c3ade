//! What the files of `projections/` must say.

use longhaul::projector::{BUILT_IN, built_in};
use longhaul::workflow::event::Event;
use std::path::Path;

#[test]
fn every_event_is_handled_or_ignored() {
    let mut broken = Vec::new();
    for file in built_in() {
        let (handles, ignores) = file.types();
        for name in Event::NAMES {
            let count = [&handles, &ignores].iter().filter(|list| list.contains(&name)).count();
            if count != 1 {
                broken.push(format!("projections/{}.sql: {name} stands {count} times", file.name));
            }
        }
        for name in handles.iter().chain(&ignores).filter(|n| !Event::NAMES.contains(n)) {
            broken.push(format!("projections/{}.sql: there is no event {name}", file.name));
        }
    }
    assert!(
        broken.is_empty(),
        "\n  {}\nWrite each event into one of the comments `-- handles:` and `-- ignores:` of each file.",
        broken.join("\n  ")
    );
}

#[test]
fn every_column_is_explained() {
    let mut broken = Vec::new();
    for file in built_in() {
        let (tables, _) = file.text.split_once("-- fold").expect("a fold");
        let (_, tables) = tables.split_once("create table").expect("a table");
        let columns = tables.lines().skip(1).take_while(|l| !l.starts_with(')'));
        let is_key = |l: &&str| l.trim().starts_with("primary key");
        let silent = columns.filter(|l| !is_key(l) && !l.contains("-- "));
        broken.extend(silent.map(|l| format!("projections/{}.sql: {}", file.name, l.trim())));
    }
    assert!(broken.is_empty(), "\n  {}\nSay after `--` what a column is.", broken.join("\n  "));
}

#[test]
fn every_file_is_listed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("projections");
    for entry in std::fs::read_dir(directory).expect("projections/") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".sql").expect("only .sql in projections/");
        assert!(
            BUILT_IN.iter().any(|(known, _)| *known == name),
            "add `{name}` to BUILT_IN of src/projector/file.rs"
        );
    }
}

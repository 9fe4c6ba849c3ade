//! The contract with the past: recorded histories must fold to the same state for ever.
//!
//! `replay/NAME.jsonl` is a history, one line per event as `longhaul history --json` gives it;
//! `replay/NAME.state.json` is the state it folds to. They come from the stories of
//! `tests/scenarios/` that say `record NAME`: run with `LONGHAUL_RECORD=1` and those that are missing
//! are written. What is there is never written again.

use crate::scenarios;
use crate::scenarios::notation::id;
use crate::scenarios::story::Told;
use longhaul::replay::{Found, Verdict, Verifier, state_hash};
use longhaul::workflow::event::Happened;
use longhaul::workflow::evolve::{evolve, fold};
use longhaul::workflow::state::Execution;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Once;

const LAW: &str = "Histories that were released are never edited: mend `evolve`, `event` or `state` \
                   so that the old ones fold as they did, and add a new history beside them. Only \
                   if a field was added to the state: delete the .state.json, run with \
                   LONGHAUL_RECORD=1, and see in the diff that nothing else has changed.";

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("replay")
}

/// Names of all recorded histories.
pub(crate) fn names() -> Vec<String> {
    static RECORDED: Once = Once::new();
    RECORDED.call_once(record_what_is_missing);
    listed()
}

fn listed() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).expect("replay/");
    let files = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        files.filter_map(|f| f.strip_suffix(".jsonl").map(str::to_owned)).collect();
    names.sort();
    names
}

fn read(name: &str, extension: &str) -> String {
    let path = directory().join(format!("{name}.{extension}"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}\n{LAW}", path.display()))
}

/// The lines of a recorded history.
pub(crate) fn lines(name: &str) -> Vec<Value> {
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("replay/{name}.jsonl:{}: {e}\n{LAW}", index + 1))
    };
    read(name, "jsonl").lines().enumerate().map(parse).collect()
}

/// The event of a line of `longhaul history --json`.
fn happened(line: &Value) -> Result<Happened, serde_json::Error> {
    let mut event = Map::from_iter([("type".to_owned(), line["type"].clone())]);
    event.extend(line["data"].as_object().cloned().unwrap_or_default());
    let at = serde_json::from_value(line["at"].clone())?;
    Ok(Happened { at, event: serde_json::from_value(Value::Object(event))? })
}

pub(crate) fn history(name: &str) -> Vec<Happened> {
    let read = |(index, line): (usize, &Value)| {
        happened(line).unwrap_or_else(|e| panic!("replay/{name}.jsonl:{}: {e}\n{LAW}", index + 1))
    };
    lines(name).iter().enumerate().map(read).collect()
}

/// The state as it is compared.
fn canonical(state: &Execution) -> String {
    serde_json::to_string_pretty(state).expect("JSON") + "\n"
}

#[test]
fn every_history_folds_to_its_state() {
    for name in names() {
        let actual = canonical(&fold(&history(&name)));
        let recorded = read(&name, "state.json");
        if actual != recorded {
            let pairs = recorded.lines().zip(actual.lines()).enumerate();
            let first = pairs
                .filter(|(_, (r, a))| r != a)
                .map(|(n, (r, a))| format!("replay/{name}.state.json:{}\n  - {r}\n  + {a}", n + 1));
            let said = first.take(1).collect::<String>();
            panic!("replay/{name}.jsonl folds to another state now.\n{said}\n{LAW}");
        }
    }
}

/// Nothing that was recorded is lost when it is read: no field is gone or means something else.
#[test]
fn every_recorded_field_is_still_known() {
    for name in names() {
        for (number, (line, event)) in lines(&name).iter().zip(history(&name)).enumerate() {
            let now = serde_json::to_value(&event.event).expect("JSON");
            let said = missing(&line["data"], &now, "data");
            let at = format!("replay/{name}.jsonl:{}", number + 1);
            assert!(said.is_empty(), "{at}: {said:?} is not what it was.\n{LAW}");
        }
    }
}

/// Paths at which `now` does not have what was recorded.
fn missing(recorded: &Value, now: &Value, path: &str) -> Vec<String> {
    match (recorded, now) {
        (Value::Object(recorded), Value::Object(now)) => {
            let deeper = |(key, value): (&String, &Value)| {
                let path = format!("{path}.{key}");
                now.get(key).map_or_else(|| vec![path.clone()], |n| missing(value, n, &path))
            };
            recorded.iter().flat_map(deeper).collect()
        }
        (recorded, now) if recorded == now => Vec::new(),
        _ => vec![path.to_owned()],
    }
}

#[test]
fn every_history_is_one_stream() {
    for name in names() {
        let mut state = Execution::default();
        let mut before = None;
        for (index, (line, happened)) in lines(&name).iter().zip(history(&name)).enumerate() {
            let at = format!("replay/{name}.jsonl:{}", index + 1);
            evolve(&mut state, &happened);
            assert_eq!(line["sequence"], json!(state.version), "{at}: sequences count from 1");
            assert_eq!(line["branch"], json!(state.branch), "{at}: the branch after the event");
            assert!(before <= Some(happened.at), "{at}: time does not go back");
            before = Some(happened.at);
        }
        assert!(state.request.is_some(), "replay/{name}.jsonl is empty");
    }
}

/// What was decided once is decided today, for every history in `replay/`.
#[test]
fn every_history_is_decided_again() {
    for name in names() {
        let verdict = verified(&history(&name));
        assert_eq!(verdict.finding, None, "replay/{name}.jsonl\n{LAW}");
        assert!(verdict.decisions > 0, "replay/{name}.jsonl");
    }
}

/// A history as `replay verify` sees it.
pub(crate) fn verified(history: &[Happened]) -> Verdict {
    let mut verifier = Verifier::new(None, true);
    let mut state = Execution::default();
    for happened in history {
        evolve(&mut state, happened);
        verifier.event(Found {
            sequence: state.version,
            branch: state.branch,
            happened: happened.clone(),
            hash: None,
            state_hash: Some(state_hash(&state)),
        });
    }
    verifier.end()
}

/// A history that cannot be kept any more would go unnoticed if its story went.
#[test]
fn every_recorded_story_has_its_history() {
    let told = recorded_stories();
    assert!(!told.is_empty(), "no story says `record NAME`");
    let missing: Vec<&String> =
        told.iter().map(|(name, _)| name).filter(|n| !names().contains(n)).collect();
    assert!(missing.is_empty(), "run with LONGHAUL_RECORD=1 to write {missing:?} to replay/");
}

fn recorded_stories() -> Vec<(String, Told)> {
    let stories = scenarios::FILES
        .iter()
        .flat_map(|file| scenarios::stories_of(file).into_iter().map(|story| (*file, story)));
    let told = |(file, story): (&str, scenarios::story::Story)| {
        Some((story.record.clone()?, scenarios::told(file, &story)))
    };
    stories.filter_map(told).collect()
}

/// Run by hand. Writes files that are not there, and only those.
fn record_what_is_missing() {
    if std::env::var_os("LONGHAUL_RECORD").is_none() {
        return;
    }
    for (name, told) in recorded_stories() {
        write_new(&format!("{name}.jsonl"), &as_lines(&told));
    }
    for name in listed() {
        write_new(&format!("{name}.state.json"), &canonical(&fold(&history(&name))));
    }
}

fn write_new(file: &str, text: &str) {
    let path = directory().join(file);
    if !path.exists() {
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

fn as_lines(told: &Told) -> String {
    let mut state = Execution::default();
    let mut out = String::new();
    for (happened, actor) in &told.history {
        evolve(&mut state, happened);
        let mut data = match serde_json::to_value(&happened.event) {
            Ok(Value::Object(data)) => data,
            other => panic!("an event is a JSON object, not {other:?}"),
        };
        let name = data.shift_remove("type");
        let worker = state.worker.unwrap_or_else(|| id("a"));
        let actor = if *actor == "worker" { format!("worker:{worker}") } else { "cli".to_owned() };
        let line = json!({"sequence": state.version, "type": name, "at": happened.at,
                          "branch": state.branch, "actor": actor, "data": data});
        out += &format!("{line}\n");
    }
    out
}

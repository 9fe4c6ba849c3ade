//! The format of `replay/`: one line of JSON per event, as `history --json` gives it; `state_hash`,
//! the hash of the state after the event, may stand beside it.

use super::verify::Found;
use crate::workflow::event::{Event, Happened};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A line of a recorded history.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The event.
    pub found: Found,
    /// Who caused it.
    pub actor: String,
}

#[derive(Deserialize)]
struct Line {
    sequence: u64,
    r#type: String,
    at: DateTime<Utc>,
    branch: u32,
    #[serde(default)]
    actor: String,
    data: Map<String, Value>,
    #[serde(default)]
    hash: Option<String>,
    #[serde(default)]
    state_hash: Option<String>,
}

/// Reads a line.
pub fn read_line(text: &str) -> Result<Recorded, String> {
    let line: Line = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut event = Map::from_iter([("type".to_owned(), Value::String(line.r#type))]);
    event.extend(line.data);
    let event: Event = serde_json::from_value(Value::Object(event)).map_err(|e| e.to_string())?;
    let hash = line.hash.map(hex::decode).transpose().map_err(|e| format!("`hash`: {e}"))?;
    let happened = Happened { at: line.at, event };
    let (sequence, branch, state_hash) = (line.sequence, line.branch, line.state_hash);
    let found = Found { sequence, branch, happened, hash, state_hash };
    Ok(Recorded { found, actor: line.actor })
}

/// Writes a line, without its line feed.
pub fn write_line(recorded: &Recorded) -> String {
    let found = &recorded.found;
    let mut data = match serde_json::to_value(&found.happened.event) {
        Ok(Value::Object(data)) => data,
        // An event is an object; nothing else can come of it.
        _ => Map::new(),
    };
    data.shift_remove("type");
    let mut line = json!({
        "sequence": found.sequence, "type": found.happened.event.name(), "at": found.happened.at,
        "branch": found.branch, "actor": recorded.actor, "data": data,
    });
    if let Some(hash) = &found.state_hash {
        line["state_hash"] = json!(hash);
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let text = r#"{"sequence":3,"type":"StageStarted","at":"2030-03-17T17:46:40Z","branch":1,"actor":"cli","data":{"stage":"build","attempt":1},"state_hash":"ab"}"#;
        let read = read_line(text).expect("a line");
        assert_eq!(read.found.happened.event.name(), "StageStarted");
        assert_eq!(write_line(&read), text);
        let said = read_line(&text.replace("Started", "Began")).expect_err("unknown");
        assert!(said.contains("StageBegan"), "{said}");
        assert!(read_line("{}").expect_err("no line").contains("sequence"));
    }
}

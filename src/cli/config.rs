//! `config`: the settings in force, and where each came from.

use super::session::Session;
use super::{Done, out};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn config(session: &Session) -> Done {
    let settings = session.settings.explain();
    if session.json() {
        let home = session.home.root();
        out::json(&json!({"home": home, "settings": settings, "run": session.settings.run}));
        return Ok(ExitCode::SUCCESS);
    }
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let cells =
        |s: &Value| ["name", "value", "unit", "origin", "about"].map(|k| text(s, k)).to_vec();
    let rows: Vec<Vec<String>> = settings.iter().map(cells).collect();
    out::table(&["NAME", "VALUE", "UNIT", "FROM", "FOR"], &rows);
    out::line(format!("home: {}", session.home.root().display()));
    if session.settings.run.as_object().is_some_and(|o| !o.is_empty()) {
        out::line(format!("for executions: {}", session.settings.run));
    }
    Ok(ExitCode::SUCCESS)
}

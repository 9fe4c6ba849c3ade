//! What a story is about: its workflow in short, and what the execution is asked for with.
//!
//! `stages  analysis, code attempts 3, testing reopens code, deploy optional when input.deploy = true`
//! Words of a stage: `kind K`, `needs A B` or `needs nothing`, `optional`, `reopens A`, `attempts N`,
//! `when PATH OP VALUE` and `success PATH OP VALUE` (OP: `=`, `>=`, `<=`; or `PATH exists`,
//! `PATH missing`), and any other field as `key=value`. `catalog NAME` takes one of the six.

use super::notation::{fields, id};
use longhaul::config::run::merge;
use longhaul::workflow::catalog;
use longhaul::workflow::definition::{Definition, Limits};
use longhaul::workflow::event::Request;
use serde_json::{Value, json};

/// The heading of a story, as it is read line by line.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    definition: Value,
    request: Value,
}

/// The lines a heading may have.
pub(crate) const KEYWORDS: [&str; 7] =
    ["workflow", "catalog", "stages", "limits", "input", "settings", "task"];

impl Heading {
    /// A story that says nothing.
    pub(crate) fn new() -> Self {
        let definition = json!({"name": "story", "stages": []});
        let request = json!({"task_id": id("task"), "task": {}, "input": {}, "settings": {},
                             "limits": Limits::default(), "priority": 5});
        Heading { definition, request }
    }

    /// Takes one line.
    pub(crate) fn read(&mut self, keyword: &str, text: &str) -> Result<(), String> {
        match keyword {
            "workflow" => merge(&mut self.definition, &fields("workflow", text)?),
            "catalog" => {
                let found = catalog::find(text).ok_or(format!("there is no workflow `{text}`"))?;
                self.definition = json!(found);
            }
            "stages" => {
                let stages = text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(stage);
                self.definition["stages"] = Value::Array(stages.collect::<Result<_, _>>()?);
            }
            other => merge(&mut self.request[other], &fields(other, text)?),
        }
        Ok(())
    }

    /// What the execution is asked for with: nothing left open, as the engine does it.
    pub(crate) fn request(&self) -> Result<Request, String> {
        let wrong = |e: serde_json::Error| format!("the heading is no request: {e}");
        let definition: Definition =
            serde_json::from_value(self.definition.clone()).map_err(wrong)?;
        let limits: Limits =
            serde_json::from_value(self.request["limits"].clone()).map_err(wrong)?;
        let mut request = self.request.clone();
        request["definition"] = json!(definition.resolved(&limits));
        serde_json::from_value(request).map_err(wrong)
    }
}

fn stage(text: &str) -> Result<Value, String> {
    let mut words = text.split_whitespace().peekable();
    let name = words.next().unwrap_or_default();
    let mut stage = json!({"name": name, "kind": "work"});
    while let Some(word) = words.next() {
        let mut argument = || words.next().ok_or(format!("`{text}`: `{word}` of what?"));
        let given = match word {
            "optional" => json!({"required": false}),
            "kind" | "reopens" => json!({word: argument()?}),
            "attempts" => json!({word: scalar(argument()?)}),
            "when" => json!({word: condition(&mut argument)?}),
            "success" => json!({word: [condition(&mut argument)?]}),
            "needs" => {
                let mut names = Vec::new();
                while let Some(name) = words.next_if(|w| !is_word_of_a_stage(w)) {
                    names.push(name);
                }
                json!({"needs": names.into_iter().filter(|n| *n != "nothing").collect::<Vec<_>>()})
            }
            other if other.contains('=') => fields("stage", other)?,
            other => return Err(format!("`{text}`: what is `{other}`?")),
        };
        merge(&mut stage, &given);
    }
    Ok(stage)
}

fn is_word_of_a_stage(word: &str) -> bool {
    let words = ["optional", "kind", "reopens", "attempts", "when", "success", "needs"];
    words.contains(&word) || word.contains('=')
}

fn condition<'a>(argument: &mut dyn FnMut() -> Result<&'a str, String>) -> Result<Value, String> {
    let path = argument()?;
    Ok(match argument()? {
        "=" => json!({"path": path, "equals": scalar(argument()?)}),
        ">=" => json!({"path": path, "at_least": scalar(argument()?)}),
        "<=" => json!({"path": path, "at_most": scalar(argument()?)}),
        "exists" => json!({"path": path, "exists": true}),
        "missing" => json!({"path": path, "exists": false}),
        other => return Err(format!("a condition on `{path}` has no test `{other}`")),
    })
}

fn scalar(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

//! What a stage needs besides its code: properties of its worker, keys, an outside service.
//!
//! Pure: what workers offer, who holds a key and what a service allows is known outside; here stands
//! what is asked for, and whether an offer meets it. A *need* in text stands in the queue beside each
//! execution: alternatives joined by `|`, each a list of requirements joined by `,`; the empty
//! alternative is met by everybody.

use super::definition::StageDefinition;
use super::next::{begins, known_value, next};
use super::state::{Execution, StageState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a stage needs to run; everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Labels that its worker must offer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Processors that its worker must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Memory that its worker must have, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Keys that it holds while it runs, across all workers; each by one at a time, unless the settings
    /// say otherwise. `{path}` stands for a value: `repository`, `workflow`, `settings.`, `input.`,
    /// `task.`, or an output as `STAGE.name`. Left out: those of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// The outside service that it asks; a template as in `keys`. Left out: that of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// What a worker offers. What it says nothing of (`cpu`, `memory_mb`) counts as enough.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Its labels.
    pub labels: Vec<String>,
    /// Its processors.
    pub cpu: Option<f64>,
    /// Its memory, in MiB.
    pub memory_mb: Option<u64>,
}

const CPU: &str = "cpu>=";
const MEMORY: &str = "memory_mb>=";

impl Resources {
    /// What its worker must have, in words and in one order.
    fn requirements(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<String> = self.labels.iter().cloned().collect();
        all.extend(self.cpu.map(|n| format!("{CPU}{n}")));
        all.extend(self.memory_mb.map(|n| format!("{MEMORY}{n}")));
        all
    }

    /// Whether any worker will do.
    pub(super) fn is_for_any_worker(&self) -> bool {
        self.labels.is_empty() && self.cpu.is_none() && self.memory_mb.is_none()
    }

    /// Whether a worker with this offer can run the stage.
    pub fn is_met_by(&self, offer: &Offer) -> bool {
        self.is_for_any_worker() || self.requirements().iter().all(|r| offers(offer, r))
    }
}

/// Whether an offer meets one requirement. What cannot be read is a label that nobody offers.
fn offers(offer: &Offer, requirement: &str) -> bool {
    if let Some(n) = requirement.strip_prefix(CPU) {
        let Ok(n) = n.parse::<f64>() else { return false };
        return offer.cpu.is_none_or(|has| has >= n);
    }
    if let Some(n) = requirement.strip_prefix(MEMORY) {
        let Ok(n) = n.parse::<u64>() else { return false };
        return offer.memory_mb.is_none_or(|has| has >= n);
    }
    offer.labels.iter().any(|l| l == requirement)
}

/// Whether an offer meets a need in text.
pub fn meets(offer: &Offer, need: &str) -> bool {
    let all = |alternative: &str| {
        alternative.split(',').filter(|r| !r.is_empty()).all(|r| offers(offer, r))
    };
    need.split('|').any(all)
}

/// What is asked for that nobody offers, in a sentence; none if somebody meets the need.
pub fn unmet(need: &str, offers_of_all: &[Offer]) -> Option<String> {
    if need.is_empty() || offers_of_all.iter().any(|o| meets(o, need)) {
        return None;
    }
    let words = |alternative: &str| {
        alternative.split(',').map(|r| format!("`{r}`")).collect::<Vec<_>>().join(" and ")
    };
    let asked = need.split('|').map(words).collect::<Vec<_>>().join(", or ");
    Some(format!("no worker offers {asked}; start one with `longhaul worker --label`"))
}

/// The need of an execution that nobody holds, for the queue: whoever meets it can begin one of the
/// stages that may begin at `now`, or is due to begin next. Stages that `is_blocked` names wait for
/// something else. None if no stage of its workflow asks for anything of a worker.
pub fn need(
    state: &Execution,
    now: DateTime<Utc>,
    is_blocked: &dyn Fn(&str) -> bool,
) -> Option<String> {
    if !state.stages.graph().is_choosy() {
        return None;
    }
    let actions = next(state, now);
    if actions.iter().any(|a| begins(a).is_none()) {
        return Some(String::new());
    }
    let mut begun: Vec<&str> = actions.iter().filter_map(begins).collect();
    if begun.iter().any(|s| !is_blocked(s)) {
        begun.retain(|s| !is_blocked(s));
    } else {
        let sleeps =
            |s: &StageState| matches!(s, StageState::Waiting { .. } | StageState::RetryDue { .. });
        let asleep = state.stages.open().map(|i| &state.stages[i]).filter(|s| sleeps(&s.state));
        begun.extend(asleep.map(|s| s.name.as_str()));
    }
    let text =
        |d: &StageDefinition| d.resources.requirements().into_iter().collect::<Vec<_>>().join(",");
    let definitions = begun.into_iter().filter_map(|stage| state.policy(stage));
    let alternatives: BTreeSet<String> = definitions.map(text).collect();
    // Whoever meets the empty one meets all.
    if alternatives.contains("") {
        return Some(String::new());
    }
    Some(alternatives.into_iter().collect::<Vec<_>>().join("|"))
}

/// The keys that a stage asks for, filled in, sorted, each once; `defaults` are those of its kind.
pub fn demanded_keys(state: &Execution, stage: &str, defaults: &[&str]) -> Vec<String> {
    let Some(policy) = state.policy(stage) else { return Vec::new() };
    let keys: BTreeSet<String> = match &policy.resources.keys {
        Some(own) => own.iter().map(|k| filled(state, k)).collect(),
        None => defaults.iter().map(|k| filled(state, k)).collect(),
    };
    keys.into_iter().collect()
}

/// The service that a stage asks, if its definition names one.
pub fn named_service(state: &Execution, stage: &str) -> Option<String> {
    let template = state.policy(stage)?.resources.service.as_ref()?;
    Some(filled(state, template))
}

/// A template with its values; one that is not known is empty.
fn filled(state: &Execution, template: &str) -> String {
    let mut parts = template.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once('}').unwrap_or((part, ""));
        out.push_str(&value_of(state, path));
        out.push_str(rest);
    }
    out
}

fn value_of(state: &Execution, path: &str) -> String {
    let Some(request) = &state.request else { return String::new() };
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let root = match head {
        "repository" => return request.repository.clone().unwrap_or_default(),
        "workflow" => return request.definition.name.clone(),
        "settings" => Some(&request.settings),
        other => known_value(state, other),
    };
    let steps = rest.split('.').filter(|s| !s.is_empty());
    match steps.fold(root, |value, step| value.and_then(|v| v.get(step))) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What is wrong with a template of a key; `is_stage` knows the stages of the workflow.
pub fn wrong_key(template: &str, is_stage: &dyn Fn(&str) -> bool) -> Option<String> {
    if template.is_empty() || template.len() > 200 {
        return Some("a key has 1 to 200 bytes".to_owned());
    }
    for part in template.split('{').skip(1) {
        let Some((path, rest)) = part.split_once('}') else {
            return Some(format!("`{{` without `}}` in `{template}`"));
        };
        let head = path.split('.').next().unwrap_or_default();
        let is_known = matches!(head, "repository" | "workflow" | "settings" | "input" | "task")
            || is_stage(head);
        if !is_known {
            let known = "repository, workflow, settings, input, task and the stages";
            return Some(format!("`{{{path}}}` in `{template}` is unknown; known are {known}"));
        }
        if rest.contains('}') {
            return Some(format!("`}}` without `{{` in `{template}`"));
        }
    }
    None
}

/// Whether a text may be a label: `a-z`, `A-Z`, `0-9` and `. _ - : /`, 1 to 64 of them.
pub fn is_label(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".:/_-".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::command::Command;
    use crate::workflow::decide::apply;
    use serde_json::json;

    fn offer(labels: &[&str], cpu: Option<f64>, memory_mb: Option<u64>) -> Offer {
        Offer { labels: labels.iter().map(|l| (*l).to_owned()).collect(), cpu, memory_mb }
    }

    #[test]
    fn an_offer_meets_a_need_or_not() {
        #[track_caller]
        fn check(need: &str, offer: &Offer, expected: bool) {
            assert_eq!(meets(offer, need), expected, "`{need}` by {offer:?}");
        }
        let nothing = offer(&[], None, None);
        let gpu = offer(&["gpu", "linux"], Some(4.0), Some(8_192));
        check("", &nothing, true);
        check("gpu", &nothing, false);
        check("gpu", &gpu, true);
        check("gpu,macos", &gpu, false);
        check("gpu,macos|linux", &gpu, true);
        check("cpu>=4,gpu,memory_mb>=8192", &gpu, true);
        check("cpu>=4.5", &gpu, false);
        check("memory_mb>=8193", &gpu, false);
        check("cpu>=64", &nothing, true);
        check("cpu>=many", &nothing, false);
    }

    #[test]
    fn what_nobody_offers_is_named() {
        let offers = [offer(&["linux"], None, None), offer(&["gpu"], None, None)];
        assert_eq!(unmet("gpu", &offers), None);
        assert_eq!(unmet("", &[]), None);
        let said = unmet("gpu,linux|macos", &offers).expect("unmet");
        assert!(said.starts_with("no worker offers `gpu` and `linux`, or `macos`;"), "{said}");
    }

    #[test]
    fn keys_are_filled_with_what_is_known() {
        let mut state = execution(json!([{"name": "a", "kind": "x"}, {"name": "b", "kind": "x",
            "resources": {"keys": ["d:{repository}:{settings.deploy.environment}", "n:{a.n}", "k"]}}]));
        if let Some(request) = state.request.as_mut().and_then(std::sync::Arc::get_mut) {
            request.repository = Some("/srv/shop".to_owned());
            request.settings = json!({"deploy": {"environment": "prod"}});
        }
        assert_eq!(demanded_keys(&state, "b", &["z"]), ["d:/srv/shop:prod", "k", "n:"]);
        assert_eq!(demanded_keys(&state, "a", &["w:{workflow}"]), ["w:w"]);
        assert_eq!(demanded_keys(&state, "nobody", &["z"]), Vec::<String>::new());
    }

    #[test]
    fn a_template_is_judged() {
        let is_stage = |name: &str| name == "build";
        for right in ["k", "d:{repository}", "{build.version}", "x{input.a}{task.type}y"] {
            assert_eq!(wrong_key(right, &is_stage), None, "{right}");
        }
        for wrong in ["", "d:{repository", "d:{}", "{ship.x}", "{input.a}}"] {
            assert!(wrong_key(wrong, &is_stage).is_some(), "{wrong}");
        }
    }

    fn execution(stages: serde_json::Value) -> Execution {
        let request = json!({"task_id": uuid::Uuid::nil(), "task": {}, "priority": 5,
            "definition": {"name": "w", "stages": stages}});
        let request = serde_json::from_value(request).expect("a request");
        let mut state = Execution::default();
        apply(&mut state, DateTime::UNIX_EPOCH, &Command::Request(Box::new(request)))
            .expect("requested");
        state
    }

    #[test]
    fn the_need_is_that_of_the_stages_that_may_begin() {
        let now = DateTime::UNIX_EPOCH;
        let never = |_: &str| false;
        let plain = execution(json!([{"name": "a", "kind": "x"}]));
        assert_eq!(need(&plain, now, &never), None);
        let later = execution(json!([{"name": "a", "kind": "x"},
            {"name": "b", "kind": "x", "resources": {"labels": ["gpu"]}}]));
        assert_eq!(need(&later, now, &never).as_deref(), Some(""));
        let beside = execution(json!([
            {"name": "a", "kind": "x", "needs": [], "resources": {"labels": ["mac", "arm"]}},
            {"name": "b", "kind": "x", "needs": [], "resources": {"labels": ["gpu"], "cpu": 2}}]));
        assert_eq!(need(&beside, now, &never).as_deref(), Some("arm,mac|cpu>=2,gpu"));
        let a_waits = |stage: &str| stage == "a";
        assert_eq!(need(&beside, now, &a_waits).as_deref(), Some("cpu>=2,gpu"));
        let all_wait = |_: &str| true;
        assert_eq!(need(&beside, now, &all_wait).as_deref(), Some("arm,mac|cpu>=2,gpu"));
    }
}

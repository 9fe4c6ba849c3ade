//! Settings of one execution: which agent, which tests, which forge, which policies.
//!
//! They may stand in the repository's `longhaul.toml`, in the settings of the program, or in
//! `--set`; the later wins. What came out is pinned in `ExecutionRequested`, so that a change of a
//! file never changes a run under way. Never: a secret; `agent.env` holds names, not values.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything that can be set for one execution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// The coding agent.
    pub agent: AgentSettings,
    /// How the tests are run.
    pub test: TestSettings,
    /// What validation runs on the local forge.
    pub validation: ValidationSettings,
    /// Where changes are proposed: `local` (a git repository) or `github`. Default `local`.
    pub forge: Forge,
    /// The branch that changes start from and go to. Default: the repository's own.
    pub base: Option<String>,
    /// How a change is deployed.
    pub deploy: DeploySettings,
    /// What to do about suspicious changes.
    pub policy: PolicySettings,
    /// Bounds on what an agent or a test may use.
    pub limits: RunLimits,
}

/// The coding agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Which adapter: `command`. Default `command`.
    pub name: String,
    /// For `command`: program and arguments, split like a shell would, run without one.
    pub command: Option<String>,
    /// Names of environment variables that the agent may see besides the harmless ones.
    pub env: Vec<String>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        AgentSettings { name: "command".to_owned(), command: None, env: Vec::new() }
    }
}

/// How the tests are run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TestSettings {
    /// A line for `sh -c`. Default: detected from the repository.
    pub command: Option<String>,
    /// A line for `sh -c` that runs before the tests, for example `npm ci`.
    pub setup: Option<String>,
    /// Names of environment variables that the tests may see besides the harmless ones.
    pub env: Vec<String>,
}

/// What validation runs on the local forge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationSettings {
    /// A line for `sh -c`, run in a clean checkout of the change. Default: the test command.
    pub command: Option<String>,
}

/// Where changes are proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forge {
    /// A git repository on this machine.
    #[default]
    Local,
    /// github.com or a GitHub Enterprise Server.
    Github,
}

/// How a change is deployed, beyond being merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeploySettings {
    /// Whether the change is merged into the base branch first. Default true.
    pub merge: bool,
    /// A line for `sh -c`, run in a clean checkout of the merged commit. Default: none.
    pub command: Option<String>,
    /// A line that must exit 0 afterwards. Default: none.
    pub verify: Option<String>,
    /// A line that undoes the deployment when `verify` fails. Default: none.
    pub rollback: Option<String>,
    /// Name of what is deployed to. Default `local`.
    pub environment: String,
    /// Names of environment variables that these lines may see besides the harmless ones.
    pub env: Vec<String>,
}

impl Default for DeploySettings {
    fn default() -> Self {
        DeploySettings {
            merge: true,
            command: None,
            verify: None,
            rollback: None,
            environment: "local".to_owned(),
            env: Vec::new(),
        }
    }
}

/// What to do about something suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is said.
    Allow,
    /// It goes on; the output and the log say so.
    Warn,
    /// The attempt is rejected.
    Reject,
}

/// What to do about suspicious changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// The agent changed nothing. Default `reject`.
    pub empty_diff: Verdict,
    /// Tests were deleted or disabled. Default `reject`.
    pub deleted_tests: Verdict,
    /// Links that lead out of the worktree, or changes seen outside of it. Default `reject`.
    pub outside: Verdict,
    /// No tests were found, or none ran. Default `reject`.
    pub no_tests: Verdict,
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicySettings {
            empty_diff: Verdict::Reject,
            deleted_tests: Verdict::Reject,
            outside: Verdict::Reject,
            no_tests: Verdict::Reject,
        }
    }
}

/// Bounds on what an agent or a test may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// What one process may print, in MB (10^6 bytes), before it is ended. Default 50.
    pub output_mb: u64,
    /// What is kept of a process's output, in KiB, half from its beginning. Default 4096.
    pub log_kib: u64,
    /// US dollars that one execution may spend. Default: no bound.
    pub cost_usd: Option<f64>,
}

impl Default for RunLimits {
    fn default() -> Self {
        RunLimits { output_mb: 50, log_kib: 4_096, cost_usd: None }
    }
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// A `--set` without `=`, or an impossible key.
    #[error("`{0}` is not KEY=VALUE; write for example `test.command=cargo test`")]
    Shape(String),
    /// A key or value that no setting takes.
    #[error(
        "{origin}: {problem}; the keys are agent.*, test.*, validation.*, forge, base, deploy.*, policy.*, limits.*"
    )]
    Value {
        /// Where it stands.
        origin: String,
        /// What is wrong.
        problem: String,
    },
}

impl RunSettings {
    /// Settings from layers, each an object that may be partial; the later wins.
    /// Each layer is judged alone first, so that an error names the layer it is in.
    pub fn from_layers(layers: &[(String, Value)]) -> Result<RunSettings, SettingsError> {
        let mut merged = Value::Object(Map::new());
        for (origin, layer) in layers {
            read(origin, layer.clone())?;
            merge(&mut merged, layer);
        }
        read("settings", merged)
    }
}

fn read(origin: &str, value: Value) -> Result<RunSettings, SettingsError> {
    serde_json::from_value(value)
        .map_err(|e| SettingsError::Value { origin: origin.to_owned(), problem: e.to_string() })
}

/// Lays `over` onto `base`: objects are merged, anything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Turns `["agent.command=x", ...]` into an object. Numbers, switches and lists are read as JSON;
/// everything else is text, so that a command may be called `true`.
pub fn from_assignments(assignments: &[String]) -> Result<Value, SettingsError> {
    let mut out = Value::Object(Map::new());
    for assignment in assignments {
        let shape = || SettingsError::Shape(assignment.clone());
        let (key, text) = assignment.split_once('=').ok_or_else(shape)?;
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(shape());
        }
        let is_json = key == "deploy.merge" || key.starts_with("limits.") || key.ends_with(".env");
        let json = is_json.then(|| serde_json::from_str(text).ok()).flatten();
        let value = json.unwrap_or_else(|| Value::String(text.to_owned()));
        let nested = key
            .rsplit('.')
            .fold(value, |inner, name| Value::Object(Map::from_iter([(name.to_owned(), inner)])));
        merge(&mut out, &nested);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn assignments_nest_and_read_json() {
        let said = ["agent.command=./fix it".to_owned(), "limits.output_mb=3".to_owned()];
        let expected = json!({"agent": {"command": "./fix it"}, "limits": {"output_mb": 3}});
        assert_eq!(from_assignments(&said), Ok(expected));
    }

    #[test]
    fn a_command_may_be_called_true() {
        let said = ["test.setup=true".to_owned(), "deploy.merge=false".to_owned()];
        let expected = json!({"test": {"setup": "true"}, "deploy": {"merge": false}});
        assert_eq!(from_assignments(&said), Ok(expected));
    }

    #[test]
    fn the_later_layer_wins_key_by_key() {
        let layers = [
            (
                "longhaul.toml".to_owned(),
                json!({"test": {"command": "make test", "setup": "make"}}),
            ),
            ("--set".to_owned(), json!({"test": {"command": "make check"}})),
        ];
        let settings = RunSettings::from_layers(&layers).expect("settings");
        assert_eq!(settings.test.command.as_deref(), Some("make check"));
        assert_eq!(settings.test.setup.as_deref(), Some("make"));
    }

    #[test]
    fn a_wrong_key_names_its_layer() {
        let layers = [("longhaul.toml".to_owned(), json!({"tset": {"command": "x"}}))];
        let said = RunSettings::from_layers(&layers).expect_err("refused").to_string();
        assert!(said.starts_with("longhaul.toml: unknown field `tset`"), "{said}");
    }

    #[test]
    fn an_assignment_needs_a_key_and_a_sign() {
        for wrong in ["x", "=1", "a..b=1"] {
            assert!(from_assignments(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}

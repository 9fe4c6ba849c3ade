//! Settings of the program: where each comes from, what it may be, what it is for.
//!
//! Sources, the later wins: default, environment, file (`--config`, else `config.toml` in the home),
//! flag. A value that does not parse is an error that names the variable and an allowed value; 0 is
//! a value, never "not set". Tables of the file (`[agent]`, `[test]`, ...) are settings of
//! executions, see `run`.

use super::specs::{Kind, SPECS, Spec};
use crate::workflow::definition::Limits;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The environment.
    Environment,
    /// This file.
    File(PathBuf),
    /// The command line.
    Flag,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that does not parse.
    #[error("{name}=`{value}` from {origin} is wrong: {expected}, for example {name}={example}")]
    Value {
        /// The variable.
        name: String,
        /// What was given.
        value: String,
        /// From where.
        origin: String,
        /// What it may be.
        expected: String,
        /// A right one.
        example: String,
    },
    /// A key of the file that no setting has.
    #[error("{file}: `{key}` is no setting; {hint}")]
    Key {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Those that there are.
        hint: String,
    },
    /// The file.
    #[error("the settings file {file} cannot be read: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    values: BTreeMap<&'static str, (String, Origin)>,
    secret_url: Option<SecretString>,
    /// Settings for executions from the file; an object.
    pub run: Value,
    /// How many may hold a key at once, by pattern; none: whatever is in force stays.
    pub key_limits: Option<Vec<(String, u32)>>,
    /// Services with tokens per second and burst; none: whatever is in force stays.
    pub rates: Option<Vec<(String, f64, f64)>>,
}

/// Tables of the file that belong to executions.
const RUN_KEYS: [&str; 8] =
    ["agent", "test", "validation", "forge", "base", "deploy", "policy", "limits"];

impl Settings {
    /// Reads every source. `environment` is asked by variable name; `flags` are (variable, value).
    pub fn read(
        environment: &dyn Fn(&str) -> Option<String>,
        file: Option<&Path>,
        flags: &[(&'static str, String)],
    ) -> Result<Settings, ConfigError> {
        let mut settings = Settings {
            values: BTreeMap::new(),
            secret_url: None,
            run: json!({}),
            key_limits: None,
            rates: None,
        };
        for spec in SPECS {
            settings.set(spec, spec.default.to_owned(), Origin::Default)?;
            if let Some(value) = environment(spec.env) {
                settings.set(spec, value, Origin::Environment)?;
            }
        }
        if let Some(path) = file {
            settings.read_file(path)?;
        }
        for (name, value) in flags {
            if let Some(spec) = SPECS.iter().find(|s| s.env == *name) {
                settings.set(spec, value.clone(), Origin::Flag)?;
            }
        }
        settings.check_together()?;
        Ok(settings)
    }

    /// A worker that beats too seldom would be buried alive.
    fn check_together(&self) -> Result<(), ConfigError> {
        let lease = self.number("LONGHAUL_LEASE_MS");
        let (value, origin) = &self.values["LONGHAUL_HEARTBEAT_MS"];
        if self.number("LONGHAUL_HEARTBEAT_MS") <= lease / 3 {
            return Ok(());
        }
        Err(ConfigError::Value {
            name: "LONGHAUL_HEARTBEAT_MS".to_owned(),
            value: value.clone(),
            origin: origin_text(origin),
            expected: format!("it must be at most a third of LONGHAUL_LEASE_MS={lease}"),
            example: (lease / 20).max(50).to_string(),
        })
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let file = path.display().to_string();
        let wrong = |reason: String| ConfigError::File { file: file.clone(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let table: Map<String, Value> =
            toml::from_str(&text).map_err(|e| wrong(without_text(&text, &e)))?;
        for (key, mut value) in table {
            if let Some(keys) = value.as_object_mut().filter(|_| key == "limits") {
                if let Some(limits) = keys.remove("keys") {
                    self.key_limits = Some(super::limits::key_limits(&limits).map_err(&wrong)?);
                }
                if let Some(rates) = keys.remove("services") {
                    self.rates = Some(super::limits::rates(&rates).map_err(&wrong)?);
                }
            }
            if RUN_KEYS.contains(&key.as_str()) {
                self.run[key] = value;
                continue;
            }
            let spec = SPECS.iter().find(|s| key_of(s) == key);
            let spec = spec.ok_or_else(|| ConfigError::Key {
                file: file.clone(),
                key,
                hint: format!("settings are {}; tables are {}", keys(), RUN_KEYS.join(", ")),
            })?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.set(spec, text, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    fn set(&mut self, spec: &Spec, value: String, origin: Origin) -> Result<(), ConfigError> {
        let value = value.trim().to_owned();
        check(spec, &value, &origin)?;
        if matches!(spec.kind, Kind::Secret) {
            let is_set = !value.is_empty();
            self.secret_url = is_set.then(|| SecretString::from(value));
            let shown = if is_set { "(hidden)" } else { "" };
            self.values.insert(spec.env, (shown.to_owned(), origin));
        } else {
            self.values.insert(spec.env, (value, origin));
        }
        Ok(())
    }

    /// The database to use; none means the embedded one.
    pub fn database_url(&self) -> Option<&str> {
        self.secret_url.as_ref().map(ExposeSecret::expose_secret)
    }

    /// A number by variable name; 0 for one that does not exist.
    pub fn number(&self, name: &str) -> u64 {
        self.values.get(name).and_then(|(v, _)| v.parse().ok()).unwrap_or_default()
    }

    /// A time by variable name.
    pub fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(self.number(name))
    }

    /// A switch by variable name.
    pub fn switch(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|(v, _)| v == "true" || v == "1")
    }

    /// A text by variable name, if it is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|(v, _)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// The bounds for executions.
    pub fn limits(&self) -> Limits {
        Limits {
            task_timeout_ms: self.number("TASK_TIMEOUT_MS"),
            stage_timeout_ms: self.number("WORKFLOW_DEFAULT_TIMEOUT"),
            retry_delay_ms: self.number("WORKFLOW_RETRY_DELAY"),
            max_retries: self.number("WORKFLOW_MAX_RETRIES") as u32,
            max_stage_retries: self.number("MAX_STAGE_RETRIES") as u32,
            history_warn: Some(self.number("LONGHAUL_HISTORY_WARN")),
            history_max: Some(self.number("LONGHAUL_HISTORY_MAX")),
            cost_usd: None,
        }
    }

    /// Every setting with its value, unit, origin and purpose; secrets hidden.
    pub fn explain(&self) -> Vec<Value> {
        let line = |spec: &Spec| {
            let (value, origin) = self.values.get(spec.env)?;
            Some(json!({
                "name": spec.env,
                "value": value,
                "unit": spec.unit,
                "default": spec.default,
                "origin": origin_text(origin),
                "about": spec.about,
            }))
        };
        SPECS.iter().filter_map(line).collect()
    }
}

fn check(spec: &Spec, value: &str, origin: &Origin) -> Result<(), ConfigError> {
    let expected = match spec.kind {
        Kind::Number(min, max) => match value.trim().parse::<u64>() {
            Ok(n) if (min..=max).contains(&n) => return Ok(()),
            _ => format!("it must be a whole number from {min} to {max}"),
        },
        Kind::Switch if matches!(value, "true" | "false" | "1" | "0") => return Ok(()),
        Kind::Switch => "it must be true or false".to_owned(),
        Kind::Text | Kind::Secret => return Ok(()),
    };
    Err(ConfigError::Value {
        name: spec.env.to_owned(),
        value: value.to_owned(),
        origin: origin_text(origin),
        expected,
        example: spec.default.to_owned(),
    })
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::Environment => "environment".to_owned(),
        Origin::File(path) => path.display().to_string(),
        Origin::Flag => "flag".to_owned(),
    }
}

/// Where and what, but never the line itself: it may hold a password.
fn without_text(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1;
    format!("line {line}: {}", error.message())
}

/// The key in the file: the variable in lower case, without our prefix.
fn key_of(spec: &Spec) -> String {
    spec.env.trim_start_matches("LONGHAUL_").to_lowercase()
}

fn keys() -> String {
    SPECS.iter().map(key_of).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)], file: Option<&str>) -> Result<Settings, ConfigError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).expect("a file");
        }
        let ask =
            |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::read(&ask, file.map(|_| path.as_path()), &[])
    }

    #[test]
    fn the_file_wins_over_the_environment_and_the_flag_over_both() {
        let settings =
            read(&[("MAX_PARALLEL_TASKS", "3")], Some("max_parallel_tasks = 4")).expect("settings");
        assert_eq!(settings.number("MAX_PARALLEL_TASKS"), 4);
        let flags = [("MAX_PARALLEL_TASKS", "5".to_owned())];
        let settings = Settings::read(&|_| None, None, &flags).expect("settings");
        assert_eq!(settings.number("MAX_PARALLEL_TASKS"), 5);
    }

    #[test]
    fn a_broken_file_is_told_without_its_text() {
        let file = "database_url = \"postgres://u:hunter2@h/db\nmax_parallel_tasks = 3\n";
        let said = read(&[], Some(file)).expect_err("refused").to_string();
        assert!(said.contains("line 1") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn space_around_a_value_does_not_count() {
        let settings = read(&[("LONGHAUL_LEASE_MS", " 9000\n")], None).expect("settings");
        assert_eq!(settings.number("LONGHAUL_LEASE_MS"), 9_000);
    }

    #[test]
    fn a_heartbeat_must_fit_into_the_lease() {
        let said = read(&[("LONGHAUL_HEARTBEAT_MS", "10000")], None).expect_err("refused");
        assert!(said.to_string().contains("a third of LONGHAUL_LEASE_MS=20000"), "{said}");
    }

    #[test]
    fn zero_is_a_value() {
        let settings = read(&[("MAX_STAGE_RETRIES", "0")], None).expect("settings");
        assert_eq!(settings.limits().max_stage_retries, 0);
    }

    #[test]
    fn a_wrong_value_names_the_variable_and_a_right_one() {
        let said = read(&[("TASK_TIMEOUT_MS", "30s")], None).expect_err("refused").to_string();
        let expected = "TASK_TIMEOUT_MS=`30s` from environment is wrong: it must be a whole number \
                        from 1 to 604800000, for example TASK_TIMEOUT_MS=1800000";
        assert_eq!(said, expected);
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_there_are() {
        let said = read(&[], Some("max_paralel = 1")).expect_err("refused").to_string();
        assert!(said.contains("`max_paralel` is no setting; settings are database_url,"), "{said}");
    }

    #[test]
    fn tables_of_executions_are_kept_apart() {
        let settings = read(&[], Some("[test]\ncommand = \"make test\"")).expect("settings");
        assert_eq!(settings.run, json!({"test": {"command": "make test"}}));
    }

    #[test]
    fn the_database_url_is_never_shown() {
        let secret = "postgres://u:hunter2@h/db";
        let settings = read(&[("DATABASE_URL", secret)], None).expect("settings");
        assert_eq!(settings.database_url(), Some(secret));
        let shown = format!("{:?} {settings:?}", settings.explain());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

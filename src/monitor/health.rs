//! Checks: a figure against its threshold, with the reason in words.

use super::Figures;
use crate::config::settings::Settings;
use serde::Serialize;
use std::time::Duration;

/// What the checks compare with. From the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Executions requested in this time are looked at; zero: all.
    pub window: Duration,
    /// Failed ones of those that completed or failed, in percent.
    pub failure_percent: u64,
    /// 95th percentile of the time from start to end, in ms.
    pub execution_ms: u64,
    /// Executions that wait for a worker.
    pub queue_depth: u64,
    /// Memory of the machine in use, in percent.
    pub memory_percent: u64,
    /// Free space where the home is, in MB.
    pub disk_free_mb: u64,
    /// Connections in use of those that the server allows, in percent.
    pub connections_percent: u64,
}

impl Default for Thresholds {
    /// The defaults of the settings.
    fn default() -> Self {
        Thresholds {
            window: Duration::from_secs(7 * 24 * 3_600),
            failure_percent: 50,
            execution_ms: 1_800_000,
            queue_depth: 1_000,
            memory_percent: 95,
            disk_free_mb: 1_000,
            connections_percent: 90,
        }
    }
}

impl Thresholds {
    /// Those of the settings.
    pub fn of(settings: &Settings) -> Thresholds {
        Thresholds {
            window: settings.duration("METRICS_WINDOW"),
            failure_percent: settings.number("HEALTH_MAX_FAILURE_PERCENT"),
            execution_ms: settings.number("HEALTH_MAX_EXECUTION_MS"),
            queue_depth: settings.number("HEALTH_MAX_QUEUE_DEPTH"),
            memory_percent: settings.number("HEALTH_MAX_MEMORY_PERCENT"),
            disk_free_mb: settings.number("HEALTH_MIN_DISK_MB"),
            connections_percent: settings.number("HEALTH_MAX_CONNECTIONS_PERCENT"),
        }
    }
}

/// How it stands; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Beyond four fifths of its threshold, or odd.
    Warn,
    /// Beyond its threshold.
    Fail,
}

impl CheckState {
    /// `ok`, `warn` or `fail`.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckState::Ok => "ok",
            CheckState::Warn => "warn",
            CheckState::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// `database`, `failure_rate`, ...
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// What was seen; none: nothing to see yet, or the system does not tell.
    pub value: Option<f64>,
    /// What it was compared with, in the same unit.
    pub threshold: Option<f64>,
    /// In words, with the unit.
    pub reason: String,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// The worst of them.
    pub status: CheckState,
    /// Each.
    pub checks: Vec<Check>,
}

impl Health {
    /// Judges figures, and the number of events that lie in no month of the log.
    pub fn of(figures: &Figures, events_outside: i64, thresholds: &Thresholds) -> Health {
        let (m, u) = (&figures.metrics, &figures.usage);
        let used = m.connections_used as f64 / m.connections_max.max(1) as f64 * 100.0;
        let failures = m.failure_rate.map(|r| r * 100.0);
        let free_mb = u.disk_free_bytes.map(|b| b as f64 / 1e6);
        Health::worst_of(vec![
            check("database", CheckState::Ok, None, None, "it answers".to_owned()),
            at_most("failure_rate", failures, thresholds.failure_percent, "% of executions failed"),
            at_most("execution_time", m.p95_execution_ms, thresholds.execution_ms, "ms at p95"),
            at_most(
                "queue_depth",
                Some(m.queue_depth as f64),
                thresholds.queue_depth,
                "executions wait for a worker",
            ),
            workers(figures),
            at_most(
                "memory",
                u.memory_percent,
                thresholds.memory_percent,
                "% of the machine's memory in use",
            ),
            at_least("disk", free_mb, thresholds.disk_free_mb, "MB free where the home is"),
            at_most(
                "connections",
                Some(used),
                thresholds.connections_percent,
                "% of the server's connections in use",
            ),
            months(events_outside),
        ])
    }

    /// The database does not answer: nothing else can be seen.
    pub fn unreachable(reason: &str) -> Health {
        Health::worst_of(vec![check("database", CheckState::Fail, None, None, reason.to_owned())])
    }

    fn worst_of(checks: Vec<Check>) -> Health {
        let status = checks.iter().map(|c| c.state).max().unwrap_or(CheckState::Ok);
        Health { status, checks }
    }
}

fn check(
    name: &'static str,
    state: CheckState,
    value: Option<f64>,
    threshold: Option<f64>,
    reason: String,
) -> Check {
    Check { name, state, value, threshold, reason }
}

fn at_most(name: &'static str, value: Option<f64>, threshold: u64, what: &str) -> Check {
    let limit = threshold as f64;
    let state = match value {
        Some(v) if v > limit => CheckState::Fail,
        Some(v) if v > 0.8 * limit && v > 0.0 => CheckState::Warn,
        _ => CheckState::Ok,
    };
    check(name, state, value, Some(limit), said(value, "at most", threshold, what))
}

fn at_least(name: &'static str, value: Option<f64>, threshold: u64, what: &str) -> Check {
    let limit = threshold as f64;
    let state = match value {
        Some(v) if v < limit => CheckState::Fail,
        Some(v) if v < 1.25 * limit => CheckState::Warn,
        _ => CheckState::Ok,
    };
    check(name, state, value, Some(limit), said(value, "at least", threshold, what))
}

fn said(value: Option<f64>, bound: &str, threshold: u64, what: &str) -> String {
    match value {
        Some(value) => format!("{value:.0} {what}; it should be {bound} {threshold}"),
        None => format!("nothing to see yet ({what}); it should be {bound} {threshold}"),
    }
}

/// None is no failure while nothing waits.
fn workers(figures: &Figures) -> Check {
    let m = &figures.metrics;
    let (state, reason) = match (m.workers_alive, m.workers_silent, m.queue_depth) {
        (0, _, waiting) if waiting > 0 => (
            CheckState::Fail,
            format!("{waiting} executions wait and no worker lives; run `longhaul worker`"),
        ),
        (0, _, _) => (CheckState::Ok, "no worker lives, and nothing waits for one".to_owned()),
        (alive, 0, _) => (CheckState::Ok, format!("{alive} live")),
        (alive, silent, _) => {
            (CheckState::Warn, format!("{alive} live; {silent} gave no sign of life in time"))
        }
    };
    check("workers", state, Some(m.workers_alive as f64), Some(1.0), reason)
}

fn months(outside: i64) -> Check {
    let (state, reason) = match outside {
        0 => (CheckState::Ok, "every event lies in a month of the log".to_owned()),
        n => (
            CheckState::Fail,
            format!("{n} events lie in no month of the log; run `longhaul db migrate`"),
        ),
    };
    check("log_months", state, Some(outside as f64), Some(0.0), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Usage;
    use crate::store::Metrics;

    #[test]
    fn the_defaults_are_those_of_the_settings() {
        let settings = Settings::read(&|_| None, None, &[]).expect("the defaults are right");
        assert_eq!(Thresholds::of(&settings), Thresholds::default());
    }

    fn states(metrics: Metrics, usage: Usage, outside: i64) -> Vec<(&'static str, CheckState)> {
        let metrics = Metrics { connections_max: 100, ..metrics };
        let figures = Figures { window_ms: 1, metrics, usage };
        let health = Health::of(&figures, outside, &Thresholds::default());
        let worst = health.checks.iter().map(|c| c.state).max();
        assert_eq!(Some(health.status), worst);
        let odd = health.checks.iter().filter(|c| c.state != CheckState::Ok);
        odd.map(|c| (c.name, c.state)).collect()
    }

    #[test]
    fn nothing_is_well() {
        assert_eq!(states(Metrics::default(), Usage::default(), 0), []);
    }

    #[test]
    fn each_check_fails_beyond_its_threshold() {
        let metrics = Metrics {
            failure_rate: Some(0.51),
            p95_execution_ms: Some(1_800_001.0),
            queue_depth: 1_001,
            connections_used: 91,
            ..Metrics::default()
        };
        let usage = Usage {
            memory_percent: Some(96.0),
            disk_free_bytes: Some(999_000_000),
            ..Usage::default()
        };
        let failed = states(metrics, usage, 1);
        let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
        let expected = [
            "failure_rate",
            "execution_time",
            "queue_depth",
            "workers",
            "memory",
            "disk",
            "connections",
            "log_months",
        ];
        assert_eq!(names, expected);
        assert!(failed.iter().all(|(_, state)| *state == CheckState::Fail), "{failed:?}");
    }

    #[test]
    fn near_a_threshold_it_warns() {
        let metrics =
            Metrics { queue_depth: 900, workers_alive: 1, workers_silent: 1, ..Metrics::default() };
        let expected = [("queue_depth", CheckState::Warn), ("workers", CheckState::Warn)];
        assert_eq!(states(metrics, Usage::default(), 0), expected);
    }
}

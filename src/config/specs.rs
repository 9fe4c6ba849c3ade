//! The list of settings: one line each, with default, unit and what people should know. How they are
//! read stands in `settings`.

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number between the two.
    Number(u64, u64),
    /// `true` or `false`.
    Switch,
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
}

/// One setting: its variable, its default, and what people should know.
pub(super) struct Spec {
    pub(super) env: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) unit: &'static str,
    pub(super) about: &'static str,
}

const DAY_MS: u64 = 24 * 3_600_000;
const MANY: u64 = 1_000_000_000_000;

pub(super) const SPECS: &[Spec] = &[
    spec("DATABASE_URL", Kind::Secret, "", "", "Postgres to use; none: the embedded one"),
    spec(
        "MAX_PARALLEL_TASKS",
        Kind::Number(1, 10_000),
        "20",
        "executions",
        "how many one worker holds at once",
    ),
    spec(
        "MAX_STAGE_RETRIES",
        Kind::Number(0, 99),
        "3",
        "retries",
        "no stage is retried more often, whatever its workflow says",
    ),
    spec(
        "TASK_TIMEOUT_MS",
        Kind::Number(1, 7 * DAY_MS),
        "1800000",
        "ms",
        "deadline of an execution whose workflow names none",
    ),
    spec(
        "WORKFLOW_DEFAULT_TIMEOUT",
        Kind::Number(1, 7 * DAY_MS),
        "600000",
        "ms",
        "timeout of an attempt whose stage names none",
    ),
    spec(
        "WORKFLOW_RETRY_DELAY",
        Kind::Number(0, DAY_MS),
        "30000",
        "ms",
        "bound of the first retry delay",
    ),
    spec(
        "WORKFLOW_MAX_RETRIES",
        Kind::Number(0, 99),
        "3",
        "retries",
        "retries of a stage that names no attempts",
    ),
    spec(
        "LONGHAUL_HISTORY_WARN",
        Kind::Number(1, 1_000_000_000),
        "10000",
        "events",
        "a history of this length is warned of",
    ),
    spec(
        "LONGHAUL_HISTORY_MAX",
        Kind::Number(1, 1_000_000_000),
        "50000",
        "events",
        "attempts record no steps and progress beyond this",
    ),
    spec("ENABLE_DETAILED_LOGGING", Kind::Switch, "false", "", "log every decision to stderr"),
    spec("LONGHAUL_LOG", Kind::Text, "", "", "log filter, as in `longhaul=debug,sqlx=warn`"),
    spec(
        "LONGHAUL_LEASE_MS",
        Kind::Number(500, DAY_MS),
        "20000",
        "ms",
        "a worker without a sign of life for this long is dead",
    ),
    spec(
        "LONGHAUL_HEARTBEAT_MS",
        Kind::Number(50, 60_000),
        "1000",
        "ms",
        "between two signs of life of a worker",
    ),
    spec(
        "LONGHAUL_POLL_MS",
        Kind::Number(5, 60_000),
        "100",
        "ms",
        "between two looks into the queue",
    ),
    spec(
        "LONGHAUL_DRAIN_MS",
        Kind::Number(0, DAY_MS),
        "20000",
        "ms",
        "how long attempts may go on after SIGTERM",
    ),
    spec(
        "LONGHAUL_PROJECTOR",
        Kind::Switch,
        "true",
        "",
        "a worker keeps the read models up to date",
    ),
    spec("LONGHAUL_PROJECTIONS", Kind::Text, "", "", "directory of read models of your own"),
    up_to("METRICS_INTERVAL", DAY_MS, "30000", "ms", "figures in a worker's log; 0: none"),
    up_to("METRICS_WINDOW", MANY, "604800000", "ms", "what figures look at; 0: all"),
    up_to("HEALTH_CHECK_INTERVAL", DAY_MS, "60000", "ms", "checks by a worker; 0: none"),
    up_to("HEALTH_MAX_FAILURE_PERCENT", 100, "50", "%", "failed executions"),
    up_to("HEALTH_MAX_EXECUTION_MS", MANY, "1800000", "ms", "95th percentile of execution times"),
    up_to("HEALTH_MAX_QUEUE_DEPTH", MANY, "1000", "executions", "that wait for a worker"),
    up_to("HEALTH_MAX_MEMORY_PERCENT", 100, "95", "%", "memory of the machine in use"),
    up_to("HEALTH_MIN_DISK_MB", MANY, "1000", "MB", "free where the home is"),
    up_to("HEALTH_MAX_CONNECTIONS_PERCENT", 100, "90", "%", "of the server's in use"),
    spec(
        "LONGHAUL_ACCEPT_DATA_LOSS",
        Kind::Switch,
        "false",
        "",
        "work with a database that has fsync off; for tests only",
    ),
];

/// A number from 0.
const fn up_to(
    env: &'static str,
    max: u64,
    default: &'static str,
    unit: &'static str,
    about: &'static str,
) -> Spec {
    spec(env, Kind::Number(0, max), default, unit, about)
}

const fn spec(
    env: &'static str,
    kind: Kind,
    default: &'static str,
    unit: &'static str,
    about: &'static str,
) -> Spec {
    Spec { env, kind, default, unit, about }
}

//! The arguments: names as in the contract, help as people read it.

use super::bench::Bench;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// A durable workflow engine for AI software delivery.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Globals {
    /// Postgres to use [default: DATABASE_URL, else the embedded one]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// Where the embedded database and workspaces live [default: the platform's data directory]
    #[arg(long, global = true, env = "LONGHAUL_HOME", value_name = "DIR")]
    pub(super) home: Option<PathBuf>,
    /// Settings file [default: config.toml in the home]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON on stdout, and nothing else there
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(super) color: Color,
    /// Say more on stderr; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The main job on a sample repository, from a sentence to a merged change
    Demo(Demo),
    /// Submit a task and follow it, with a worker in this process
    Run(Submit),
    /// Submit a task and return at once
    Submit(Submit),
    /// Show the structured task that a text becomes; writes nothing
    Parse(super::parse::Parse),
    /// Work on executions until told to stop
    Worker(Worker),
    /// Executions, the newest first
    List(List),
    /// One execution
    Show(Id),
    /// Tasks, the newest first
    Tasks(Tasks),
    /// Workers
    Workers,
    /// The events of an execution
    History(History),
    /// The logs of an execution's stages
    Logs(Logs),
    /// An execution at any moment of its life, or what changed between two
    State(super::state::State),
    /// Two branches, moments or executions side by side
    Diff(super::diff::DiffArgs),
    /// Fold histories again and compare
    Replay(super::replay::Replay),
    /// End an execution
    Cancel(Reasoned),
    /// Let what runs end, start nothing new
    Pause(Reasoned),
    /// Go on with a paused execution
    Resume(Reasoned),
    /// Rewind a failed or cancelled execution to where it stopped
    Retry(Reasoned),
    /// Go on from an earlier stage on a new branch
    Rewind(Rewind),
    /// Begin another execution that shares the beginning of one
    Fork(super::fork::ForkArgs),
    /// Send a message to an execution
    Signal(Signal),
    /// Approve what waits for approval
    Approve(Reasoned),
    /// Reject what waits for approval
    Reject(Reasoned),
    /// Whether what is stored is what was appended
    Audit(super::audit::Audit),
    /// Workflow definitions
    Workflows(Workflows),
    /// Read models: how they stand, building them anew, proving them
    Projections(Projections),
    /// Current figures
    Metrics,
    /// Checks, each with its threshold; exit code 1 if one fails
    Health,
    /// The settings in force, and where each came from
    Config,
    /// Months of the log in files
    Archive(Archive),
    /// The embedded database
    Db(Db),
    /// Measure the database and the engine on it
    Bench(Bench),
    /// Completions for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Kill the worker process in the midst of code generation, and resume
    #[arg(long)]
    pub(super) crash: bool,
}

#[derive(Debug, Args)]
pub(super) struct Submit {
    /// What is to be done, in plain language; `-` reads it from stdin
    #[arg(value_name = "TEXT", required_unless_present = "file")]
    pub(super) text: Option<String>,
    /// Read the text from a file
    #[arg(long, conflicts_with = "text", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The repository: a path
    #[arg(long, value_name = "PATH|OWNER/NAME")]
    pub(super) repo: Option<String>,
    /// The workflow [default: the one of the task's type]
    #[arg(long)]
    pub(super) workflow: Option<String>,
    /// low, medium, high or critical [default: as the text says]
    #[arg(long)]
    pub(super) priority: Option<String>,
    /// A repeat with the same key returns the first execution
    #[arg(long, value_name = "KEY")]
    pub(super) idempotency_key: Option<String>,
    /// A setting of this execution, such as test.command='make check'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Input for conditions and stages, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(super) input: Option<String>,
    /// The coding agent: command
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// Program and arguments of agent `command`
    #[arg(long, value_name = "PROGRAM ARGS")]
    pub(super) agent_command: Option<String>,
    /// The command that runs the tests [default: detected]
    #[arg(long, value_name = "COMMAND")]
    pub(super) test_command: Option<String>,
    /// Where changes are proposed: local
    #[arg(long)]
    pub(super) forge: Option<String>,
    /// The branch that the change starts from and goes to [default: the repository's own]
    #[arg(long, value_name = "BRANCH")]
    pub(super) base: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Worker {
    /// Executions at once [default: MAX_PARALLEL_TASKS]
    #[arg(long)]
    pub(super) slots: Option<usize>,
    /// What this worker offers to stages that ask for it; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub(super) labels: Vec<String>,
    /// Processors that it offers [default: as many as a stage asks for]
    #[arg(long)]
    pub(super) cpu: Option<f64>,
    /// Memory that it offers, in MiB [default: as much as a stage asks for]
    #[arg(long)]
    pub(super) memory_mb: Option<u64>,
    /// A name for people
    #[arg(long)]
    pub(super) name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only these: queued, running, waiting, paused, completed, failed, cancelled
    #[arg(long, value_delimiter = ',')]
    pub(super) status: Vec<String>,
    /// Only this workflow
    #[arg(long)]
    pub(super) workflow: Option<String>,
    /// Only this repository
    #[arg(long)]
    pub(super) repo: Option<String>,
    /// Only those requested since: a time (RFC 3339), or how long ago (30m, 12h, 7d)
    #[arg(long)]
    pub(super) since: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    pub(super) limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct Id {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Tasks {
    /// One task: an id, a fragment of 6 or more characters, or @last
    pub(super) id: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    pub(super) limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// Go on printing until the execution ends
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Only this branch
    #[arg(long)]
    pub(super) branch: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// Only this stage
    #[arg(long)]
    pub(super) stage: Option<String>,
    /// Go on printing until the execution ends
    #[arg(long, short)]
    pub(super) follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reasoned {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// Why; recorded with the event
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Rewind {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// The stage that runs again
    #[arg(long)]
    pub(super) from: String,
    /// A setting that differs from here on
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Keep the steps that it recorded; else they are done again
    #[arg(long)]
    pub(super) keep_steps: bool,
    /// Do not offer again the signals that had been taken
    #[arg(long)]
    pub(super) drop_signals: bool,
    /// Why; recorded with the event
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Signal {
    /// An id, a fragment of 6 or more characters, or @last
    pub(super) id: String,
    /// The signal's name
    pub(super) name: String,
    /// Its content, JSON
    pub(super) payload: Option<String>,
    /// A repeat with the same key changes nothing
    #[arg(long)]
    pub(super) key: Option<String>,
    /// Why; recorded with the event
    #[arg(long, default_value = "")]
    pub(super) reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Workflows {
    #[command(subcommand)]
    pub(super) action: WorkflowsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkflowsAction {
    /// Every workflow
    List,
    /// One workflow
    Show { name: String },
    /// Say everything that is wrong with a definition (YAML, TOML or JSON)
    Validate { file: PathBuf },
    /// Register a definition; a change makes a new version
    Register {
        file: PathBuf,
        /// Register it under this name
        #[arg(long)]
        name: Option<String>,
        /// Why; recorded in the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Archive {
    #[command(subcommand)]
    pub(super) action: ArchiveAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ArchiveAction {
    /// Write months that are over, and whose executions have all ended, to files
    Create {
        /// Only this month, as in 2026-10
        #[arg(long, value_name = "YYYY-MM", conflicts_with = "before")]
        month: Option<String>,
        /// Only months before this one [default: every month that is over]
        #[arg(long, value_name = "YYYY-MM")]
        before: Option<String>,
        /// The directory that gets a directory for each month
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// The months of the log, and where their events are
    List,
    /// Prove archives; needs no database
    Verify {
        /// An archive, its manifest, or a directory of archives
        path: PathBuf,
    },
    /// Give up the events of a month whose archive verifies
    Drop {
        /// As in 2026-10
        #[arg(value_name = "YYYY-MM")]
        month: String,
        /// Where the archive is [default: where it was written]
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Put the events of an archive back
    Restore {
        /// An archive, or its manifest
        path: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Projections {
    #[command(subcommand)]
    pub(super) action: ProjectionsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProjectionsAction {
    /// Every read model: its state, how far it is behind, why it cannot go on
    List,
    /// Fold the log anew beside the live one, and switch
    Rebuild {
        /// The read model
        name: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Prove that the rows are what the log says; exit code 1 if not
    Verify {
        /// The read model [default: all]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Db {
    #[command(subcommand)]
    pub(super) action: DbAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum DbAction {
    /// Start the embedded database and keep it running until `db stop`
    Start,
    /// Stop the embedded database
    Stop,
    /// Whether it runs, where, for whom
    Status,
    /// Open psql on the database
    Psql {
        /// Arguments for psql
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Bring the schema up to date
    Migrate,
    /// Print the SQL that gives the program a role of its own, which cannot alter events
    Roles {
        /// The role
        #[arg(long, default_value = "longhaul_app", value_name = "NAME")]
        app: String,
        /// Run it instead, as the owner of the tables
        #[arg(long)]
        apply: bool,
    },
    /// Run the embedded database; started by the program itself
    #[command(hide = true)]
    Guard {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

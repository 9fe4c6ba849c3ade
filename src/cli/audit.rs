//! `audit verify|checkpoint|export|keygen`: whether what is stored is what was appended, and proof of it.

use super::error::CliError;
use super::session::Session;
use super::{Done, out};
use crate::audit::Kind;
use crate::audit::heads::HeadLine;
use crate::audit::note::verifier_key;
use crate::audit::stream::Broken;
use crate::engine::{
    AuditFiles, AuditTotal, Longhaul, Scope, Watch, make_key, read_checkpoint, read_key,
    read_public_key,
};
use crate::store::{AuditEvent, LaneGap};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Recompute the hash chains and hold them against heads and lanes; exit code 1: broken
    Verify(Verify),
    /// Sign the root over all heads; keep the file and the one beside it elsewhere
    Checkpoint(Checkpoint),
    /// Print events with every hashed field, a JSON object per line; verify.py checks them offline
    Export(Export),
    /// Make the key that signs checkpoints, and print its public half
    Keygen {
        /// Where the private key goes [default: audit/key in the home]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Verify {
    /// One execution and its task: an id, a fragment of 6 or more characters, or @last
    #[arg(conflicts_with = "all")]
    id: Option<String>,
    /// Everything [default without an id]
    #[arg(long)]
    all: bool,
    /// Begin behind this stream, as an interrupted run said
    #[arg(long, value_name = "KIND:ID", conflicts_with = "id")]
    after: Option<String>,
    /// Every head in this checkpoint must still be in its chain
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The same, and only streams that changed since
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["checkpoint", "id"])]
    since: Option<PathBuf>,
    /// The same, since the last checkpoint in the home
    #[arg(long, conflicts_with_all = ["checkpoint", "id", "since"])]
    incremental: bool,
    /// The key that signed the checkpoint: its text or a file [default: audit/key.pub in the home]
    #[arg(long, value_name = "KEY|FILE")]
    public_key: Option<String>,
}

#[derive(Debug, Args)]
struct Export {
    /// One execution and its task: an id, a fragment of 6 or more characters, or @last
    #[arg(conflicts_with = "all")]
    id: Option<String>,
    /// Everything [default without an id]
    #[arg(long)]
    all: bool,
    /// Only streams that changed since this checkpoint
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "id")]
    since: Option<PathBuf>,
    /// The key that signed the checkpoint: its text or a file [default: audit/key.pub in the home]
    #[arg(long, value_name = "KEY|FILE")]
    public_key: Option<String>,
    /// Why; recorded in the audit log, as the export itself is
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Args)]
struct Checkpoint {
    /// The private key [default: audit/key in the home, made when there is none]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the checkpoint goes; its heads go to FILE.heads [default: audit/checkpoint in the home]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Faults that a JSON report names one by one; all are counted.
const FAULTS_SHOWN: usize = 1_000;
/// Between two words on how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

pub(super) async fn audit(session: &Session, args: &Audit) -> Done {
    match &args.action {
        Action::Verify(args) => verify(session, args).await,
        Action::Checkpoint(args) => checkpoint(session, args).await,
        Action::Export(args) => export(session, args).await,
        Action::Keygen { key } => keygen(session, key.as_deref()),
    }
}

fn keygen(session: &Session, key: Option<&Path>) -> Done {
    let files = AuditFiles::of(&session.home);
    let path = key.unwrap_or(&files.key);
    let public = make_key(path)?;
    if session.json() {
        out::json(&json!({"key": path, "public_key": public}));
    } else {
        out::note(&format!("the private key is in `{}`; the public key:", path.display()));
        out::line(public);
    }
    Ok(ExitCode::SUCCESS)
}

async fn checkpoint(session: &Session, args: &Checkpoint) -> Done {
    let files = AuditFiles::of(&session.home);
    if args.key.is_none() && !files.key.exists() {
        let public = make_key(&files.key)?;
        out::note(&format!(
            "made the key `{}`; keep its public half: {public}",
            files.key.display()
        ));
    }
    let key = read_key(args.key.as_ref().unwrap_or(&files.key))?;
    let path = args.out.as_ref().unwrap_or(&files.checkpoint);
    let engine = session.open().await?;
    let (made, note) = engine.audit_checkpoint(path, &key).await?;
    engine.close().await;
    if session.json() {
        out::json(&json!({"file": path, "size": made.size, "root": hex::encode(made.root),
            "at": made.at, "public_key": verifier_key(&key.verifying_key())}));
    } else {
        out::raw(&note);
        out::note(&format!(
            "written to `{0}` and `{0}.heads`; keep both elsewhere",
            path.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The checkpoint to verify against, if one is asked for.
fn seen(
    session: &Session,
    path: Option<&PathBuf>,
    public_key: Option<&String>,
) -> Result<Vec<HeadLine>, CliError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let own = AuditFiles::of(&session.home).public_key.to_string_lossy().into_owned();
    let key = read_public_key(public_key.unwrap_or(&own))?;
    Ok(read_checkpoint(path, &key)?.heads)
}

async fn export(session: &Session, args: &Export) -> Done {
    let seen = seen(session, args.since.as_ref(), args.public_key.as_ref())?;
    let engine = session.open().await?;
    let only = match &args.id {
        Some(id) => Some(engine.store().find_execution(id).await?),
        None => None,
    };
    let scope = Scope { only, seen, changed: args.since.is_some(), after: None };
    let mut lines = Lines::default();
    let total = engine.audit_export(&scope, &args.reason, &mut lines).await?;
    engine.close().await;
    // The end is stated, so that an export that was cut off does not look like a whole one.
    out::json_line(&json!({"end": {"streams": lines.streams, "events": total.events}}));
    Ok(ExitCode::from(u8::from(lines.is_broken)))
}

/// Prints the events as they are read.
#[derive(Default)]
struct Lines {
    streams: u64,
    last: Option<(Kind, Uuid)>,
    is_broken: bool,
}

impl Watch for Lines {
    fn broken(&mut self, broken: &Broken) {
        let Broken { kind, stream, sequence, fault } = broken;
        out::error(&format!("BROKEN: {} {stream}, event {sequence}: {fault}", kind.as_str()));
        self.is_broken = true;
    }

    fn progress(&mut self, _total: AuditTotal) {}

    fn event(&mut self, kind: Kind, event: &AuditEvent) {
        if self.last.replace((kind, event.stream)) != Some((kind, event.stream)) {
            self.streams += 1;
        }
        out::json_line(&json!({
            "kind": kind.as_str(),
            "stream": event.stream,
            "sequence": event.sequence,
            "event_id": event.event_id,
            "at": event.at,
            "at_us": event.at.timestamp_micros(),
            "branch": event.branch,
            "actor": event.actor,
            "type": event.name,
            "payload": event.payload,
            "hash": hex::encode(event.hash),
        }));
    }
}

async fn verify(session: &Session, args: &Verify) -> Done {
    let after = args.after.as_deref().map(position).transpose()?;
    let remembered = AuditFiles::of(&session.home).checkpoint;
    let remembered = args.incremental.then_some(&remembered);
    let path = args.checkpoint.as_ref().or(args.since.as_ref()).or(remembered);
    let seen = seen(session, path, args.public_key.as_ref())?;
    let changed = args.since.is_some() || args.incremental;
    let engine = session.open().await?;
    let only = match &args.id {
        Some(id) => Some(engine.store().find_execution(id).await?),
        None => None,
    };
    let mut report = Report::new(session.json());
    let scope = Scope { only, after, seen, changed };
    let total = engine.audit_verify(&scope, &mut report).await?;
    report.may_alter = engine.store().may_alter_events().await?;
    if report.may_alter && engine.embedded().is_none() {
        out::note("this role may alter events: see `longhaul db roles`");
    }
    if only.is_none() && !changed {
        report.lanes(&engine).await?;
    }
    engine.close().await;
    Ok(report.end(total))
}

/// Reads `execution:ID` or `task:ID`.
fn position(text: &str) -> Result<(Kind, Uuid), CliError> {
    let parts = text.split_once(':');
    let kind = parts.and_then(|(kind, _)| Kind::ALL.into_iter().find(|k| k.as_str() == kind));
    let id = parts.and_then(|(_, id)| Uuid::parse_str(id).ok());
    kind.zip(id).ok_or_else(|| {
        CliError::Usage(format!("`{text}` is no position; write execution:ID or task:ID"))
    })
}

/// What was found, said at once on a terminal and at the end as JSON.
struct Report {
    is_json: bool,
    found: Vec<Value>,
    broken: u64,
    said: Instant,
    /// Whether the role that we are connected as could alter events.
    may_alter: bool,
}

impl Watch for Report {
    fn broken(&mut self, broken: &Broken) {
        let Broken { kind, stream, sequence, fault } = broken;
        let kind = kind.as_str();
        let text = format!("{kind} {stream}, event {sequence}: {fault}");
        let detail = json!({"kind": kind, "id": stream, "sequence": sequence,
            "fault": fault.name(), "detail": fault.to_string()});
        self.fault(&text, detail);
    }

    fn progress(&mut self, total: AuditTotal) {
        if self.said.elapsed() >= PROGRESS {
            out::note(&format!("{} events checked, {} broken so far", total.events, self.broken));
            self.said = Instant::now();
        }
    }
}

impl Report {
    fn new(is_json: bool) -> Self {
        Report { is_json, found: Vec::new(), broken: 0, said: Instant::now(), may_alter: false }
    }

    fn fault(&mut self, text: &str, detail: Value) {
        self.broken += 1;
        if !self.is_json {
            out::line(format!("BROKEN: {text}"));
        } else if self.found.len() < FAULTS_SHOWN {
            self.found.push(detail);
        }
    }

    async fn lanes(&mut self, engine: &Longhaul) -> Result<(), CliError> {
        for LaneGap { lane, sequence, execution_id } in engine.audit_lanes().await? {
            let said = "no event, or more than one, has this number";
            let near = execution_id.map(|id| format!(" (next to execution {id})"));
            let text =
                format!("lane {lane}, number {sequence}: {said}{}", near.unwrap_or_default());
            self.fault(
                &text,
                json!({"kind": "lane", "id": lane, "sequence": sequence, "fault": "gap",
                    "detail": said, "near": execution_id}),
            );
        }
        Ok(())
    }

    fn end(self, total: AuditTotal) -> ExitCode {
        let AuditTotal { executions, tasks, events } = total;
        if self.is_json {
            out::json(&json!({"ok": self.broken == 0, "executions": executions, "tasks": tasks,
                "events": events, "broken": self.broken, "faults": self.found, "role_may_alter": self.may_alter}));
        } else {
            let verdict = match self.broken {
                0 => "nothing is broken".to_owned(),
                n => format!("{n} broken"),
            };
            out::line(format!(
                "{executions} executions, {tasks} tasks, {events} events: {verdict}"
            ));
        }
        ExitCode::from(u8::from(self.broken > 0))
    }
}

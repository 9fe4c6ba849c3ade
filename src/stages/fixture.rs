//! What a worker gives to a stage, made for tests: a context with a recorder, a log and a home.
//!
//! `Life` is one execution: it remembers outputs and steps as a worker would, and forgets what a
//! crash would make it forget.

use super::*;
use crate::clients::git::fixture::Repo;
use crate::clock::SystemClock;
use crate::config::home::Home;
use crate::config::run::{RunSettings, from_assignments, merge};
use crate::workflow::failure::ErrorKind;
use crate::workflow::state::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Keeps what a stage records and says.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) steps: Mutex<BTreeMap<String, Value>>,
    pub(super) log: Mutex<String>,
}

#[async_trait]
impl Recorder for Notes {
    async fn step(&self, key: &str, value: Value) -> Result<(), Failure> {
        let before = self.steps.lock().expect("lock").insert(key.to_owned(), value);
        assert!(before.is_none(), "step `{key}` was recorded twice");
        Ok(())
    }

    async fn progress(&self, _message: &str, _fraction: Option<f64>) -> Result<(), Failure> {
        Ok(())
    }
}

impl LogSink for Notes {
    fn write(&self, text: &str) {
        self.log.lock().expect("lock").push_str(text);
    }
}

/// One execution.
pub(super) struct Life {
    pub(super) id: Uuid,
    pub(super) home: PathBuf,
    pub(super) repository: Option<String>,
    pub(super) settings: Value,
    pub(super) config: Value,
    pub(super) task: Value,
    pub(super) outputs: BTreeMap<String, Value>,
    pub(super) attempt: u32,
    pub(super) repair_loop: u32,
    pub(super) branch: u32,
    pub(super) origin: Option<Uuid>,
    pub(super) what_if: bool,
    pub(super) feedback: Value,
    pub(super) last_error: Option<Failure>,
    pub(super) signals: Vec<Signal>,
    pub(super) timeout: Duration,
    pub(super) cancelled: CancellationToken,
    pub(super) notes: Arc<Notes>,
}

impl Life {
    /// An execution for `repository`, with settings as `--set` takes them.
    pub(super) fn new(number: u128, home: &Path, repository: &Path, settings: &[&str]) -> Life {
        let mut life = Life {
            id: Uuid::from_u128(number),
            home: home.to_owned(),
            repository: Some(repository.display().to_string()),
            settings: json!({}),
            config: Value::Null,
            task: json!({"title": "Add a file", "description": "Add a file.", "type": "feature"}),
            outputs: BTreeMap::new(),
            attempt: 1,
            repair_loop: 0,
            branch: 1,
            origin: None,
            what_if: false,
            feedback: Value::Null,
            last_error: None,
            signals: Vec::new(),
            timeout: Duration::from_secs(60),
            cancelled: CancellationToken::new(),
            notes: Arc::default(),
        };
        life.set(settings);
        life
    }

    pub(super) fn set(&mut self, settings: &[&str]) {
        let owned: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        merge(&mut self.settings, &from_assignments(&owned).expect("settings"));
    }

    /// The context of the present attempt at `stage`; each stage is called like its kind.
    pub(super) fn context(&self, stage: &str) -> StageContext {
        let kinds = builtin().kinds().into_keys().map(|kind| (kind.clone(), kind));
        let kinds = Arc::new(kinds.collect());
        let settings: RunSettings =
            serde_json::from_value(self.settings.clone()).expect("settings");
        let input = StageInput {
            execution_id: self.id,
            task_id: Uuid::nil(),
            workflow: "default".to_owned(),
            stage: stage.to_owned(),
            attempt: self.attempt,
            tries: 0,
            repair_loop: self.repair_loop,
            branch: self.branch,
            task: serde_json::from_value(self.task.clone()).expect("task"),
            input: json!({}),
            settings: settings.into(),
            config: self.config.clone(),
            repository: self.repository.clone(),
            outputs: self.outputs.clone().into_iter().collect(),
            kinds,
            feedback: self.feedback.clone(),
            last_error: self.last_error.clone(),
            memo: Value::Null,
            signals: self.signals.clone(),
            resumed: false,
            begun_at: None,
            timeout: self.timeout,
            inactivity: None,
            item: None,
            budget_usd: None,
            origin: self.origin,
            what_if: self.what_if,
        };
        let sinks = Sinks {
            recorder: Arc::clone(&self.notes) as Arc<dyn Recorder>,
            log: Arc::clone(&self.notes) as Arc<dyn LogSink>,
            cancelled: self.cancelled.clone(),
            clock: Arc::new(SystemClock),
            home: Home::at(&self.home),
            children: Arc::new(Childless),
        };
        StageContext::new(input, sinks, self.notes.steps.lock().expect("lock").clone())
    }

    /// One attempt at a stage, whose outcome is not recorded anywhere.
    pub(super) async fn attempt(&self, stage: &str) -> Result<StageOutcome, Failure> {
        let executor = builtin().get(stage).expect("known kind");
        executor.run(&self.context(stage)).await
    }

    /// An attempt that has to succeed, and its output.
    pub(super) async fn done(&self, stage: &str) -> Value {
        match self.attempt(stage).await {
            Ok(StageOutcome::Done(output)) => output,
            other => panic!("{stage}: {other:?}\n{}", self.log()),
        }
    }

    /// An attempt that has to fail, and how.
    pub(super) async fn fails(&self, stage: &str) -> Failure {
        match self.attempt(stage).await {
            Err(failure) => failure,
            other => panic!("{stage}: {other:?}\n{}", self.log()),
        }
    }

    /// Runs stages one after another and records their outputs, as a worker does.
    pub(super) async fn live(&mut self, stages: &[&str]) -> &mut Self {
        for stage in stages {
            let output = self.done_patiently(stage).await;
            self.outputs.insert((*stage).to_owned(), output);
            self.notes.steps.lock().expect("lock").clear();
        }
        self
    }

    async fn done_patiently(&self, stage: &str) -> Value {
        loop {
            match self.attempt(stage).await {
                Ok(StageOutcome::Done(output)) => return output,
                Ok(StageOutcome::Wait(wait)) if wait.wake_at.is_some() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => panic!("{stage}: {other:?}\n{}", self.log()),
            }
        }
    }

    /// A later stage sends the work back to code generation.
    pub(super) fn reopen(&mut self, by: &str, failure: &Failure) {
        self.repair_loop += 1;
        self.attempt += 1;
        self.feedback = json!({"stage": by, "message": failure.message, "detail": failure.detail});
        for stage in ["code_generation", "testing", "pr_creation", "validation", "deployment"] {
            self.outputs.remove(stage);
        }
        self.notes.steps.lock().expect("lock").clear();
    }

    pub(super) fn log(&self) -> String {
        self.notes.log.lock().expect("lock").clone()
    }

    pub(super) fn tree(&self) -> PathBuf {
        Home::at(&self.home).workspace(self.id).join("tree")
    }
}

/// A repository and a home beside it, for one execution.
pub(super) struct World {
    pub(super) repo: Repo,
    pub(super) home: TempDir,
    pub(super) life: Life,
}

/// A repository whose tests are `sh test.sh`, and an agent that is this line of shell.
pub(super) fn world(agent: &str) -> World {
    let test = "echo 'testing'; test ! -e broken\n";
    let repo = Repo::with(&[("a.txt", "a\n"), ("test.sh", test), (".gitignore", "cache/\n")]);
    let home = tempfile::tempdir().expect("home");
    let life = Life::new(1, home.path(), repo.path(), &["test.command=sh test.sh"]);
    let mut world = World { repo, home, life };
    world.agent(agent);
    world
}

impl World {
    /// Makes another line of shell the agent.
    pub(super) fn agent(&mut self, line: &str) {
        merge(&mut self.life.settings, &json!({"agent": {"command": agent(line)}}));
    }
}

/// The `agent.command` for a line of shell.
pub(super) fn agent(line: &str) -> String {
    format!("sh -c {}", shell_words::quote(line))
}

/// The chain from the agent to the merge.
pub(super) const CHAIN: [&str; 5] =
    ["code_generation", "testing", "pr_creation", "validation", "deployment"];

/// What a failure has to be.
pub(super) fn assert_failure(failure: &Failure, kind: ErrorKind, words: &[&str]) {
    assert_eq!(failure.kind, kind, "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "`{word}` is not in: {}", failure.message);
    }
}

/// Nobody starts children here.
struct Childless;

#[async_trait]
impl Children for Childless {
    async fn start(&self, _: ChildWish) -> Result<(), Failure> {
        Err(Failure::new(ErrorKind::Permanent, "no children here"))
    }

    async fn look(&self, _: Uuid) -> Result<ChildState, Failure> {
        Err(Failure::new(ErrorKind::Permanent, "no children here"))
    }
}

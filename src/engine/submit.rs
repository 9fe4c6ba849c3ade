//! From plain language to a queued execution: parse, choose the workflow, pin the settings, append.
//!
//! Everything that can be known to be wrong is said here, before anything is stored.

use super::workflows::WorkflowError;
use super::{Longhaul, ProcessError};
use crate::clients::git::{GitError, Source};
use crate::config::run::{Forge, RunSettings, SettingsError, merge};
use crate::store::{NewExecution, NewTask, StoreError, Submitted};
use crate::task::{self, Context, ParseRefusal, Priority, Task};
use crate::workflow::definition::Definition;
use crate::workflow::event::Request;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

/// What somebody wants done. `Submission::text("...")` and the fields that differ from the default.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// The request in plain language; empty when `task` is given.
    pub text: String,
    /// A structured task, used as it is.
    pub task: Option<Task>,
    /// The workflow, whatever the text suggests.
    pub workflow: Option<String>,
    /// A local path or `OWNER/NAME`.
    pub repository: Option<String>,
    /// The priority, whatever the text suggests.
    pub priority: Option<Priority>,
    /// An object that conditions and stages see as `input`.
    pub input: Value,
    /// Settings of this execution; an object as `--set` makes it.
    pub settings: Value,
    /// Makes a repeat return the first.
    pub idempotency_key: Option<String>,
}

impl Submission {
    /// A request in plain language.
    pub fn text(text: impl Into<String>) -> Self {
        Submission { text: text.into(), ..Submission::default() }
    }
}

/// Why nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The text cannot be made a task.
    #[error(transparent)]
    Parse(#[from] ParseRefusal),
    /// The task is not complete.
    #[error("the task cannot be started: {0}")]
    Task(String),
    /// The workflow.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The repository.
    #[error("{0}")]
    Repository(String),
    /// Something is missing that a stage will need.
    #[error("the execution would fail: {}", .0.join("; "))]
    Preflight(Vec<String>),
    /// The input.
    #[error("the input must be a JSON object, not {0}")]
    Input(String),
    /// An empty key would make every submission the first one.
    #[error("the idempotency key is empty; leave it out, or give one that is this request's own")]
    EmptyKey,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SubmitError> for ProcessError {
    fn from(error: SubmitError) -> Self {
        ProcessError::Store(StoreError::Refused(error.to_string()))
    }
}

impl Longhaul {
    /// Creates a task and requests its execution; returns at once. A known idempotency key returns
    /// what it made the first time.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        self.submit_as(submission, Uuid::now_v7()).await
    }

    /// The same under an id that the caller has made, so that it can listen before anything happens.
    pub(super) async fn submit_as(
        &self,
        submission: Submission,
        execution_id: Uuid,
    ) -> Result<Submitted, SubmitError> {
        if submission.idempotency_key.as_deref() == Some("") {
            return Err(SubmitError::EmptyKey);
        }
        if let Some(key) = &submission.idempotency_key
            && let Some(known) = self.store.submission(key).await?
        {
            return Ok(known);
        }
        if !(submission.input.is_null() || submission.input.is_object()) {
            return Err(SubmitError::Input(submission.input.to_string()));
        }
        let repository = self.locate(submission.repository.as_deref()).await?;
        let task_id = Uuid::now_v7();
        let (task, events) = self.understand(&submission, repository.as_ref()).await?;
        let definition = self.find_workflow(&task.workflow).await?;
        self.judge(&definition)?;
        let settings = self.run_settings(&submission, repository.as_ref())?;
        self.preflight(&definition, &settings, repository.as_ref())?;
        if let Some(source) = &repository {
            check_base(source, &settings).await?;
        }
        let mut limits = self.settings.limits();
        limits.cost_usd = settings.limits.cost_usd;
        let rank = task.priority_rank.max(definition.min_priority.unwrap_or(0));
        let request = Request {
            task_id,
            task: to_json(&task)?,
            definition: definition.resolved(&limits),
            input: if submission.input.is_null() { json!({}) } else { submission.input.clone() },
            settings: to_json(&settings)?,
            repository: repository.as_ref().map(name_of),
            limits,
            priority: rank.min(10),
            origin: None,
            parent: None,
            continues: None,
        };
        let key = submission.idempotency_key;
        let task = NewTask { task_id, idempotency_key: key, events };
        let execution = NewExecution { execution_id, request };
        self.hand_in(&task, &execution).await
    }

    /// Queues it; or begins it at once, if the worker of this process has a slot free for it and none
    /// of its stages asks for anything first.
    async fn hand_in(
        &self,
        task: &NewTask,
        execution: &NewExecution,
    ) -> Result<Submitted, SubmitError> {
        let now = self.clock.now();
        let may_begin = self.stages.asks_nothing(&execution.request);
        let seat = if may_begin { self.local.desk.reserve() } else { None };
        let Some(seat) = seat else {
            return Ok(self.store.submit(task, execution, &self.actor, now).await?);
        };
        let worker = seat.worker;
        let (submitted, begun) =
            self.store.submit_begun(task, execution, &self.actor, now, worker).await?;
        if let Some(begun) = begun {
            seat.take(begun);
        }
        Ok(submitted)
    }

    /// The structured task and the facts of how it came about.
    async fn understand(
        &self,
        submission: &Submission,
        repository: Option<&Source>,
    ) -> Result<(Task, Vec<(&'static str, Value)>), SubmitError> {
        let mut context = Context::at(self.clock.now());
        context.workflow.clone_from(&submission.workflow);
        context.priority = submission.priority;
        context.repository = repository.map(name_of);
        let source = self.source;
        // The document itself stands in the task's row and, under its hash, in ExecutionRequested.
        let (parsed, mut events) = match &submission.task {
            Some(task) => (task.clone(), vec![("TaskCreated", json!({"source": source}))]),
            None => {
                let parsed = task::parse(&submission.text, &context)?;
                let created = json!({"text": submission.text, "source": source});
                let read = json!({"parsed_by": parsed.parsed_by, "task_type": parsed.task_type,
                    "confidence": parsed.confidence});
                (parsed, vec![("TaskCreated", created), ("TaskParsed", read)])
            }
        };
        let before = to_json(&parsed)?;
        let mut task = task::enhance(parsed, &context);
        if let Some(workflow) = &submission.workflow {
            task.workflow.clone_from(workflow);
        }
        let known = self.known_workflows().await?;
        let names: Vec<&str> = known.iter().map(|d| d.name.as_str()).collect();
        let verdict = task::validate(&task, &names);
        if !verdict.errors.is_empty() {
            return Err(SubmitError::Task(verdict.errors.join("; ")));
        }
        let new = verdict.warnings.into_iter().filter(|w| !task.warnings.contains(w));
        task.warnings.extend(new.collect::<Vec<_>>());
        let added = changes(&before, &to_json(&task)?);
        if !added.is_empty() {
            events.push(("TaskEnhanced", json!({"fields": added})));
        }
        Ok((task, events))
    }

    /// The repository's own file, the program's settings, the caller's: the later wins.
    fn run_settings(
        &self,
        submission: &Submission,
        repository: Option<&Source>,
    ) -> Result<RunSettings, SubmitError> {
        let mut layers = Vec::new();
        if let Some(source) = repository {
            layers.extend(repository_file(source.path())?);
        }
        layers.push(("settings file".to_owned(), self.settings.run.clone()));
        if !submission.settings.is_null() {
            layers.push(("--set".to_owned(), submission.settings.clone()));
        }
        Ok(RunSettings::from_layers(&layers)?)
    }

    /// What the stages already know to be missing.
    pub(super) fn preflight(
        &self,
        definition: &Definition,
        settings: &RunSettings,
        repository: Option<&Source>,
    ) -> Result<(), SubmitError> {
        let mut missing: Vec<String> = Vec::new();
        for stage in &definition.stages {
            let Some(executor) = self.stages.get(&stage.kind) else { continue };
            missing.extend(executor.preflight(settings, &stage.config));
            if executor.needs_repository() && repository.is_none() {
                let said = "needs a repository; give one with --repo PATH";
                missing.push(format!("stage `{}` {said}", stage.name));
            }
        }
        if settings.forge == Forge::Github {
            missing.push("forge `github` is not built into this version; use `local`".to_owned());
        }
        missing.dedup();
        if missing.is_empty() { Ok(()) } else { Err(SubmitError::Preflight(missing)) }
    }

    /// Where a repository is: a directory must belong to a git repository.
    pub(super) async fn locate(
        &self,
        repository: Option<&str>,
    ) -> Result<Option<Source>, SubmitError> {
        let Some(text) = repository else { return Ok(None) };
        let path = Path::new(text);
        let wrong = |said: String| SubmitError::Repository(format!("repository `{text}`: {said}"));
        if !path.exists() {
            let said = "there is no such directory; give the path of a git repository";
            return Err(wrong(said.to_owned()));
        }
        Source::locate(path).await.map(Some).map_err(|e| wrong(e.to_string()))
    }
}

/// A change needs something to start from.
async fn check_base(source: &Source, settings: &RunSettings) -> Result<(), SubmitError> {
    let wrong = |e: GitError| SubmitError::Repository(e.to_string());
    let base = source.base_branch(settings.base.as_deref()).await.map_err(wrong)?;
    source.tip(&base).await.map(drop).map_err(wrong)
}

fn name_of(source: &Source) -> String {
    source.path().display().to_string()
}

fn repository_file(path: &Path) -> Result<Option<(String, Value)>, SettingsError> {
    let file = path.join("longhaul.toml");
    let origin = file.display().to_string();
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SettingsError::Value { origin, problem: error.to_string() }),
    };
    let mut layer = json!({});
    let value: Value = toml::from_str(&text)
        .map_err(|e| SettingsError::Value { origin: origin.clone(), problem: e.to_string() })?;
    merge(&mut layer, &value);
    Ok(Some((origin, layer)))
}

/// Names of the fields of `after` that `before` does not have, or has otherwise.
fn changes(before: &Value, after: &Value) -> Vec<String> {
    let fields = after.as_object().into_iter().flatten();
    fields
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(key, _)| key.clone())
        .collect()
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value, SubmitError> {
    serde_json::to_value(value)
        .map_err(|e| SubmitError::Task(format!("it cannot be written as JSON: {e}")))
}

//! The stage kind `code_generation`: a coding agent works in a worktree of its own, and what it leaves
//! there becomes one commit.
//!
//! The worktree is reset first, so that nothing of a broken attempt is left; the agent runs; the
//! final state of the directory is taken, whatever the agent did to git; policies judge it; only then
//! does the commit become the execution's work. A commit of the same round that is there already was
//! made by an attempt that died before it could say so: it is taken, and no agent runs again.

mod policy;
mod start;
mod turn;

use super::workbench::{TREE, Workbench};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::clients::agent;
use crate::clients::git::{Change, Head, Place, Round, message};
use crate::config::run::RunSettings;
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use policy::Findings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use start::Start;

/// Modified files beyond this many, or this many bytes of names, are counted but not listed.
const FILES_MAX: usize = 500;
const NAMES_BYTES_MAX: usize = 64 * 1024;

/// Has a coding agent do the task.
pub(super) struct CodeGeneration;

#[async_trait]
impl StageExecutor for CodeGeneration {
    fn service(&self, settings: &Value, _config: &Value) -> Option<String> {
        let name = settings.pointer("/agent/name").and_then(Value::as_str).unwrap_or("command");
        Some(format!("agent:{name}"))
    }

    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec![
            "branch",
            "commit",
            "base",
            "base_commit",
            "modified_files",
            "files_total",
            "diff_stat",
            "agent",
            "cost",
            "tokens",
            "summary",
            "warnings",
        ])
    }

    fn preflight(&self, settings: &RunSettings, _config: &Value) -> Vec<String> {
        let unknown = agent::find(&settings.agent.name).err().map(|error| error.message);
        let is_set = settings.agent.command.as_ref().is_some_and(|line| !line.trim().is_empty());
        let missing = (settings.agent.name == "command" && !is_set).then(|| {
            "no coding agent is configured; set `agent.command`, for example --agent-command 'my-agent --yes'"
                .to_owned()
        });
        unknown.into_iter().chain(missing).collect()
    }

    fn needs_repository(&self) -> bool {
        true
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let bench = Workbench::open(ctx).await?;
        let place = bench.enter(ctx, TREE).await?;
        let work = Work { ctx, bench, round: round(ctx) };
        let (start, done) = match work.find_done().await? {
            Some(found) => found,
            None => work.perform(&place).await?,
        };
        work.output(&start, done).await.map(StageOutcome::Done)
    }
}

fn round(ctx: &StageContext) -> Round {
    Round {
        execution: ctx.input.execution_id,
        stage: ctx.input.stage.clone(),
        branch: ctx.input.branch,
        repair_loop: ctx.input.repair_loop,
    }
}

/// One attempt.
struct Work<'a> {
    ctx: &'a StageContext,
    bench: Workbench,
    round: Round,
}

/// What the attempt gave; recorded as soon as it is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Done {
    commit: String,
    summary: Option<String>,
    usd: f64,
    input_tokens: u64,
    output_tokens: u64,
    warnings: Vec<String>,
}

/// The step under which `Done` is recorded.
const STEP: &str = "commit";

impl Work<'_> {
    /// The commit of this round, if an earlier attempt made it.
    async fn find_done(&self) -> Result<Option<(Start, Done)>, Failure> {
        let commits = self.bench.mirror.work_of(self.ctx.input.execution_id).await?;
        let Some(index) = commits.iter().position(|commit| commit.is_of(&self.round)) else {
            return Ok(None);
        };
        let commit = &commits[index];
        self.ctx.log(format!("an earlier attempt already made commit {}; taking it", commit.id));
        let start = Start::before(self.ctx, &self.bench, commit).await?;
        let recorded = self.ctx.recorded(STEP).and_then(|value| serde_json::from_value(value).ok());
        let done = recorded.filter(|done: &Done| done.commit == commit.id);
        let done = done.unwrap_or_else(|| Done { commit: commit.id.clone(), ..Done::default() });
        Ok(Some((start, done)))
    }

    async fn perform(&self, place: &Place) -> Result<(Start, Done), Failure> {
        let (ctx, bench) = (self.ctx, &self.bench);
        let start = Start::choose(ctx, bench).await?;
        let head = Head {
            content: &start.content,
            base: (&bench.base.branch, &start.base_commit),
            ..bench.head(&start.commit)
        };
        place.checkout(&bench.mirror, &head).await?;
        ctx.progress("the agent works", None).await?;
        let before = self.fingerprint().await;
        let ended = turn::run(ctx, bench, place, &start).await;
        ctx.spend(ended.report.cost);
        // Nobody may go on writing while the result is taken.
        place.end_leftovers().await;
        if let Err(failure) = ended.result {
            self.keep_rest(&start, place).await;
            return Err(failure);
        }
        let tree = self.take(place).await?;
        place.settle()?;
        let is_user_disturbed = before != self.fingerprint().await;
        let findings =
            Findings::of(ctx, bench, &start, &tree, place.dir(), is_user_disturbed).await?;
        if let Some(red) = findings.red() {
            self.keep_try(&start, &tree).await;
            return Err(red.into());
        }
        let commit = self.commit(&start, &tree).await?;
        let warnings = findings.warnings.into_iter().chain(ended.report.warnings).collect();
        let cost = ended.report.cost;
        let done = Done {
            commit,
            summary: ended.report.summary,
            usd: cost.usd,
            input_tokens: cost.input_tokens,
            output_tokens: cost.output_tokens,
            warnings,
        };
        // Of use to an attempt that finds the commit; the commit itself says that the work is done.
        ctx.step(STEP, async { Ok(done.clone()) }).await?;
        Ok((start, done))
    }

    /// What is in the user's checkout. Not worth failing for.
    async fn fingerprint(&self) -> Option<String> {
        self.bench.mirror.source().fingerprint().await.ok().flatten()
    }

    async fn take(&self, place: &Place) -> Result<String, Failure> {
        place.capture(&self.bench.mirror).await?.ok_or_else(|| {
            let said = format!("the coding agent removed its worktree {}", place.dir().display());
            Failure::new(ErrorKind::Rejected, format!("{said}; it may only change files in it"))
        })
    }

    async fn commit(&self, start: &Start, tree: &str) -> Result<String, Failure> {
        let (ctx, mirror) = (self.ctx, &self.bench.mirror);
        let task = &ctx.input.task;
        let text = message(&task.title, &task.description, &self.round, ctx.input.attempt);
        let commit = match start.is_same(tree) {
            // Nothing changed, and the policy lets it pass: there is nothing to commit.
            true => start.commit.clone(),
            false => mirror.commit(tree, &start.parents(), &text).await?,
        };
        mirror.keep_work(ctx.input.execution_id, &commit).await?;
        ctx.log(format!("commit {commit}"));
        Ok(commit)
    }

    async fn keep_rest(&self, start: &Start, place: &Place) {
        if self.ctx.cancelled().is_cancelled() {
            return;
        }
        if let Ok(tree) = self.take(place).await {
            self.keep_try(start, &tree).await;
        }
    }

    /// What a failed attempt had done so far is not used, but not lost either.
    async fn keep_try(&self, start: &Start, tree: &str) {
        if start.is_same(tree) {
            return;
        }
        let (id, attempt) = (self.ctx.input.execution_id, self.ctx.input.attempt);
        let text = message("Not accepted", "", &self.round, attempt);
        let mirror = &self.bench.mirror;
        let kept = async {
            let commit = mirror.commit(tree, &start.parents(), &text).await?;
            mirror.keep_try(id, &self.round.stage, attempt, &commit).await
        };
        match kept.await {
            Ok(name) => {
                let dir = mirror.dir().display();
                self.ctx.log(format!("what it had changed is kept as {name} in {dir}"));
            }
            Err(error) => self.ctx.log(format!("what it had changed could not be kept: {error}")),
        }
    }

    async fn output(&self, start: &Start, done: Done) -> Result<Value, Failure> {
        let mirror = &self.bench.mirror;
        let base_commit = start.base_commit.as_str();
        let changes = mirror.changes(base_commit, &done.commit).await?;
        let stat = mirror.diff_stat(base_commit, &done.commit).await?;
        for warning in &done.warnings {
            self.ctx.log(format!("warning: {warning}"));
        }
        Ok(json!({
            "branch": self.bench.branch,
            "commit": done.commit,
            "base": self.bench.base.branch,
            "base_commit": base_commit,
            "modified_files": listed(&changes),
            "files_total": changes.len(),
            "diff_stat": stat,
            "agent": self.ctx.input.settings.agent.name,
            "cost": done.usd,
            "tokens": {"input": done.input_tokens, "output": done.output_tokens},
            "summary": done.summary,
            "warnings": done.warnings,
        }))
    }
}

fn listed(changes: &[Change]) -> Vec<&str> {
    let mut room = NAMES_BYTES_MAX;
    let fits = |path: &&str| {
        room = room.saturating_sub(path.len());
        room > 0
    };
    changes.iter().take(FILES_MAX).map(|change| change.path.as_str()).take_while(fits).collect()
}

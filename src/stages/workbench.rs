//! What every stage that touches a repository begins with: the repository, our mirror of it, where
//! the execution started, and the places in which it works.
//!
//! Everything here can be found again from the execution's id and its outputs, on this machine after
//! a crash and, as long as the repository is in reach, on another one.

use super::StageContext;
use crate::clients::forge::{Forge as ForgeClient, Local};
use crate::clients::git::{self, GitError, Head, Lock, Mirror, Place, Source, remove_tree};
use crate::config::home::Home;
use crate::config::run::Forge;
use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where an execution started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// The branch that the change goes to.
    pub(super) branch: String,
    /// The newest commit of it that the change is built on.
    pub(super) commit: String,
}

/// Everything a stage needs to work on a repository.
pub(super) struct Workbench {
    pub(super) mirror: Mirror,
    pub(super) base: Base,
    /// The branch of the execution.
    pub(super) branch: String,
    /// The directory of the execution.
    pub(super) workspace: PathBuf,
    until: Instant,
}

impl Workbench {
    /// Finds the repository and where the execution started; notes the latter if this is the start.
    pub(super) async fn open(ctx: &StageContext) -> Result<Workbench, Failure> {
        let until = Instant::now() + ctx.input.timeout.saturating_sub(margin(ctx.input.timeout));
        git::check_version().await?;
        let source = Source::locate(&repository(ctx)?).await?;
        let known = base_of_outputs(ctx);
        // Said once, by the first stage that looks.
        for note in source.notes.iter().filter(|_| known.is_none()) {
            ctx.log(note);
        }
        // Asked before anything is copied: an empty repository is no reason for an empty mirror.
        let branch = match &known {
            Some(base) => base.branch.clone(),
            None => source.base_branch(ctx.input.settings.base.as_deref()).await?,
        };
        let mirror = Mirror::open(&ctx.home().repositories(), &source, ctx.cancelled()).await?;
        let base = match known {
            Some(base) => base,
            None => start(ctx, &mirror, branch).await?,
        };
        Ok(Workbench {
            mirror,
            base,
            branch: git::branch_name(ctx.input.execution_id, &ctx.input.task.title),
            workspace: ctx.home().workspace(ctx.input.execution_id),
            until,
        })
    }

    /// Takes over a directory of the execution. Nobody else uses it until the place is dropped.
    pub(super) async fn enter(&self, ctx: &StageContext, name: &str) -> Result<Place, Failure> {
        let place = Place::enter(&self.workspace, name, ctx.cancelled()).await?;
        if place.found_running() > 0 {
            ctx.log(format!(
                "ended {} processes that an earlier attempt had left",
                place.found_running()
            ));
        }
        Ok(place)
    }

    /// How a commit is checked out.
    pub(super) fn head<'a>(&'a self, commit: &'a str) -> Head<'a> {
        let base = (self.base.branch.as_str(), self.base.commit.as_str());
        Head { commit, content: commit, branch: &self.branch, base }
    }

    /// The forge that the settings name.
    pub(super) fn forge(&self, ctx: &StageContext) -> Result<Box<dyn ForgeClient>, Failure> {
        match ctx.input.settings.forge {
            Forge::Local => Ok(Box::new(Local::new(self.mirror.clone(), ctx.cancelled().clone()))),
            Forge::Github => Err(no_github()),
        }
    }

    /// What is left of the attempt's time, less what it takes to say that it has run out.
    pub(super) fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1))
    }

    /// The commit that the execution has come to: of its newest work, else where it started.
    pub(super) fn current(&self, ctx: &StageContext) -> String {
        let output = ctx.output_of_kind("code_generation");
        text(output, "commit").unwrap_or_else(|| self.base.commit.clone())
    }
}

/// A program that is ended a little before the attempt is leaves time for its outcome to be told.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(8))
}

/// The main place of an execution: the worktree that agents and tests work in.
pub(super) const TREE: &str = "tree";

/// Removes the worktree of an execution that has completed: its caches are large, and everything in it
/// can be made again from the mirror. Results and notes stay.
pub(crate) async fn tidy_up(home: &Home, execution_id: Uuid) {
    let workspace = home.workspace(execution_id);
    if !workspace.exists() {
        return;
    }
    let removed = async {
        let lock = workspace.join(format!("{TREE}.lock"));
        let never = CancellationToken::new();
        // A rewind may already be at work in there again, and then it is not ours to remove.
        match Lock::take_within(&lock, Duration::from_secs(1), &never).await? {
            Some(_lock) => remove_tree(&workspace.join(TREE)).await,
            None => Ok(()),
        }
    };
    if let Err(error) = removed.await {
        tracing::warn!(%error, execution.id = %execution_id, "the worktree could not be removed");
    }
}

/// A text in an output.
pub(super) fn text(output: Option<&Value>, key: &str) -> Option<String> {
    output?.get(key)?.as_str().map(str::to_owned)
}

fn repository(ctx: &StageContext) -> Result<PathBuf, Failure> {
    let permanent = |said: String| Err(Failure::new(ErrorKind::Permanent, said));
    let stage = &ctx.input.stage;
    match ctx.input.repository.as_deref().map(Path::new) {
        None => permanent(format!("stage `{stage}` needs a repository; name one with --repo PATH")),
        Some(path) if path.exists() => Ok(path.to_owned()),
        Some(_) if ctx.input.settings.forge == Forge::Github => Err(no_github()),
        Some(path) => permanent(format!(
            "the repository {} does not exist on this machine; give the path of one (--repo PATH)",
            path.display()
        )),
    }
}

/// The forge is known by name only.
pub(super) fn no_github() -> Failure {
    let said = "forge `github` is not part of this program yet; known forges: local";
    Failure::new(
        ErrorKind::Permanent,
        format!("{said}; set `forge=local` and give a path as --repo"),
    )
}

/// Where an earlier stage found the start. Code generation may have moved it since the analysis.
fn base_of_outputs(ctx: &StageContext) -> Option<Base> {
    let of_kind = |kind| {
        let output = ctx.output_of_kind(kind);
        Some(Base { branch: text(output, "base")?, commit: text(output, "base_commit")? })
    };
    of_kind("code_generation").or_else(|| of_kind("analysis"))
}

async fn start(ctx: &StageContext, mirror: &Mirror, branch: String) -> Result<Base, GitError> {
    let id = ctx.input.execution_id;
    if let Some((branch, commit)) = mirror.base_of(id).await? {
        return Ok(Base { branch, commit });
    }
    // A fork begins where the other one began, wherever the branch is now.
    let other = match ctx.input.origin {
        Some(origin) => mirror.base_of(origin).await?,
        None => None,
    };
    if let Some((branch, commit)) = other {
        let (branch, commit) = mirror.keep_base(id, &branch, &commit).await?;
        return Ok(Base { branch, commit });
    }
    let commit = mirror.source().tip(&branch).await?;
    mirror.need(&commit).await?;
    let (branch, commit) = mirror.keep_base(id, &branch, &commit).await?;
    Ok(Base { branch, commit })
}

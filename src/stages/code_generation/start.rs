//! What an attempt starts from: the newest accepted work of this branch, else where the execution
//! started; and, after a merge conflict, both sides of it.

use super::super::StageContext;
use super::super::workbench::{Workbench, text};
use crate::clients::git::{EngineCommit, GitError, Merged, merge_trees};
use serde_json::Value;

/// What an attempt starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The first parent of the commit to come.
    pub(super) commit: String,
    /// What the directory holds at first: a commit, or the tree of a merge that was begun.
    pub(super) content: String,
    /// The newest commit of the base that the work is built on; what differs from it is the change.
    pub(super) base_commit: String,
    /// The base, if it is to be merged into the work.
    merged: Option<String>,
    /// Files with conflict markers.
    pub(super) conflicts: Vec<String>,
    content_tree: String,
}

impl Start {
    /// What this attempt starts from.
    pub(super) async fn choose(ctx: &StageContext, bench: &Workbench) -> Result<Start, GitError> {
        let commits = bench.mirror.work_of(ctx.input.execution_id).await?;
        let on_branch = commits.iter().find(|commit| commit.is_on_branch(ctx.input.branch));
        let is_repair = ctx.input.repair_loop > 0;
        let commit = on_branch
            .map(|commit| commit.id.clone())
            // The work was kept when the execution was rewound or forked, and is now sent back.
            .or_else(|| judged_commit(&ctx.input.feedback).filter(|_| is_repair))
            .or_else(|| commits.first().filter(|_| is_repair).map(|commit| commit.id.clone()))
            // Another stage of this kind came before.
            .or_else(|| text(ctx.output_of_kind("code_generation"), "commit"))
            .unwrap_or_else(|| bench.base.commit.clone());
        bench.mirror.need(&commit).await?;
        match advanced_base(&ctx.input.feedback) {
            Some(base) => Start::merging(bench, commit, base).await,
            None => Start::at(bench, commit).await,
        }
    }

    /// What the attempt started from that made `done`.
    pub(super) async fn before(
        ctx: &StageContext,
        bench: &Workbench,
        done: &EngineCommit,
    ) -> Result<Start, GitError> {
        let mut start = Start::at(bench, done.parent.clone()).await?;
        if let Some(base) = advanced_base(&ctx.input.feedback) {
            start.base_commit = base;
        }
        Ok(start)
    }

    async fn at(bench: &Workbench, commit: String) -> Result<Start, GitError> {
        let base_commit = base_of(bench, &commit).await?;
        let content_tree = bench.mirror.tree_of(&commit).await?;
        Ok(Start {
            content: commit.clone(),
            commit,
            base_commit,
            merged: None,
            conflicts: Vec::new(),
            content_tree,
        })
    }

    async fn merging(bench: &Workbench, commit: String, base: String) -> Result<Start, GitError> {
        bench.mirror.need(&base).await?;
        let (tree, conflicts) = match merge_trees(&bench.mirror, &commit, &base).await? {
            Merged::Clean { tree } => (tree, Vec::new()),
            Merged::Conflict { tree, files } => (tree, files),
        };
        Ok(Start {
            commit,
            content: tree.clone(),
            base_commit: base.clone(),
            merged: Some(base),
            conflicts,
            content_tree: tree,
        })
    }

    /// The parents of the commit to come.
    pub(super) fn parents(&self) -> Vec<&str> {
        [Some(self.commit.as_str()), self.merged.as_deref()].into_iter().flatten().collect()
    }

    /// Whether `tree` is what was there at first, so that a commit would say nothing.
    pub(super) fn is_same(&self, tree: &str) -> bool {
        self.merged.is_none() && self.content_tree == tree
    }
}

/// The commit that was judged, when a later stage sent it back.
fn judged_commit(feedback: &Value) -> Option<String> {
    feedback.pointer("/detail/commit")?.as_str().map(str::to_owned)
}

/// The commit of the base that a merge ran into; `forge` puts it there.
fn advanced_base(feedback: &Value) -> Option<String> {
    feedback.pointer("/detail/merge/base_commit")?.as_str().map(str::to_owned)
}

/// The newest commit of the base that `commit` contains: an earlier round may have merged it in.
async fn base_of(bench: &Workbench, commit: &str) -> Result<String, GitError> {
    let base = &bench.base;
    if *commit == base.commit {
        return Ok(base.commit.clone());
    }
    let tip = format!("refs/heads/{}", base.branch);
    let asked = ["merge-base", commit, &tip].map(str::to_owned);
    let output = bench.mirror.git().ask(&asked, None).await?;
    Ok(if output.code == 0 { output.text() } else { base.commit.clone() })
}

//! Moving the base branch to a merge, in an order that never breaks it.
//!
//! The merge is built without a worktree; when the base has moved on since the change was validated,
//! the result is judged first; then the base moves by compare-and-swap, and from the start again if
//! somebody was quicker. Of our own workers only one at a time merges into a repository: otherwise
//! each would invalidate what the others are judging.

use super::super::{ChangeRequest, Judge, Landing, Merge};
use super::Local;
use crate::clients::git::{
    Expected, Git, GitError, Lock, Merged, merge_message, merge_trees, move_ref, name_some,
};
use crate::workflow::failure::{ErrorKind, Failure};
use serde_json::json;
use std::path::Path;

/// How often the base may move under our hands, by people who push to it.
const TRIES: u32 = 10;

/// What became of an attempt to move the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    /// It is there.
    There,
    /// It is somewhere else by now.
    SomebodyWasQuicker,
}

impl Local {
    pub(super) async fn land(
        &self,
        merge: &Merge<'_>,
        judge: &dyn Judge,
    ) -> Result<Landing, Failure> {
        let queue = self.merge_lock();
        let turn = Lock::take_within(&queue, merge.patience, &self.cancelled).await?;
        let Some(_turn) = turn else { return Ok(Landing::Busy) };
        let base = &merge.change.base;
        for _ in 0..TRIES {
            self.mirror.refresh().await?;
            let tip = self.source().tip(base).await?;
            self.mirror.need(&tip).await?;
            if let Some(commit) = self.landed_as(&merge.change.head_sha, &tip).await? {
                return Ok(Landing::Landed { commit, was_before: true });
            }
            let commit = self.build(merge, &tip, judge).await?;
            self.transfer(&commit).await?;
            if self.move_base(base, &tip, &commit).await? == Moved::There {
                self.verify(base, &commit).await?;
                return Ok(Landing::Landed { commit, was_before: false });
            }
            tracing::info!(base, "the base moved while a change was being merged; merging anew");
        }
        let said = format!("branch `{base}` moved {TRIES} times while the change was being merged");
        Err(Failure::new(ErrorKind::Transient, said))
    }

    /// The first commit on the way of `tip` that contains `head`, if one does.
    async fn landed_as(&self, head: &str, tip: &str) -> Result<Option<String>, GitError> {
        let git = self.mirror.git();
        if !git.is_so(["merge-base", "--is-ancestor", head, tip]).await? {
            return Ok(None);
        }
        let range = format!("{head}..{tip}");
        let asked = ["rev-list", "--first-parent", "--ancestry-path", "--reverse", &range];
        let said = git.text(asked).await?;
        Ok(Some(said.lines().next().unwrap_or(head).to_owned()))
    }

    /// The commit that merges the change into `tip`, judged if it is not what was proposed.
    async fn build(
        &self,
        merge: &Merge<'_>,
        tip: &str,
        judge: &dyn Judge,
    ) -> Result<String, Failure> {
        let change = merge.change;
        let tree = match merge_trees(&self.mirror, tip, &change.head_sha).await? {
            Merged::Clean { tree } => tree,
            Merged::Conflict { files, .. } => return Err(conflict(change, tip, &files)),
        };
        let text = merge_message(merge.title, change.number, &change.branch, merge.execution);
        let commit = self.mirror.commit(&tree, &[tip, &change.head_sha], &text).await?;
        if tree != self.mirror.tree_of(&change.head_sha).await? {
            judge.judge(&commit).await?;
        }
        Ok(commit)
    }

    async fn move_base(&self, base: &str, from: &str, to: &str) -> Result<Moved, Failure> {
        if let Some(tree) = self.source().checkout_of(base).await? {
            return self.move_checkout(&tree, base, from, to).await;
        }
        let name = format!("refs/heads/{base}");
        let moved = move_ref(&self.git(), &name, to, Expected::At(from)).await?;
        Ok(if moved { Moved::There } else { Moved::SomebodyWasQuicker })
    }

    /// The base is checked out: its files have to move with it, and somebody may work on them. Git
    /// does both or neither.
    async fn move_checkout(
        &self,
        tree: &Path,
        base: &str,
        from: &str,
        to: &str,
    ) -> Result<Moved, Failure> {
        let asked =
            ["merge", "--ff-only", "--no-autostash", "--no-verify-signatures", "--quiet", to];
        let result = Git::here(tree).run(asked).await;
        match (result, self.source().tip(base).await?) {
            (Ok(_), _) => Ok(Moved::There),
            (Err(_), now) if now != from => Ok(Moved::SomebodyWasQuicker),
            (Err(error), _) => Err(stuck(tree, base, error)),
        }
    }

    async fn verify(&self, base: &str, commit: &str) -> Result<(), Failure> {
        let tip = self.source().tip(base).await?;
        if self.git().is_so(["merge-base", "--is-ancestor", commit, &tip]).await? {
            return Ok(());
        }
        let said = format!("branch `{base}` was moved to {commit}, but is at {tip} now");
        Err(Failure::new(ErrorKind::Transient, format!("{said}; did somebody push by force?")))
    }
}

fn stuck(tree: &Path, base: &str, error: GitError) -> Failure {
    match error.words() {
        Some(words) if !words.contains(".lock'") => {
            let tree = tree.display();
            let said =
                format!("`{base}` is checked out in {tree} and cannot move on there: {words}");
            let hint = format!("commit or stash what is in the way in {tree}, then resume");
            Failure::new(ErrorKind::NeedsPerson, format!("{said}; {hint}"))
        }
        Some(_) | None => error.into(),
    }
}

/// The work has to be done again on top of what the base is now; `detail.merge` says what that is.
fn conflict(change: &ChangeRequest, tip: &str, files: &[String]) -> Failure {
    let base = &change.base;
    let listed = name_some(files);
    let summary =
        format!("the change conflicts with what came into `{base}` meanwhile, in: {listed}");
    let feedback = format!(
        "{summary}. The files hold conflict markers (<<<<<<<, =======, >>>>>>>): keep the intent of \
         both sides and remove every marker."
    );
    let merge = json!({"base": base, "base_commit": tip, "files": files});
    let head = &change.head_sha;
    let detail = json!({"feedback": feedback, "summary": summary, "commit": head, "merge": merge});
    Failure::new(ErrorKind::Rejected, summary).with_detail(detail)
}

//! The forge that every machine has: a git repository.
//!
//! A change request is a branch and a record under `refs/longhaul/`. The forge runs no checks and
//! asks nobody; merging is moving the base branch. Hooks of the repository are not run.

mod landing;
mod record;

use super::{ChangeRequest, Checks, Forge, Judge, Landing, Merge, Proposal};
use crate::clients::git::{
    Expected, Git, GitError, Mirror, Source, UPLOAD_PACK, made_for, move_ref,
};
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use record::Record;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A repository as a forge.
#[derive(Clone, Debug)]
pub struct Local {
    mirror: Mirror,
    cancelled: CancellationToken,
}

impl Local {
    /// The forge in the repository that `mirror` is a copy of.
    pub fn new(mirror: Mirror, cancelled: CancellationToken) -> Self {
        Local { mirror, cancelled }
    }

    fn source(&self) -> &Source {
        self.mirror.source()
    }

    fn git(&self) -> Git<'static> {
        self.source().git()
    }

    fn merge_lock(&self) -> PathBuf {
        self.mirror.dir().with_extension("merge.lock")
    }

    /// Brings a commit of ours into the repository; no reference points to it yet. The repository
    /// fetches, instead of us pushing, because a push would run its hooks.
    async fn transfer(&self, commit: &str) -> Result<(), GitError> {
        let from = self.mirror.dir().to_string_lossy();
        let options = ["--no-write-fetch-head", "--no-tags", "--no-recurse-submodules"];
        let fetch = ["fetch", "--quiet"].into_iter().chain(options);
        let args = fetch.chain(["--upload-pack", UPLOAD_PACK, &from, commit]);
        self.git().run(args).await.map(drop)
    }

    fn change(&self, record: &Record, head_sha: String) -> ChangeRequest {
        ChangeRequest {
            number: record.number,
            url: format!("file://{}#{}", self.source().path().display(), record.branch),
            branch: record.branch.clone(),
            base: record.base.clone(),
            head_sha,
        }
    }

    /// Points the branch to `head`, if it is not there yet and nobody else has worked on it.
    async fn push(&self, execution: Uuid, branch: &str, head: &str) -> Result<(), Failure> {
        let name = format!("refs/heads/{branch}");
        let now = self.git().reference(&name).await?;
        let expected = match &now {
            Some(tip) if tip == head => return Ok(()),
            Some(tip) => {
                self.check_is_ours(execution, branch, tip).await?;
                Expected::At(tip)
            }
            None => Expected::Absent,
        };
        if move_ref(&self.git(), &name, head, expected).await? {
            return Ok(());
        }
        let said = format!("branch `{branch}` moved while it was being pushed");
        Err(Failure::new(ErrorKind::Transient, said))
    }

    async fn check_is_ours(&self, id: Uuid, branch: &str, tip: &str) -> Result<(), Failure> {
        let path = self.source().path().display();
        if !made_for(&self.git(), tip, id).await? {
            let said =
                format!("somebody else committed to branch `{branch}` in {path} (now at {tip})");
            let hint = "merge or rename their work, delete the branch, then resume";
            return Err(Failure::new(ErrorKind::NeedsPerson, format!("{said}; {hint}")));
        }
        if let Some(tree) = self.source().checkout_of(branch).await? {
            let tree = tree.display();
            let said = format!("branch `{branch}` is checked out in {tree} and cannot be moved");
            let hint = "check out another branch there, then resume";
            return Err(Failure::new(ErrorKind::NeedsPerson, format!("{said}; {hint}")));
        }
        Ok(())
    }
}

#[async_trait]
impl Forge for Local {
    async fn find(&self, execution: Uuid) -> Result<Option<ChangeRequest>, Failure> {
        let Some((record, _)) = record::of(&self.git(), execution).await? else { return Ok(None) };
        let head = self.git().reference(&record.head_name()).await?;
        Ok(head.map(|head| self.change(&record, head)))
    }

    async fn propose(&self, proposal: &Proposal<'_>) -> Result<ChangeRequest, Failure> {
        // Numbers are given out one after another; the lock only spares us the collisions.
        let _lock = self.mirror.lock().await?;
        self.transfer(proposal.head).await?;
        self.push(proposal.execution, proposal.branch, proposal.head).await?;
        let record = record::claim(&self.git(), proposal).await?;
        let (name, head) = (record.head_name(), proposal.head);
        move_ref(&self.git(), &name, head, Expected::Anything).await?;
        Ok(self.change(&record, head.to_owned()))
    }

    async fn checks(&self, _head: &str) -> Result<Checks, Failure> {
        Ok(Checks::RunHere)
    }

    async fn merge(&self, merge: &Merge<'_>, judge: &dyn Judge) -> Result<Landing, Failure> {
        self.land(merge, judge).await
    }
}

//! What is kept of a change request, in the repository itself.
//!
//! `refs/longhaul/executions/<execution>` points to a blob of JSON with the number; it is created
//! once, so there is one change request per execution. `refs/longhaul/changes/<number>/record`
//! points to the same blob; it is created once, so a number is given out once. Whoever dies between
//! the two, or loses a race for a number, goes on where he was.

use super::super::Proposal;
use crate::clients::git::{Expected, Git, GitError, move_ref};
use crate::workflow::failure::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many numbers are tried; each failure means that somebody else got one.
const TRIES: u32 = 1_000;

/// A change request as it is stored. The same proposal with the same number gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) execution: Uuid,
    pub(super) branch: String,
    pub(super) base: String,
    pub(super) title: String,
}

impl Record {
    /// The reference to the commit that is proposed.
    pub(super) fn head_name(&self) -> String {
        format!("refs/longhaul/changes/{}/head", self.number)
    }

    fn name(&self) -> String {
        format!("refs/longhaul/changes/{}/record", self.number)
    }
}

/// The record of an execution and the blob that holds it.
pub(super) async fn of(
    git: &Git<'_>,
    execution: Uuid,
) -> Result<Option<(Record, String)>, Failure> {
    let Some(blob) = git.reference(&execution_name(execution)).await? else { return Ok(None) };
    let text = git.text(["cat-file", "blob", &blob]).await?;
    let record = serde_json::from_str(&text).map_err(|e| {
        let name = execution_name(execution);
        let said = format!("the record of the change request, {name}, cannot be read: {e}");
        Failure::new(ErrorKind::Permanent, format!("{said}; delete that reference and retry"))
    })?;
    Ok(Some((record, blob)))
}

/// The record for a proposal: the one there is, or a new one with the next number.
pub(super) async fn claim(git: &Git<'_>, proposal: &Proposal<'_>) -> Result<Record, Failure> {
    let name = execution_name(proposal.execution);
    for _ in 0..TRIES {
        let Some((record, blob)) = of(git, proposal.execution).await? else {
            let blob = write(git, &new_record(git, proposal).await?).await?;
            // Whether this or another attempt of the same execution wins, the next round finds it.
            move_ref(git, &name, &blob, Expected::Absent).await?;
            continue;
        };
        let is_ours = move_ref(git, &record.name(), &blob, Expected::Absent).await?
            || git.reference(&record.name()).await?.as_deref() == Some(blob.as_str());
        if is_ours {
            return Ok(record);
        }
        let other = write(git, &new_record(git, proposal).await?).await?;
        move_ref(git, &name, &other, Expected::At(&blob)).await?;
    }
    let said = format!("no number for the change request could be had in {TRIES} tries");
    Err(Failure::new(ErrorKind::Transient, said))
}

async fn new_record(git: &Git<'_>, proposal: &Proposal<'_>) -> Result<Record, GitError> {
    Ok(Record {
        number: next_number(git).await?,
        execution: proposal.execution,
        branch: proposal.branch.to_owned(),
        base: proposal.base.to_owned(),
        title: proposal.title.to_owned(),
    })
}

async fn next_number(git: &Git<'_>) -> Result<u64, GitError> {
    let asked = ["for-each-ref", "--format=%(refname:lstrip=3)", "refs/longhaul/changes"];
    let said = git.text(asked).await?;
    let numbers = said.lines().filter_map(|name| name.split('/').next()?.parse::<u64>().ok());
    Ok(numbers.max().unwrap_or(0) + 1)
}

async fn write(git: &Git<'_>, record: &Record) -> Result<String, Failure> {
    let json = serde_json::to_vec(record).map_err(|e| {
        Failure::new(ErrorKind::Permanent, format!("the change request cannot be written: {e}"))
    })?;
    Ok(git.run_with(["hash-object", "-w", "--stdin"], Some(&json)).await?.text())
}

fn execution_name(execution: Uuid) -> String {
    format!("refs/longhaul/executions/{execution}")
}

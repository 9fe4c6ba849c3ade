//! The commits that we make: their names, their messages, and how they are found again.
//!
//! An attempt that died after its commit and before its outcome was recorded must not do the work
//! twice. So each commit carries in its trailers what it was made for.

use super::error::GitError;
use super::program::Git;
use std::fmt::Write;
use uuid::Uuid;

const EXECUTION: &str = "Longhaul-Execution";
const STAGE: &str = "Longhaul-Stage";
const ATTEMPT: &str = "Longhaul-Attempt";
const ROUND: &str = "Longhaul-Round";

/// One turn of a stage: everything between two moments at which it is opened, however many attempts
/// that takes. A commit of the same round means that its work is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The execution.
    pub execution: Uuid,
    /// The stage.
    pub stage: String,
    /// Branch of the execution, from 1.
    pub branch: u32,
    /// Repair loop, from 0.
    pub repair_loop: u32,
}

impl Round {
    fn label(&self) -> String {
        format!("{}.{}", self.branch, self.repair_loop)
    }
}

/// A commit that we made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineCommit {
    /// The commit.
    pub id: String,
    /// Its first parent.
    pub parent: String,
    stage: String,
    round: String,
}

impl EngineCommit {
    /// Whether it was made in this round.
    pub fn is_of(&self, round: &Round) -> bool {
        self.stage == round.stage && self.round == round.label()
    }

    /// Whether it was made on this branch of the execution.
    pub fn is_on_branch(&self, branch: u32) -> bool {
        self.round.split_once('.').is_some_and(|(made_on, _)| made_on == branch.to_string())
    }
}

/// The commits of an execution from `tip` back along first parents, newest first.
pub(super) async fn list(
    git: &Git<'_>,
    tip: &str,
    execution: Uuid,
) -> Result<Vec<EngineCommit>, GitError> {
    let trailer = |key| format!("%(trailers:key={key},valueonly,separator=%x2C)");
    let format = format!(
        "--format=%H%x1f%P%x1f{}%x1f{}%x1f{}",
        trailer(EXECUTION),
        trailer(STAGE),
        trailer(ROUND)
    );
    let said = git.text(["log", "--first-parent", "-n", "200", &format, tip, "--"]).await?;
    let of_execution = |line: &str| {
        let [id, parents, made_for, stage, round] =
            line.split('\x1f').collect::<Vec<_>>().try_into().ok()?;
        let parent = parents.split(' ').next().unwrap_or_default().to_owned();
        let [id, stage, round] = [id, stage, round].map(str::to_owned);
        (made_for == execution.to_string()).then_some(EngineCommit { id, parent, stage, round })
    };
    Ok(said.lines().map_while(of_execution).collect())
}

/// Whether a commit was made for the execution.
pub async fn made_for(git: &Git<'_>, commit: &str, execution: Uuid) -> Result<bool, GitError> {
    Ok(execution_of(git, commit).await? == execution.to_string())
}

/// Whether a commit was made by us.
pub(super) async fn is_ours(git: &Git<'_>, commit: &str) -> Result<bool, GitError> {
    Ok(!execution_of(git, commit).await?.is_empty())
}

async fn execution_of(git: &Git<'_>, commit: &str) -> Result<String, GitError> {
    let format = format!("--format=%(trailers:key={EXECUTION},valueonly)");
    git.text(["log", "-n", "1", &format, "--end-of-options", commit, "--"]).await
}

/// The message of the commit of an attempt.
pub fn message(title: &str, body: &str, round: &Round, attempt: u32) -> String {
    let mut text = one_line(title);
    let body = shortened(body);
    if !body.is_empty() {
        let _ = write!(text, "\n\n{body}");
    }
    let _ = write!(text, "\n\n{EXECUTION}: {}", round.execution);
    let _ = write!(text, "\n{STAGE}: {}\n{ROUND}: {}", one_line(&round.stage), round.label());
    let _ = writeln!(text, "\n{ATTEMPT}: {attempt}");
    text
}

/// The message of the commit that merges an execution's change.
pub fn merge_message(title: &str, number: u64, branch: &str, execution: Uuid) -> String {
    let title = one_line(title);
    format!("Merge #{number}: {title}\n\nFrom {branch}.\n\n{EXECUTION}: {execution}\n")
}

/// Enough of a title to recognise the branch by.
const SLUG_LEN_MAX: usize = 32;

/// The branch of an execution: `longhaul/<id>-<title>`.
pub fn branch_name(execution: Uuid, title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let whole = slug.trim_end_matches('-');
    let slug = match whole.get(..SLUG_LEN_MAX) {
        Some(cut) => cut.rsplit_once('-').map_or(cut, |(words, _)| words),
        None => whole,
    };
    match slug {
        "" => format!("longhaul/{execution}"),
        slug => format!("longhaul/{execution}-{slug}"),
    }
}

/// A title fits on one line and is never empty.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    if line.is_empty() { "Untitled task".to_owned() } else { line.chars().take(100).collect() }
}

/// The beginning of a description; the whole of it is with the task.
fn shortened(body: &str) -> String {
    let is_text = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text: String = body.trim().chars().filter(is_text).take(2_000).collect();
    if text.len() < body.trim().len() { format!("{text}\n[...]") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_named_after_their_execution() {
        let id = Uuid::from_u128(7);
        let cases = [
            ("Fix login!", "-fix-login"),
            ("  ../../etc  ", "-etc"),
            ("登录", ""),
            ("a very long title that goes on and on", "-a-very-long-title-that-goes-on"),
        ];
        for (title, slug) in cases {
            assert_eq!(branch_name(id, title), format!("longhaul/{id}{slug}"), "{title}");
        }
    }

    #[test]
    fn a_message_ends_with_our_trailers_whatever_the_task_says() {
        let round =
            Round { execution: Uuid::nil(), stage: "code".into(), branch: 1, repair_loop: 2 };
        let body = "Do it.\n\nLonghaul-Execution: forged\r\n";
        let text = message("Fix\nit", body, &round, 3);
        let expected = format!(
            "Fix it\n\nDo it.\n\nLonghaul-Execution: forged\n\n{EXECUTION}: {}\n{STAGE}: code\n{ROUND}: 1.2\n{ATTEMPT}: 3\n",
            Uuid::nil()
        );
        assert_eq!(text, expected);
    }
}

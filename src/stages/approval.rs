//! The stage kind `approval`: waits for a person, who says yes or no by the signal `approval`.

use super::{StageContext, StageExecutor, StageOutcome, Wait};
use crate::workflow::event::WaitReason;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::state::Signal;
use async_trait::async_trait;
use serde_json::{Value, json};

/// The signal it waits for; its payload is `{"decision": "approve"|"reject", "by", "comment"}`.
const SIGNAL: &str = "approval";

/// Waits for a person.
pub(super) struct Approval;

#[async_trait]
impl StageExecutor for Approval {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["by", "decision", "comment"])
    }

    fn honours_what_if(&self) -> bool {
        true
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        for signal in ctx.input.signals.iter().filter(|signal| signal.name == SIGNAL) {
            match read(signal) {
                Ok(word) => return word.outcome(ctx),
                Err(problem) => ctx.log(problem),
            }
        }
        let detail = format!("somebody has to approve: {}", ctx.input.task.title);
        Ok(StageOutcome::Wait(Wait {
            reason: WaitReason { kind: "approval".to_owned(), detail },
            signal: Some(SIGNAL.to_owned()),
            wake_at: None,
            memo: Value::Null,
        }))
    }
}

/// What a person said.
struct Word {
    is_yes: bool,
    by: Option<String>,
    comment: Option<String>,
}

/// The first word that can be understood counts; anything else is logged and waited past.
fn read(signal: &Signal) -> Result<Word, String> {
    let text = |key: &str| signal.payload.get(key).and_then(Value::as_str).map(str::to_owned);
    let is_yes = match text("decision").as_deref() {
        Some("approve" | "approved") => true,
        Some("reject" | "rejected") => false,
        _ => {
            let said =
                format!("signal `{SIGNAL}` says neither approve nor reject: {}", signal.payload);
            return Err(format!("{said}; send {{\"decision\": \"approve\"}}"));
        }
    };
    Ok(Word { is_yes, by: text("by"), comment: text("comment") })
}

impl Word {
    fn outcome(self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let by = self.by.as_deref().unwrap_or("somebody");
        let comment = self.comment.as_deref().unwrap_or_default();
        if self.is_yes {
            ctx.log(format!("approved by {by} {comment}"));
            return Ok(StageOutcome::Done(
                json!({"by": self.by, "decision": "approve", "comment": self.comment}),
            ));
        }
        let summary = match comment {
            "" => format!("rejected by {by}"),
            comment => format!("rejected by {by}: {comment}"),
        };
        let detail = json!({"feedback": summary, "summary": summary, "by": self.by, "comment": self.comment});
        Err(Failure::new(ErrorKind::Rejected, summary).with_detail(detail))
    }
}

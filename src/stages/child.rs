//! The stage kind `child`: an execution of another workflow, for the same task.
//!
//! `config`: `{"workflow": "...", "input": {..}, "input_from": {"KEY": "PATH"}, "repository": "...",
//! "fate": "wait"|"abandon", "on_parent_end": "cancel"|"abandon"}`. The child's id follows from the
//! execution, the stage, and how often it was tried, so that no crash makes two of them. Its end is a
//! signal; if that is lost, the stage looks by itself from time to time.

use super::{StageContext, StageExecutor, StageOutcome};
use crate::config::run::RunSettings;
use crate::workflow::condition::value_at;
use crate::workflow::event::{Cost, WaitReason};
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::state::Status;
use async_trait::async_trait;
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a stage wants of a child.
#[derive(Clone, Debug)]
pub struct ChildWish {
    /// Its id.
    pub execution_id: Uuid,
    /// Its workflow.
    pub workflow: String,
    /// Its input, an object.
    pub input: Value,
    /// A local path or `OWNER/NAME`; none: the parent's.
    pub repository: Option<String>,
    /// What it is to the execution that asks for it.
    pub relation: Relation,
    /// US dollars that it may spend at the most; none: as much as it likes.
    pub budget_usd: Option<f64>,
}

/// What an execution is to the one that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Its child, which is cancelled when its parent ends, if it has not ended by then.
    Child,
    /// Its child, which goes on without it.
    FreeChild,
    /// Its successor, which goes on with its work in a new history.
    Successor,
}

/// How a child stands.
#[derive(Clone, Debug)]
pub struct ChildState {
    /// Its status.
    pub status: Status,
    /// Outputs of its stages by name.
    pub outputs: Value,
    /// What it used up, its own children included.
    pub cost: Cost,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// Starts children and looks after them; the worker's business.
#[async_trait]
pub trait Children: Send + Sync {
    /// Requests the execution unless it exists.
    async fn start(&self, wish: ChildWish) -> Result<(), Failure>;
    /// How it stands.
    async fn look(&self, child: Uuid) -> Result<ChildState, Failure>;
}

/// The name of the signal by which a parent learns of the end of a child.
pub fn end_signal(child: Uuid) -> String {
    format!("child:{child}")
}

/// Between two looks at a child whose signal does not come; doubles from look to look.
const FIRST_LOOK_S: i64 = 60;
const LOOK_DOUBLINGS_MAX: u32 = 6;

pub(super) struct Child;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    #[default]
    Wait,
    Abandon,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnParentEnd {
    #[default]
    Cancel,
    Abandon,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    workflow: String,
    #[serde(default)]
    input: Map<String, Value>,
    #[serde(default)]
    input_from: BTreeMap<String, String>,
    repository: Option<String>,
    #[serde(default)]
    fate: Fate,
    on_parent_end: Option<OnParentEnd>,
}

impl Config {
    fn read(config: &Value) -> Result<Config, String> {
        serde_json::from_value(config.clone()).map_err(|error| {
            let hint = r#"write for example {"workflow": "bugfix", "input": {}, "fate": "wait"}"#;
            format!("the config of a stage of kind `child` is wrong: {error}; {hint}")
        })
    }

    /// What nobody waits for goes on by itself, unless it is said otherwise.
    fn relation(&self) -> Relation {
        let default = match self.fate {
            Fate::Wait => OnParentEnd::Cancel,
            Fate::Abandon => OnParentEnd::Abandon,
        };
        match self.on_parent_end.unwrap_or(default) {
            OnParentEnd::Cancel => Relation::Child,
            OnParentEnd::Abandon => Relation::FreeChild,
        }
    }

    fn input(&self, ctx: &StageContext) -> Value {
        input(ctx, &self.input, &self.input_from)
    }
}

pub(super) fn input(
    ctx: &StageContext,
    given: &Map<String, Value>,
    from: &BTreeMap<String, String>,
) -> Value {
    let mut input = given.clone();
    let (task, item) = (json!(ctx.input.task), ctx.input.item.as_ref().map(|i| &i.value));
    let lookup = |name: &str| match name {
        "input" => Some(&ctx.input.input),
        "task" => Some(&task),
        "item" => item,
        stage => ctx.input.outputs.get(stage),
    };
    for (key, path) in from {
        let value = value_at(path, &lookup).cloned().unwrap_or_default();
        input.insert(key.clone(), value);
    }
    Value::Object(input)
}

#[async_trait]
impl StageExecutor for Child {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["execution_id", "status", "outputs"])
    }

    fn preflight(&self, _settings: &RunSettings, config: &Value) -> Vec<String> {
        Config::read(config).err().into_iter().collect()
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let config = Config::read(&ctx.input.config)
            .map_err(|said| Failure::new(ErrorKind::Permanent, said))?;
        let child = id(ctx);
        let wish = ChildWish {
            execution_id: child,
            workflow: config.workflow.clone(),
            input: config.input(ctx),
            repository: config.repository.clone(),
            relation: config.relation(),
            budget_usd: ctx.input.budget_usd,
        };
        let tries = ctx.input.tries;
        // The parent knows of its child before there is one.
        let link = json!({"execution_id": child, "workflow": config.workflow});
        ctx.step(&format!("child:{tries}"), async { Ok(link) }).await?;
        ctx.children().start(wish).await?;
        if config.fate == Fate::Abandon {
            return Ok(StageOutcome::Done(json!({"execution_id": child, "status": "requested"})));
        }
        let reason = WaitReason {
            kind: "child".to_owned(),
            detail: format!("for execution {child} of workflow `{}`", config.workflow),
        };
        for look in 0_u32.. {
            let state = ctx.children().look(child).await?;
            if state.status.is_terminal() {
                return ended(ctx, child, state);
            }
            let seconds = FIRST_LOOK_S << look.min(LOOK_DOUBLINGS_MAX);
            let at = ctx.clock().now() + TimeDelta::seconds(seconds);
            ctx.wait_signal_for(reason.clone(), &end_signal(child), at).await?;
        }
        Err(Failure::new(ErrorKind::Permanent, "a child has been looked at too often"))
    }
}

fn ended(ctx: &StageContext, child: Uuid, state: ChildState) -> Result<StageOutcome, Failure> {
    ctx.spend(state.cost);
    let status = state.status.as_str();
    if state.status == Status::Completed {
        let output = json!({"execution_id": child, "status": status, "outputs": state.outputs});
        return Ok(StageOutcome::Done(output));
    }
    let (kind, said) = match &state.error {
        Some(error) if error.kind == ErrorKind::Rejected => (error.kind, error.message.clone()),
        Some(error) => (ErrorKind::Permanent, error.message.clone()),
        None => (ErrorKind::Permanent, "somebody cancelled it".to_owned()),
    };
    let detail = json!({"execution_id": child, "status": status, "error": state.error});
    Err(Failure::new(kind, format!("child {child} {status}: {said}")).with_detail(detail))
}

/// The same in every attempt until one of them fails; sorts by the time at which the stage began.
pub(super) fn id(ctx: &StageContext) -> Uuid {
    let key = ctx.idempotency_key(&format!("child:{}", ctx.input.tries));
    let random = hex::decode(key).unwrap_or_default();
    let began = ctx.input.begun_at.map_or(0, |at| at.timestamp_millis()).max(0) as u64;
    let mut bytes = [0; 10];
    bytes.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
    uuid::Builder::from_unix_timestamp_millis(began, &bytes).into_uuid()
}

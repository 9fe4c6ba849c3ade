//! The stage kind `continue`: the work goes on in a new execution, whose history begins anew.
//!
//! `config`: `{"workflow": "...", "input": {..}, "input_from": {"KEY": "PATH"}}`; the workflow is the
//! execution's own unless it is named. The successor's id follows from the execution and the stage,
//! and is recorded before there is one, so that no crash makes two of them or none. Put it last, with
//! a `when`: the execution then completes, and its output says where the work goes on.

use super::child::{ChildWish, Relation, id, input};
use super::{StageContext, StageExecutor, StageOutcome};
use crate::config::run::RunSettings;
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) struct Continuing;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    workflow: Option<String>,
    input: Map<String, Value>,
    input_from: BTreeMap<String, String>,
}

impl Config {
    fn read(config: &Value) -> Result<Config, String> {
        if config.is_null() {
            return Ok(Config::default());
        }
        serde_json::from_value(config.clone()).map_err(|error| {
            let hint = r#"write for example {"input_from": {"cursor": "work.cursor"}}"#;
            format!("the config of a stage of kind `continue` is wrong: {error}; {hint}")
        })
    }
}

#[async_trait]
impl StageExecutor for Continuing {
    fn outputs(&self) -> Option<Vec<&'static str>> {
        Some(vec!["execution_id", "status"])
    }

    fn preflight(&self, _settings: &RunSettings, config: &Value) -> Vec<String> {
        Config::read(config).err().into_iter().collect()
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let config = Config::read(&ctx.input.config)
            .map_err(|said| Failure::new(ErrorKind::Permanent, said))?;
        let wish = ChildWish {
            execution_id: id(ctx),
            workflow: config.workflow.unwrap_or_else(|| ctx.input.workflow.clone()),
            input: input(ctx, &config.input, &config.input_from),
            repository: None,
            relation: Relation::Successor,
            budget_usd: ctx.input.budget_usd,
        };
        let link = json!({"execution_id": wish.execution_id, "workflow": wish.workflow});
        let key = format!("successor:{}", ctx.input.tries);
        let output = json!({"execution_id": wish.execution_id, "status": "continued"});
        ctx.step(&key, async { Ok(link) }).await?;
        ctx.children().start(wish).await?;
        Ok(StageOutcome::Done(output))
    }
}

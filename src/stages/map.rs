//! A stage that does its kind's work once for each item of a list, several at a time.
//!
//! What is known of an item is in steps, so that a crash costs the items under way and no other:
//! `items` how many there are, `item:N` the output of the N-th or why it failed, `item:N:try:K` why
//! its K-th try failed, `item:N/KEY` what its own steps recorded. The outputs come in the order of the
//! list. Knows nothing of what an item's work is.

use super::{LogSink, Recorder, StageContext, StageExecutor, StageOutcome};
use crate::workflow::condition::value_at;
use crate::workflow::definition::{MapDefinition, OnItemFailure, StageDefinition};
use crate::workflow::event::Cost;
use crate::workflow::failure::{ErrorKind, Failure};
use crate::workflow::retry::RetryPolicy;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};

/// One item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its place in the list, from 0.
    pub index: usize,
    /// What it is.
    pub value: Value,
    /// Which try at it this is, from 1.
    pub attempt: u32,
}

/// A kind, performed for each item of a list.
pub(crate) struct Mapped {
    kind: Arc<dyn StageExecutor>,
    map: MapDefinition,
    retry: RetryPolicy,
    attempts: u32,
}

impl Mapped {
    /// `kind` as the stage wants it mapped; `None` if it does not.
    pub(crate) fn of(kind: &Arc<dyn StageExecutor>, stage: &StageDefinition) -> Option<Self> {
        Some(Mapped {
            kind: Arc::clone(kind),
            map: stage.map.clone()?,
            retry: stage.retry.clone(),
            attempts: stage.attempts.unwrap_or(1),
        })
    }

    /// The list. A path that leads nowhere, for example to a stage that was skipped, is empty.
    fn items(&self, ctx: &StageContext) -> Result<Vec<Value>, Failure> {
        let wrong = |said: String| Failure::new(ErrorKind::Permanent, said);
        let over = &self.map.over;
        let task = json!(ctx.input.task);
        let lookup = |name: &str| match name {
            "input" => Some(&ctx.input.input),
            "task" => Some(&task),
            stage => ctx.input.outputs.get(stage),
        };
        let items = match value_at(over, &lookup) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong(format!("`map.over`: `{over}` is not a list"))),
        };
        if items.len() > self.map.max_items {
            let (n, max) = (items.len(), self.map.max_items);
            return Err(wrong(format!(
                "`{over}` has {n} items, more than the {max} of `map.max_items`; raise it or split the list"
            )));
        }
        Ok(items.clone())
    }

    /// The first try of an item that is not recorded as failed.
    fn item(&self, ctx: &StageContext, index: usize, value: Value) -> Item {
        let failed = (1..).take_while(|k| ctx.recorded(&tried(index, *k)).is_some()).count();
        Item { index, value, attempt: failed as u32 + 1 }
    }

    fn begin(&self, work: &mut Work, ctx: &StageContext, item: Item, delay: Duration) {
        let (kind, inner) = (Arc::clone(&self.kind), ctx.for_item(&item));
        let task = work.tasks.spawn(async move {
            tokio::time::sleep(delay).await;
            let result = tokio::select! {
                outcome = kind.run(&inner) => outcome.and_then(done),
                _ = inner.wait_begun() => Err(cannot_wait()),
            };
            (result, inner.spent())
        });
        work.items.insert(task.id(), item);
    }

    /// Records how a try at an item ended; gives the delay before the next one, if there is one.
    async fn ended(
        &self,
        ctx: &StageContext,
        item: &Item,
        result: Result<Value, Failure>,
    ) -> Result<Option<Duration>, Failure> {
        let key = format!("item:{}", item.index);
        let error = match result {
            Ok(output) => {
                ctx.step(&key, async { Ok(json!({"output": output})) }).await?;
                return Ok(None);
            }
            Err(error) => error,
        };
        if ctx.cancelled().is_cancelled() {
            return Err(error);
        }
        let said = json!({"error": error});
        if self.retry.retries(error.kind)
            && item.attempt < self.retry.attempts(error.kind, self.attempts)
        {
            ctx.step(&tried(item.index, item.attempt), async { Ok(said) }).await?;
            let delay = self.retry.delay_ms(&error, item.attempt, rand::random::<f64>());
            return Ok(Some(Duration::from_millis(delay)));
        }
        match self.map.on_item_failure {
            OnItemFailure::Continue => {
                ctx.step(&key, async { Ok(said) }).await?;
                Ok(None)
            }
            OnItemFailure::Fail => Err(of_item(item, error)),
        }
    }
}

#[async_trait]
impl StageExecutor for Mapped {
    fn honours_what_if(&self) -> bool {
        self.kind.honours_what_if()
    }

    async fn run(&self, ctx: &StageContext) -> Result<StageOutcome, Failure> {
        let items = self.items(ctx)?;
        let count = items.len();
        ctx.step("items", async { Ok(count) }).await?;
        let mut waiting = items
            .into_iter()
            .enumerate()
            .filter(|(index, _)| ctx.recorded(&format!("item:{index}")).is_none());
        // Dropping it ends what is under way.
        let mut work = Work::default();
        loop {
            while work.items.len() < self.map.max_parallel
                && let Some((index, value)) = waiting.next()
            {
                self.begin(&mut work, ctx, self.item(ctx, index, value), Duration::ZERO);
            }
            let Some((item, result)) = work.next(ctx).await else { break };
            if let Some(delay) = self.ended(ctx, &item, result).await? {
                let again = Item { attempt: item.attempt + 1, ..item };
                self.begin(&mut work, ctx, again, delay);
            }
        }
        Ok(StageOutcome::Done(gathered(ctx, count)))
    }
}

/// What is under way.
#[derive(Default)]
struct Work {
    tasks: JoinSet<(Result<Value, Failure>, Cost)>,
    items: HashMap<Id, Item>,
}

impl Work {
    /// The next item that ends; none when nothing is under way.
    async fn next(&mut self, ctx: &StageContext) -> Option<(Item, Result<Value, Failure>)> {
        let (task, result) = match self.tasks.join_next_with_id().await? {
            Ok((task, (result, cost))) => {
                ctx.spend(cost);
                (task, result)
            }
            Err(error) => (error.id(), Err(broke_down(&error))),
        };
        Some((self.items.remove(&task)?, result))
    }
}

/// What the stage gives: outputs in the order of the list, null for an item that failed.
fn gathered(ctx: &StageContext, count: usize) -> Value {
    let recorded = |index: usize| ctx.recorded(&format!("item:{index}")).unwrap_or_default();
    let outputs: Vec<Value> = (0..count).map(|i| recorded(i)["output"].clone()).collect();
    let failed: Vec<Value> = (0..count)
        .filter_map(|i| Some(json!({"item": i, "error": recorded(i).get("error")?})))
        .collect();
    json!({"items": outputs, "succeeded": count - failed.len(), "failed": failed})
}

fn done(outcome: StageOutcome) -> Result<Value, Failure> {
    match outcome {
        StageOutcome::Done(output) => Ok(output),
        StageOutcome::Wait(_) => Err(cannot_wait()),
    }
}

fn cannot_wait() -> Failure {
    let said = "an item of a map cannot wait for a signal or a moment; let the map start children, \
                or wait in a stage before it";
    Failure::new(ErrorKind::Permanent, said)
}

fn broke_down(error: &JoinError) -> Failure {
    Failure::new(ErrorKind::Permanent, format!("the item's work broke down: {error}"))
}

/// The item had its tries; that the stage has some too does not give it more of them.
fn of_item(item: &Item, error: Failure) -> Failure {
    let kind = match error.kind {
        ErrorKind::Rejected | ErrorKind::NeedsPerson => error.kind,
        _ => ErrorKind::Permanent,
    };
    let message = format!("item {}: {}", item.index, error.message);
    let detail = json!({"item": item.index, "value": item.value, "error": error});
    Failure::new(kind, message).with_detail(detail)
}

fn tried(index: usize, attempt: u32) -> String {
    format!("item:{index}:try:{attempt}")
}

/// The doors of one item: its steps have a name of their own, and its progress is a line of the log,
/// because the stage has but one.
pub(super) struct ItemDoors {
    pub(super) prefix: String,
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) log: Arc<dyn LogSink>,
}

#[async_trait]
impl Recorder for ItemDoors {
    async fn step(&self, key: &str, value: Value) -> Result<(), Failure> {
        self.recorder.step(&format!("{}{key}", self.prefix), value).await
    }

    async fn progress(&self, message: &str, _fraction: Option<f64>) -> Result<(), Failure> {
        self.log.write(&format!("{} {message}\n", self.prefix.trim_end_matches('/')));
        Ok(())
    }
}

//! Small stage kinds for tests: one that calls a closure, and the workflows around it.

use async_trait::async_trait;
use longhaul::stages::{StageContext, StageExecutor, StageOutcome};
use longhaul::workflow::definition::{Definition, StageDefinition};
use longhaul::workflow::failure::{ErrorKind, Failure};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

type Work<'a> = Pin<Box<dyn Future<Output = Result<StageOutcome, Failure>> + Send + 'a>>;
type Call = dyn for<'a> Fn(&'a StageContext) -> Work<'a> + Send + Sync;

/// A kind that calls a closure.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Call>);

impl Fake {
    pub(crate) fn new(
        call: impl for<'a> Fn(&'a StageContext) -> Work<'a> + Send + Sync + 'static,
    ) -> Self {
        Fake(Arc::new(call))
    }

    /// A kind that succeeds at once with its stage's name.
    pub(crate) fn ok() -> Self {
        Fake::new(|context| {
            let output = json!({"stage": context.input.stage, "attempt": context.input.attempt});
            Box::pin(async move { Ok(StageOutcome::Done(output)) })
        })
    }

    /// A kind that fails `times` times in this way and then succeeds.
    pub(crate) fn failing(times: u32, kind: ErrorKind) -> Self {
        let count = Arc::new(AtomicU32::new(0));
        Fake::new(move |_| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if n < times {
                    return Err(Failure::new(kind, format!("failure {}", n + 1)));
                }
                Ok(StageOutcome::Done(json!({"failures": n})))
            })
        })
    }

    /// A kind that goes on until it is told to end.
    pub(crate) fn endless() -> Self {
        Fake::new(|context| {
            Box::pin(async move {
                context.log("working");
                context.cancelled().cancelled().await;
                Err(Failure::new(ErrorKind::Interrupted, "told to end"))
            })
        })
    }
}

#[async_trait]
impl StageExecutor for Fake {
    async fn run(&self, context: &StageContext) -> Result<StageOutcome, Failure> {
        (self.0)(context).await
    }
}

/// A workflow whose stages have a kind of the same name, in a row.
pub(crate) fn row(name: &str, stages: &[&str]) -> Definition {
    Definition::new(name, stages.iter().map(|s| StageDefinition::new(*s, *s)).collect())
}

/// The names of the events of an execution, without those that every one has.
pub(crate) fn names(history: &[longhaul::store::Stored]) -> Vec<String> {
    let name = |s: &longhaul::store::Stored| {
        let payload: Value = serde_json::from_str(&s.payload).expect("a payload");
        let stage = payload["stage"].as_str().map(|s| format!(" {s}")).unwrap_or_default();
        format!("{}{stage}", payload["type"].as_str().expect("a type"))
    };
    history.iter().map(name).collect()
}

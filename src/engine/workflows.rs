//! Workflows: the six, those of the program, those registered in the database; the later wins.

use super::Longhaul;
use crate::store::{Registered, StoreError};
use crate::workflow::catalog;
use crate::workflow::definition::{Definition, slug};
use crate::workflow::validate::{Problem, problems};
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why a workflow cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// No such workflow.
    #[error("there is no workflow `{name}`; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It cannot run.
    #[error("workflow `{name}` has {count} problem{s}:\n  {list}", count = problems.len(),
            s = if problems.len() == 1 { "" } else { "s" },
            list = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
    Wrong {
        /// Which.
        name: String,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
    /// The text is no definition at all.
    #[error("{origin} is no workflow definition: {reason}")]
    Unreadable {
        /// Where it stands.
        origin: String,
        /// Why.
        reason: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often workflows are looked up again when the answer was lost.
const LOOKS_MAX: u32 = 4;

/// How long the list of workflows is taken for true.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The list of workflows, for as long as it is taken for true: many submissions share one look.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Instant, Arc<[Definition]>)>>);

impl Known {
    fn fresh(&self) -> Option<Arc<[Definition]>> {
        let known = self.lock();
        let (since, list) = known.as_ref()?;
        (since.elapsed() < KNOWN_FOR).then(|| Arc::clone(list))
    }

    fn keep(&self, list: Arc<[Definition]>) -> Arc<[Definition]> {
        *self.lock() = Some((Instant::now(), Arc::clone(&list)));
        list
    }

    fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Arc<[Definition]>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Longhaul {
    /// Every workflow that can be asked for, sorted as: the six, then the others by name. What
    /// another process registered is seen within a second.
    pub async fn workflow_list(&self) -> Result<Vec<Definition>, WorkflowError> {
        Ok(self.known_workflows().await?.to_vec())
    }

    /// The same, shared.
    pub(super) async fn known_workflows(&self) -> Result<Arc<[Definition]>, WorkflowError> {
        if let Some(known) = self.known.fresh() {
            return Ok(known);
        }
        let mut list = catalog::all();
        let registered = self.registered().await?;
        let others = self.workflows.iter().cloned();
        for definition in others.chain(registered.into_iter().map(|r| r.definition)) {
            match list.iter_mut().find(|d| d.name == definition.name) {
                Some(known) => *known = definition,
                None => list.push(definition),
            }
        }
        Ok(self.known.keep(list.into()))
    }

    /// Those in the database; a connection that was lost is no reason to refuse a submission.
    async fn registered(&self) -> Result<Vec<Registered>, StoreError> {
        for _ in 0..LOOKS_MAX {
            match self.store.registered_workflows(None).await {
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, "workflows are looked up again")
                }
                answer => return answer,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.store.registered_workflows(None).await
    }

    /// A workflow by name.
    pub async fn find_workflow(&self, name: &str) -> Result<Definition, WorkflowError> {
        let list = self.known_workflows().await?;
        let found = list.iter().find(|d| d.name == name || d.name == slug(name));
        found.cloned().ok_or_else(|| {
            let known = list.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
            WorkflowError::Unknown { name: name.to_owned(), known }
        })
    }

    /// Registers a workflow in the database and gives it back with its version.
    pub async fn register_workflow(
        &self,
        definition: &Definition,
    ) -> Result<Definition, WorkflowError> {
        self.register_workflow_for(definition, "").await
    }

    /// The same, with the reason that the audit log keeps.
    pub async fn register_workflow_for(
        &self,
        definition: &Definition,
        reason: &str,
    ) -> Result<Definition, WorkflowError> {
        self.judge(definition)?;
        let now = self.clock.now();
        let version = self.store.register_workflow(definition, &self.actor, now).await?;
        let data = json!({"workflow": definition.name, "version": version, "reason": reason,
            "source": self.source});
        self.record_action("WorkflowRegistered", &data).await?;
        self.known.forget();
        Ok(Definition { version, ..definition.clone() })
    }

    /// Whether it can run here; every problem at once.
    pub fn judge(&self, definition: &Definition) -> Result<(), WorkflowError> {
        let problems = problems(definition, &self.kinds);
        if problems.is_empty() {
            return Ok(());
        }
        Err(WorkflowError::Wrong { name: definition.name.clone(), problems })
    }
}

/// Reads a definition from YAML, TOML or JSON, told apart by `extension`; a name that is written for
/// people becomes the title. Knows nothing of stage kinds: `Longhaul::judge` does.
pub fn read_definition(text: &str, origin: &str) -> Result<Definition, WorkflowError> {
    let unreadable =
        |reason: String| WorkflowError::Unreadable { origin: origin.to_owned(), reason };
    let extension = origin.rsplit('.').next().unwrap_or_default();
    let mut definition: Definition = match extension {
        "toml" => toml::from_str(text).map_err(|e| unreadable(e.to_string()))?,
        "json" => serde_json::from_str(text).map_err(|e| unreadable(e.to_string()))?,
        // JSON is YAML.
        _ => serde_saphyr::from_str(text).map_err(|e| unreadable(e.to_string()))?,
    };
    let short = slug(&definition.name);
    if short != definition.name {
        definition.title = std::mem::replace(&mut definition.name, short);
    }
    Ok(definition)
}

//! The request of a child: its workflow by name, the settings of its parent, a share of its money.

use super::Longhaul;
use super::submit::SubmitError;
use crate::config::run::RunSettings;
use crate::stages::ChildWish;
use crate::worker::ChildRequests;
use crate::workflow::event::Request;
use crate::workflow::failure::{ErrorKind, Failure};
use async_trait::async_trait;

#[async_trait]
impl ChildRequests for Longhaul {
    async fn request(&self, wish: &ChildWish, parent: &Request) -> Result<Request, Failure> {
        self.child_request(wish, parent).await.map_err(|error| match error {
            SubmitError::Store(error) if error.may_pass() => {
                Failure::new(ErrorKind::Transient, error.to_string())
            }
            error => Failure::new(
                ErrorKind::Permanent,
                format!("child of workflow `{}`: {error}", wish.workflow),
            ),
        })
    }
}

impl Longhaul {
    async fn child_request(
        &self,
        wish: &ChildWish,
        parent: &Request,
    ) -> Result<Request, SubmitError> {
        let repository = wish.repository.as_deref().or(parent.repository.as_deref());
        let source = self.locate(repository).await?;
        let definition = self.find_workflow(&wish.workflow).await?;
        self.judge(&definition)?;
        let settings: RunSettings = serde_json::from_value(parent.settings.clone())
            .map_err(|e| SubmitError::Task(format!("the settings of the parent: {e}")))?;
        self.preflight(&definition, &settings, source.as_ref())?;
        let mut limits = parent.limits.clone();
        limits.cost_usd = wish.budget_usd;
        Ok(Request {
            task_id: parent.task_id,
            task: parent.task.clone(),
            definition: definition.resolved(&limits),
            input: wish.input.clone(),
            settings: parent.settings.clone(),
            repository: repository.map(str::to_owned),
            limits,
            priority: parent.priority.max(definition.min_priority.unwrap_or(0)).min(10),
            origin: None,
            parent: None,
            continues: None,
        })
    }
}

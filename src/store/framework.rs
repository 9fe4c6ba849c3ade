//! cqrs-es's `EventStore` over our log, for `CqrsFramework`: warm aggregates, one statement a command.
//!
//! postgres-es's own store loads the whole history for each command and commits it in four round
//! trips. Here an aggregate that was loaded stays warm: the next command costs the append alone. A warm
//! aggregate may be stale, because others append too. Compare-and-set makes that safe for what is
//! appended; what a stale aggregate refuses is asked again of a fresh one (`execute`).

use super::aggregate::Given;
use super::append::Append;
use super::connect::Store;
use super::error::{AppendError, StoreError};
use super::executions::Loaded;
use crate::clock::Clock;
use crate::workflow::command::{Command, Refusal};
use crate::workflow::event::Happened;
use crate::workflow::state::Execution;
use cqrs_es::{AggregateContext, AggregateError, CqrsFramework, EventEnvelope, EventStore};
use lru::LruCache;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Executions that stay warm.
const WARM_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The largest stream that stays warm, in events: a bound on memory.
const WARM_EVENTS_MAX: u64 = 2_000;

/// How often a command is decided anew because somebody else appended first.
const CONFLICTS_MAX: usize = 50;

/// Under this name the metadata of a command says who gives it.
const ACTOR: &str = "actor";

type Failed = AggregateError<Refusal>;
type Warm = Arc<Mutex<LruCache<Uuid, Loaded>>>;

/// Our log as cqrs-es sees it. Cheap to clone; clones share what is warm.
#[derive(Clone)]
pub struct Log {
    store: Store,
    warm: Warm,
}

/// An execution between its load and its commit.
pub struct Held {
    loaded: Loaded,
}

impl AggregateContext<Execution> for Held {
    fn aggregate(&mut self) -> &mut Execution {
        &mut self.loaded.state
    }
}

impl Log {
    /// Over a store, with nothing warm.
    pub fn new(store: Store) -> Self {
        Log { store, warm: Arc::new(Mutex::new(LruCache::new(WARM_MAX))) }
    }

    fn warm(&self) -> MutexGuard<'_, LruCache<Uuid, Loaded>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it out, so that two commands at once never share one; the slower one loads its own.
    fn take(&self, id: Uuid) -> Option<Loaded> {
        self.warm().pop(&id)
    }

    fn keep(&self, loaded: Loaded) {
        if loaded.state.version <= WARM_EVENTS_MAX {
            self.warm().put(loaded.execution_id, loaded);
        }
    }
}

impl EventStore<Execution> for Log {
    type AC = Held;

    async fn load_events(&self, id: &str) -> Result<Vec<EventEnvelope<Execution>>, Failed> {
        let stored = self.store.events(parse(id)?, 0, i64::MAX).await.map_err(of_store)?;
        let envelope = |stored: &super::executions::Stored| {
            Ok(EventEnvelope {
                aggregate_id: id.to_owned(),
                sequence: stored.sequence as usize,
                payload: stored.happened().map_err(of_store)?,
                metadata: HashMap::from([(ACTOR.to_owned(), stored.actor.clone())]),
            })
        };
        stored.iter().map(envelope).collect()
    }

    async fn load_aggregate(&self, id: &str) -> Result<Held, Failed> {
        let id = parse(id)?;
        if let Some(loaded) = self.take(id) {
            return Ok(Held { loaded });
        }
        Ok(Held { loaded: self.store.load(id).await.map_err(of_store)? })
    }

    /// The aggregate has applied the events already: they are stored, and not applied again.
    async fn commit(
        &self,
        events: Vec<Happened>,
        held: Held,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<Execution>>, Failed> {
        let Held { mut loaded } = held;
        let Some(now) = events.last().map(|h| h.at) else {
            self.keep(loaded);
            return Ok(Vec::new());
        };
        let actor = metadata.get(ACTOR).map_or("library", String::as_str);
        let (id, before) = (loaded.execution_id, loaded.head_hash);
        let append =
            Append::new(id, &loaded.state, &events, before, actor, now).map_err(of_store)?;
        let first = append.expected as usize + 1;
        loaded.head_hash = append.head_hash;
        self.store.append(append).await.map_err(of_append)?;
        self.keep(loaded);
        let envelope = |(index, payload): (usize, Happened)| EventEnvelope {
            aggregate_id: id.to_string(),
            sequence: first + index,
            payload,
            metadata: metadata.clone(),
        };
        Ok(events.into_iter().enumerate().map(envelope).collect())
    }
}

/// Why a command changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The domain says no, of the newest state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database, or no such execution.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others append all the time.
    #[error("execution {0} changes too fast; try again")]
    Busy(Uuid),
}

/// cqrs-es's framework over our log.
pub struct Commands {
    framework: CqrsFramework<Execution, Log>,
    log: Log,
}

impl Commands {
    /// Over a store. Read models do not hang on the framework: the projector feeds them, so that a
    /// crash between commit and dispatch loses nothing.
    pub fn new(store: Store) -> Self {
        let log = Log::new(store);
        Commands { framework: CqrsFramework::new(log.clone(), Vec::new(), ()), log }
    }

    /// Decides a command on the newest state and appends; again when somebody else was first. Gives
    /// the state afterwards.
    pub async fn execute(
        &self,
        id: Uuid,
        command: &Command,
        actor: &str,
        clock: &dyn Clock,
    ) -> Result<Execution, CommandError> {
        let metadata = HashMap::from([(ACTOR.to_owned(), actor.to_owned())]);
        let stream = id.to_string();
        for _ in 0..CONFLICTS_MAX {
            let is_warm = self.log.warm().contains(&id);
            let given = Given { at: clock.now(), command: command.clone() };
            let done = self.framework.execute_with_metadata(&stream, given, metadata.clone());
            match done.await {
                Ok(()) => return self.state(id).await,
                // What a stale state refuses the newest may allow; it is loaded by the next round.
                Err(AggregateError::UserError(_)) if is_warm => {}
                Err(AggregateError::UserError(refusal)) => return Err(refusal.into()),
                Err(AggregateError::AggregateConflict) => {}
                Err(
                    AggregateError::DatabaseConnectionError(error)
                    | AggregateError::DeserializationError(error)
                    | AggregateError::UnexpectedError(error),
                ) => return Err(CommandError::Store(as_store(error))),
            }
        }
        Err(CommandError::Busy(id))
    }

    async fn state(&self, id: Uuid) -> Result<Execution, CommandError> {
        if let Some(loaded) = self.log.warm().get(&id) {
            return Ok(loaded.state.clone());
        }
        Ok(self.log.store.load(id).await?.state)
    }
}

fn parse(id: &str) -> Result<Uuid, Failed> {
    Uuid::parse_str(id)
        .map_err(|_| of_store(StoreError::NotFound { what: "execution", id: id.to_owned() }))
}

fn of_store(error: StoreError) -> Failed {
    match error {
        StoreError::Unreachable(_) => AggregateError::DatabaseConnectionError(Box::new(error)),
        StoreError::Unreadable { .. } => AggregateError::DeserializationError(Box::new(error)),
        other => AggregateError::UnexpectedError(Box::new(other)),
    }
}

fn of_append(error: AppendError) -> Failed {
    match error {
        AppendError::Conflict { .. } | AppendError::Fenced(_) => AggregateError::AggregateConflict,
        AppendError::NotFound(id) => {
            of_store(StoreError::NotFound { what: "execution", id: id.to_string() })
        }
        AppendError::Store(error) => of_store(error),
    }
}

/// The boxes that we packed hold our own errors.
fn as_store(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<StoreError>() {
        Ok(error) => *error,
        Err(other) => StoreError::Refused(other.to_string()),
    }
}

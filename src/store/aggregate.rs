//! cqrs-es over the pure core: an execution as an `Aggregate`, an event as a `DomainEvent`.
//!
//! For its test framework, its upcasters, and so that postgres-es can read our log as a witness that
//! is not ours (`witness`). Writing goes through `append`, never through postgres-es: see
//! `migrations/0001_event_log.sql` for the view that it reads.

use crate::workflow::command::{Command, Refusal};
use crate::workflow::decide::decide;
use crate::workflow::event::Happened;
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;

/// A command and when it was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub command: Command,
}

impl DomainEvent for Happened {
    fn event_type(&self) -> String {
        self.event.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Execution {
    const TYPE: &'static str = "execution";
    type Command = Given;
    type Event = Happened;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        given: Given,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in decide(self, given.at, &given.command)? {
            sink.write(Happened { at: given.at, event }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Happened) {
        evolve(self, &event);
    }
}

/// postgres-es's own repository over a view of our log: read with it, never write.
pub fn witness(pool: PgPool) -> PostgresEventRepository {
    PostgresEventRepository::new(pool).with_tables("postgres_es_events", "postgres_es_snapshots")
}

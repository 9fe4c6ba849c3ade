//! A database that is made for a measurement or a trial and removed afterwards, and figures about it.

use super::connect::refuse_data_loss;
use super::connections::Connections;
use super::error::StoreError;
use crate::workflow::state::Execution;
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use postgres_es::PostgresEventRepository;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use std::str::FromStr;
use uuid::Uuid;

/// A database of its own on somebody's server.
pub struct Scratch {
    admin: PgConnectOptions,
    name: String,
    url: String,
    pool: PgPool,
}

const WAL: &str =
    "/* wal bytes */ select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8";

/// Every update and every deletion leaves one dead row version.
const DEAD: &str = r"/* dead tuples */
select coalesce(sum(n_tup_upd + n_tup_del), 0)::int8 from pg_stat_user_tables";

const PROBE: &str = r"/* make probe */
create table if not exists bench_probe (id uuid primary key, at timestamptz not null, note text not null)";

const INSERT: &str = "/* probe */ insert into bench_probe (id, at, note) values ($1, now(), $2)";

impl Scratch {
    /// Makes a database beside the one of `url`, on a server that keeps what it acknowledges.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let admin = PgConnectOptions::from_str(url)
            .map_err(|e| StoreError::Url(e.to_string()))?
            .disable_statement_logging();
        let mut connection = PgConnection::connect_with(&admin).await?;
        let name = format!("longhaul_bench_{}", Uuid::new_v4().simple());
        sqlx::query(&format!("/* make scratch */ create database {name}"))
            .execute(&mut connection)
            .await?;
        let own = admin.clone().database(&name);
        let url = own.to_url_lossy().to_string();
        let pool = PgPoolOptions::new().max_connections(2).connect_with(own).await?;
        refuse_data_loss(&Connections::new(pool.clone(), false)).await?;
        Ok(Scratch { admin, name, url, pool })
    }

    /// The way to it. May hold a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Bytes that the server has written to its log so far.
    pub async fn wal_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(WAL).fetch_one(&self.pool).await?;
        Ok(bytes as u64)
    }

    /// Row versions that were made dead so far, as the statistics tell; they lag by about a second.
    pub async fn dead_tuples(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(DEAD).fetch_one(&self.pool).await?)
    }

    /// A connection for single inserts.
    pub async fn probe(&self) -> Result<Probe, StoreError> {
        let mut connection = PgConnection::connect(&self.url).await?;
        sqlx::query(PROBE).execute(&mut connection).await?;
        Ok(Probe { connection })
    }

    /// Removes it, with everything in it.
    pub async fn drop_database(self) -> Result<(), StoreError> {
        self.pool.close().await;
        let mut connection = PgConnection::connect_with(&self.admin).await?;
        sqlx::query(&format!("/* drop scratch */ drop database {} with (force)", self.name))
            .execute(&mut connection)
            .await?;
        Ok(())
    }
}

/// Inserts one row at a time.
pub struct Probe {
    connection: PgConnection,
}

impl Probe {
    /// One durable insert.
    pub async fn insert(&mut self) -> Result<(), StoreError> {
        let note = "z".repeat(200);
        sqlx::query(INSERT).bind(Uuid::now_v7()).bind(note).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// postgres-es's own repository over its own tables, to measure ourselves against.
pub struct RivalLog {
    repository: PostgresEventRepository,
}

/// As its documentation asks for it.
const RIVAL_TABLE: &str = r"/* make rival table */
create table if not exists rival_events (
    aggregate_type text not null,
    aggregate_id   text not null,
    sequence       bigint not null check (sequence >= 0),
    event_type     text not null,
    event_version  text not null,
    payload        json not null,
    metadata       json not null,
    primary key (aggregate_type, aggregate_id, sequence)
)";

impl RivalLog {
    /// Makes its table in the database of `url`.
    pub async fn create(url: &str, connections: u32) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new().max_connections(connections).connect(url).await?;
        sqlx::query(RIVAL_TABLE).execute(&pool).await?;
        let repository =
            PostgresEventRepository::new(pool).with_tables("rival_events", "rival_snapshots");
        Ok(RivalLog { repository })
    }

    /// One event, committed.
    pub async fn append(
        &self,
        stream: &str,
        sequence: usize,
        payload: Value,
    ) -> Result<(), StoreError> {
        let event = SerializedEvent::new(
            stream.to_owned(),
            sequence,
            "execution".to_owned(),
            "StageProgressed".to_owned(),
            "1.0".to_owned(),
            payload,
            json!({}),
        );
        self.repository
            .persist::<Execution>(&[event], None)
            .await
            .map_err(|e| StoreError::Refused(e.to_string()))
    }
}

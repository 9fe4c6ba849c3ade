//! A log made of the recorded histories, appended piece by piece on several lanes.

use crate::replay;
use crate::support::database::TestDatabase;
use longhaul::clock::SystemClock;
use longhaul::projector::Projector;
use longhaul::workflow::event::Happened;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use sqlx::PgPool;
use std::sync::Arc;
use uuid::Uuid;

/// A recorded history under an id of its own.
pub(super) struct Life {
    pub(super) id: Uuid,
    pub(super) history: Vec<Happened>,
    lines: Vec<Value>,
    written: usize,
}

/// The log of a test.
pub(super) struct Log {
    pub(super) database: TestDatabase,
    pub(super) pool: PgPool,
    pub(super) lives: Vec<Life>,
    chance: StdRng,
}

impl Log {
    /// So many copies of every history in `replay/`, none of which is written yet.
    pub(super) async fn of_histories(copies: usize) -> Log {
        let database = TestDatabase::new().await;
        let pool = PgPool::connect(&database.url).await.expect("a pool");
        let names = replay::names();
        let lives = names.iter().flat_map(|name| (0..copies).map(move |_| name));
        let life = |name: &String| Life {
            id: Uuid::now_v7(),
            history: replay::history(name),
            lines: replay::lines(name),
            written: 0,
        };
        let lives = lives.map(life).collect();
        Log { database, pool, lives, chance: StdRng::seed_from_u64(7) }
    }

    pub(super) async fn projector(&self) -> Projector {
        Projector::new(self.database.store().await, Arc::new(SystemClock))
    }

    /// Appends a few events of a life that has some left, on some lane; false when none has.
    pub(super) async fn write_some(&mut self) -> bool {
        let open: Vec<usize> =
            (0..self.lives.len()).filter(|i| !self.lives[*i].is_written()).collect();
        if open.is_empty() {
            return false;
        }
        let index = open[self.chance.random_range(0..open.len())];
        let (count, lane) = (self.chance.random_range(1..=6), self.chance.random_range(0..5));
        let life = &mut self.lives[index];
        life.write(&self.pool, count, lane).await;
        true
    }

    pub(super) async fn write_all(&mut self) {
        while self.write_some().await {}
    }
}

impl Life {
    /// What the log has of it.
    pub(super) fn written(&self) -> &[Happened] {
        &self.history[..self.written]
    }

    fn is_written(&self) -> bool {
        self.written == self.lines.len()
    }

    async fn write(&mut self, pool: &PgPool, count: usize, lane: i16) {
        let mut transaction = pool.begin().await.expect("a transaction");
        let next = &self.lines[self.written..(self.written + count).min(self.lines.len())];
        let version = (self.written + next.len()) as i64;
        let head = "insert into executions (execution_id, task_id, workflow, workflow_version, title, \
                    priority, requested_at, version, head_hash, status, branch, progress, updated_at) \
                    values ($1, $1, 'w', 1, '', 5, now(), $2, decode(repeat('00', 32), 'hex'), \
                    'running', 1, 0, now()) on conflict (execution_id) do update set version = $2";
        sqlx::query(head)
            .bind(self.id)
            .bind(version)
            .execute(&mut *transaction)
            .await
            .expect("head");
        let move_lane =
            "update lanes set sequence = sequence + $2 where lane = $1 returning sequence - $2";
        let before: i64 = sqlx::query_scalar(move_lane)
            .bind(lane)
            .bind(next.len() as i64)
            .fetch_one(&mut *transaction)
            .await
            .expect("a lane");
        for (index, line) in next.iter().enumerate() {
            let mut payload = serde_json::json!({"type": line["type"]});
            let data = line["data"].as_object().expect("data").clone();
            payload.as_object_mut().expect("an object").extend(data);
            let insert = "insert into events (execution_id, sequence, event_id, type, branch, at, actor, \
                          payload, hash, lane, lane_sequence) values ($1, $2, $3, $4, $5, \
                          $6::timestamptz, $7, $8::json, decode(repeat('00', 32), 'hex'), $9, $10)";
            sqlx::query(insert)
                .bind(self.id)
                .bind(line["sequence"].as_i64())
                .bind(Uuid::now_v7())
                .bind(line["type"].as_str())
                .bind(line["branch"].as_i64())
                .bind(line["at"].as_str())
                .bind(line["actor"].as_str())
                .bind(payload.to_string())
                .bind(lane)
                .bind(before + index as i64 + 1)
                .execute(&mut *transaction)
                .await
                .expect("an event");
        }
        transaction.commit().await.expect("committed");
        self.written += next.len();
    }
}

//! A made-up log for measurements: plausible lives of executions, written in large strokes.
//!
//! Envelope, sequences and lanes are what appends would have made; the hashes are not, so that nobody
//! takes it for a history. Never: into a database that holds anything.

use super::connect::Store;
use super::error::StoreError;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Lives that are written by one statement.
const STROKE: i64 = 4_000;
/// Every life, and what every eighth (`odd`) has besides: red tests, and the work sent back.
const LIVES: &str = r#"/* made-up lives */
with steps (step, odd, after_ms, type, payload) as (values
    (1, false, 0, 'ExecutionRequested', $1::text),
    (2, false, 40, 'ExecutionClaimed', '{"type":"ExecutionClaimed","worker":"WORKER","fence":"WORKER"}'),
    (3, false, 41, 'StageStarted', '{"type":"StageStarted","stage":"analysis","attempt":1}'),
    (4, false, 1900, 'StageSucceeded', '{"type":"StageSucceeded","stage":"analysis","attempt":1,"output":OUTPUT}'),
    (5, false, 1900, 'StageStarted', '{"type":"StageStarted","stage":"code_generation","attempt":1}'),
    (6, false, 61000, 'BudgetSpent', '{"type":"BudgetSpent","stage":"code_generation","attempt":1,"cost":{"usd":0.0375,"input_tokens":18250,"output_tokens":1410}}'),
    (7, false, 61000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"code_generation","attempt":1,"output":OUTPUT}'),
    (8, false, 61000, 'StageStarted', '{"type":"StageStarted","stage":"testing","attempt":1}'),
    (9, true, 83000, 'StageFailed', '{"type":"StageFailed","stage":"testing","attempt":1,"error":{"kind":"rejected","message":"2 of 41 tests fail"},"final":false}'),
    (10, true, 83000, 'StageReopened', '{"type":"StageReopened","stage":"code_generation","by":"testing","loop":1,"feedback":{"message":"2 of 41 tests fail"},"reset":["code_generation","testing","pr_creation","validation","deployment"]}'),
    (11, true, 83000, 'StageStarted', '{"type":"StageStarted","stage":"code_generation","attempt":2}'),
    (12, true, 99000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"code_generation","attempt":2,"output":OUTPUT}'),
    (13, true, 99000, 'StageStarted', '{"type":"StageStarted","stage":"testing","attempt":2}'),
    (14, false, 120000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"testing","attempt":TESTS,"output":OUTPUT}'),
    (15, false, 120000, 'StageStarted', '{"type":"StageStarted","stage":"pr_creation","attempt":1}'),
    (16, false, 121000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"pr_creation","attempt":1,"output":OUTPUT}'),
    (17, false, 121000, 'StageStarted', '{"type":"StageStarted","stage":"validation","attempt":1}'),
    (18, false, 150000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"validation","attempt":1,"output":OUTPUT}'),
    (19, false, 150000, 'StageStarted', '{"type":"StageStarted","stage":"deployment","attempt":1}'),
    (20, false, 155000, 'StageSucceeded', '{"type":"StageSucceeded","stage":"deployment","attempt":1,"output":OUTPUT}'),
    (21, false, 155000, 'ExecutionCompleted', '{"type":"ExecutionCompleted"}')
), lives as (
    select i, i % 8 = 3 as odd, (i % 2)::smallint as lane, $4::timestamptz + interval '1 ms' * (i * 50) as at,
           (lpad(to_hex((extract(epoch from $4::timestamptz) * 1000)::bigint + i * 50), 12, '0') || '7'
            || substr(md5(i::text), 1, 3) || '8' || substr(md5(i::text), 4, 15))::uuid as id
      from generate_series($2::bigint, $3::bigint) as i
), made as (
    select l.*, s.step, s.type, l.at + interval '1 ms' * (s.after_ms + i % 97) as happened,
           replace(replace(replace(s.payload, 'OUTPUT', '{"result":"' || repeat('x', 187) || '"}'),
                   'WORKER', '00000000-0000-7000-8000-00000000000' || i % 4),
                   'TESTS', case when l.odd then '2' else '1' end) as payload,
           row_number() over (partition by i order by step) as sequence,
           row_number() over (partition by l.lane order by i, step) as place
      from lives l join steps s on l.odd or not s.odd
), heads as (
    insert into executions (execution_id, task_id, workflow, workflow_version, title, priority, requested_at,
           version, head_hash, status, branch, progress, updated_at, started_at, finished_at)
    select id, id, 'six-stage', 1, 'a made-up task', 5, at, max(sequence), decode(repeat('00', 32), 'hex'),
           'completed', 1, 1, max(happened), min(happened), max(happened)
      from made group by id, at
), moved as (
    update lanes set sequence = lanes.sequence + m.count
      from (select lane, count(*) from made group by lane) m where m.lane = lanes.lane
    returning lanes.lane, lanes.sequence - m.count as before
)
insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload, hash, lane,
                    lane_sequence)
select id, sequence, md5(i || '.' || step)::uuid, type, 1, happened,
       case when step = 1 then 'cli' else 'worker:00000000-0000-7000-8000-00000000000' || i % 4 end,
       payload::json, decode(repeat('00', 32), 'hex'), made.lane, before + place
  from made join moved using (lane)
 order by i, step"#;

const ANALYZE: &str = "/* analyze */ analyze events, executions";

/// The log of a table that is copied for comparison.
const COPY: &str = "copy (select execution_id, sequence, event_id, type, branch, at, actor, payload, hash, \
    lane, lane_sequence from events) to stdout (format binary)";

impl Store {
    /// Writes lives of together at least so many events into an empty log; gives back how many.
    /// `request` is the payload of the first event of each.
    pub async fn make_up(
        &self,
        events: u64,
        request: &str,
        begin: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut made = 0;
        let mut first = 0;
        while made < events {
            // 16 events each, and 5 more for every eighth: 133 for eight.
            let left = ((events - made) * 8).div_ceil(133).div_ceil(8) * 8;
            let last = first + STROKE.min(left as i64) - 1;
            let written = sqlx::query(LIVES)
                .bind(request)
                .bind(first)
                .bind(last)
                .bind(begin)
                .execute(&self.pool.patient())
                .await?;
            made += written.rows_affected();
            first = last + 1;
        }
        sqlx::query(ANALYZE).execute(&self.pool.patient()).await?;
        Ok(made)
    }

    /// How long it takes to get the whole log out of the server, and how many bytes that is.
    pub async fn copy_out(&self) -> Result<(Duration, u64), StoreError> {
        use sqlx::postgres::PgPoolCopyExt;
        let began = std::time::Instant::now();
        let mut copy = self.pool().copy_out_raw(COPY).await?;
        let mut bytes = 0;
        while let Some(chunk) = std::future::poll_fn(|c| copy.as_mut().poll_next(c)).await {
            bytes += chunk?.len() as u64;
        }
        Ok((began.elapsed(), bytes))
    }
}

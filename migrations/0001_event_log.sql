-- The event log and what hangs on it. Facts: rows of `events` are inserted and never changed.
--
-- Times that order nothing are given by the program; only leases use the database's own clock.

-- A lane is a gap-free sub-log: whoever appends holds the lane's row until commit, so that the order
-- of its sequence is the order of its commits. Readers keep a position per lane and skip nothing.
create table lanes (
    lane      smallint primary key,
    sequence  bigint not null default 0
) with (fillfactor = 10);

insert into lanes (lane) select generate_series(0, 15);

-- One row per execution: head of its stream, summary of its state, lease. No index on what changes
-- with every append, so that updates stay in their page (HOT).
create table executions (
    execution_id      uuid primary key,          -- version 7: sorts by time of request
    task_id           uuid not null,
    workflow          text not null,
    workflow_version  integer not null,
    repository        text,
    title             text not null,
    priority          smallint not null check (priority between 0 and 10),
    requested_at      timestamptz not null,
    -- head
    version           bigint not null check (version > 0),
    head_hash         bytea not null check (length(head_hash) = 32),
    -- summary
    status            text not null check (status in
                      ('queued', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled')),
    branch            integer not null check (branch > 0),
    progress          real not null check (progress between 0 and 1),
    updated_at        timestamptz not null,
    started_at        timestamptz,
    finished_at       timestamptz,
    -- lease: the right to append as the worker; both or neither
    worker_id         uuid,
    fence             uuid,
    check ((worker_id is null) = (fence is null)),
    check ((finished_at is null) = (status not in ('completed', 'failed', 'cancelled')))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

create index executions_of_worker on executions (worker_id) where worker_id is not null;
create index executions_of_task on executions (task_id);

-- The log. `payload` is json, not jsonb: the text is kept as it was hashed.
create table events (
    execution_id   uuid not null,
    sequence       bigint not null check (sequence > 0),
    event_id       uuid not null,
    type           text not null,
    branch         integer not null,
    at             timestamptz not null,
    actor          text not null,
    payload        json not null,
    hash           bytea not null check (length(hash) = 32),
    lane           smallint not null,
    lane_sequence  bigint not null,
    primary key (execution_id, sequence)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Executions that nobody holds and that something may be done for: at once (`ready`), or from
-- `wake_at` on. Two partial indexes, so that a million sleepers do not stand in front of the queue.
create table queue (
    execution_id  uuid primary key,
    ready         boolean not null,
    priority      smallint not null,
    wake_at       timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

create index queue_ready on queue (priority desc, wake_at) where ready;
create index queue_sleeping on queue (wake_at) where not ready;

-- Processes that own executions. A row goes when the worker ends or is found dead.
create table workers (
    worker_id     uuid primary key,
    name          text not null,
    host          text not null,
    pid           integer not null,
    lock_file     text not null,       -- held by an operating system lock while the process lives
    slots         integer not null,
    labels        text[] not null default '{}',
    version       text not null,
    lease_ms      bigint not null check (lease_ms > 0),
    started_at    timestamptz not null default clock_timestamp(),
    heartbeat_at  timestamptz not null default clock_timestamp(),
    draining      boolean not null default false
) with (fillfactor = 50);

-- What somebody asked for. The current document; its history is in `task_events`.
create table tasks (
    task_id          uuid primary key,
    idempotency_key  text unique,
    title            text not null,
    type             text not null,
    priority         text not null,
    workflow         text not null,
    repository       text,
    document         json not null,
    version          bigint not null,
    created_at       timestamptz not null
);

create table task_events (
    task_id   uuid not null,
    sequence  bigint not null check (sequence > 0),
    event_id  uuid not null,
    type      text not null,
    at        timestamptz not null,
    actor     text not null,
    payload   json not null,
    hash      bytea not null check (length(hash) = 32),
    primary key (task_id, sequence)
);

-- Every version of every registered workflow; the highest is in force.
create table workflow_versions (
    name           text not null,
    version        integer not null check (version > 0),
    definition     json not null,
    digest         bytea not null,
    registered_at  timestamptz not null,
    actor          text not null,
    primary key (name, version)
);

-- What attempts print, in chunks. The event that ends the attempt holds the digest of the whole.
create table stage_logs (
    execution_id  uuid not null,
    stage         text not null,
    attempt       integer not null,
    chunk         integer not null,
    at            timestamptz not null,
    content       text not null,
    primary key (execution_id, stage, attempt, chunk)
);

-- The log in the column layout of postgres-es 0.5, so that its repository can read (not write) it.
create view postgres_es_events as
select 'execution'::text as aggregate_type,
       execution_id::text as aggregate_id,
       sequence,
       type as event_type,
       '1.0'::text as event_version,
       json_build_object('at', at, 'event', payload) as payload,
       json_build_object('actor', actor, 'branch', branch::text) as metadata
  from events;

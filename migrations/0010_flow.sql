-- Flow: what an execution in the queue needs of its worker, and its place in line.

-- What a worker offers besides its labels; null: it does not say, and it counts as enough.
alter table workers add column cpu double precision;
alter table workers add column memory_mb bigint;

-- `needs` is empty for what every worker can do. Its few values each make a line of their own in
-- the index, so that a worker never reads past rows that are not for it.
-- `position` is the order of a line, in seconds: one rank of priority goes before 300 seconds of
-- waiting. Time passes for all alike, so that the order ages without being touched.
alter table queue add column needs text not null default '';
alter table queue add column position double precision not null generated always as (
    extract(epoch from wake_at - timestamptz '2000-01-01 00:00:00+00')::double precision
        - priority * 300.0
) stored;

drop index queue_ready;
create index queue_ready on queue (needs, position) where ready;

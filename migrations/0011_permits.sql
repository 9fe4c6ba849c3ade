-- Keys that stages hold while they run, across all workers, and who waits for them.

-- How many may hold a key at once, for a key or a class of keys (a pattern that ends with `*`).
-- What no pattern names is held by one. All workers read this; a worker's settings replace it.
create table key_limits (
    pattern  text primary key,
    at_most  integer not null check (at_most > 0)
);

create function at_most(key text) returns integer language sql stable as $$
    select coalesce((select l.at_most from key_limits l
                      where l.pattern = key
                         or right(l.pattern, 1) = '*' and starts_with(key, left(l.pattern, -1))
                      order by length(l.pattern) desc limit 1), 1)
$$;

-- One row per key, locked by whoever takes or gives back: `taken` is the number of its permits.
create table permit_keys (
    key    text primary key,
    taken  integer not null default 0 check (taken >= 0)
) with (fillfactor = 50);

-- Who holds what. A permit is worth as much as its fence; one whose fence is void goes when its
-- execution is taken over, or a while after `dead_since`.
create table permits (
    key           text not null,
    execution_id  uuid not null,
    stage         text not null,
    fence         uuid not null,
    worker_id     uuid not null,
    since         timestamptz not null,
    dead_since    timestamptz,
    primary key (key, execution_id, stage, fence)
);

create index permits_of_execution on permits (execution_id);

-- Stages that could begin but for a key. `position` as in the queue. Whoever was woken goes before
-- others until `woken_until`.
create table waits (
    execution_id  uuid not null,
    stage         text not null,
    key           text not null,
    priority      smallint not null,
    since         timestamptz not null,
    position      double precision not null generated always as (
        extract(epoch from since - timestamptz '2000-01-01 00:00:00+00')::double precision
            - priority * 300.0
    ) stored,
    woken_until   timestamptz,
    primary key (execution_id, stage, key)
);

create index waits_in_line on waits (key, position);

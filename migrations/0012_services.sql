-- Outside services: how fast they may be asked by all workers together, and whether they answer.

create table services (
    name        text primary key,
    -- Set by the settings of a worker; null: as fast as one likes.
    per_second  double precision check (per_second > 0),
    burst       double precision not null default 1 check (burst >= 1),
    -- The bucket, as it was filled at `filled_at`.
    tokens      double precision not null default 0,
    filled_at   timestamptz,
    -- The circuit: open until then; afterwards one at a time may try, until one succeeds.
    failures    integer not null default 0,
    open_until  timestamptz,
    -- The service itself asked for patience until then.
    not_before  timestamptz
) with (fillfactor = 50);

-- Why a stage waits: `key`, `rate_limit` or `circuit`; the latter two until a time.
alter table waits add column kind text not null default 'key';
alter table waits add column until timestamptz;

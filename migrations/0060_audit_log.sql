-- What operators did that belongs to no execution: exports, checkpoints, registered workflows. A chain
-- of its own, laid out and hashed as events are; rows are inserted and never changed.
create table audit_log (
    sequence  bigint primary key check (sequence > 0),
    event_id  uuid not null,
    type      text not null,
    at        timestamptz not null,
    actor     text not null,
    payload   json not null,
    hash      bytea not null check (length(hash) = 32)
);

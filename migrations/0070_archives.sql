-- Months of the log that were written to files, and those that were given up here afterwards.
--
-- The parts of a month that was given up stay, empty, with a constraint that lets nothing in: a late
-- append fails instead of beginning the stream anew.
create table archives (
    month        date primary key,         -- its first day
    first_id     uuid not null,            -- executions from here on ...
    end_id       uuid not null,            -- ... and before here
    place        text not null,            -- the directory of the files, on the machine that wrote them
    manifest     bytea not null check (length(manifest) = 32),   -- SHA-256 of manifest.json
    executions   bigint not null,
    events       bigint not null,
    log_chunks   bigint not null,
    archived_at  timestamptz not null,
    archived_by  text not null,
    dropped_at   timestamptz,              -- since then the events are in the files only
    dropped_by   text,
    restored_at  timestamptz,              -- when they last came back
    restored_by  text
);

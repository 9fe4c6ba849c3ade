-- The log and the stages' output in one part per month, so that a month can be archived and given up.
--
-- The id of an execution is a UUID of version 7, which begins with the time of the request: a range of
-- ids is a range of time, and the primary key stays as it was. Everything about one execution lies in
-- one part. What is older than the first part lies in the first part; what no part takes lies in the
-- default part, which is empty unless nobody made months ahead (`db status` says so).

-- The first id of a month, in UTC.
create function month_start_id(month date) returns uuid
language sql immutable as $$
    select (lpad(to_hex((extract(epoch from month::timestamp) * 1000)::bigint), 12, '0')
            || '70008000000000000000')::uuid
$$;

drop view postgres_es_events;

-- What there is becomes the part of this month and of all before it. Rows from beyond its end (of a
-- clock that is ahead) go to the default part.
do $$
declare
    parent text;
    first  text;
    bound  uuid := month_start_id((date_trunc('month', now() at time zone 'utc')
                                   + interval '1 month')::date);
begin
    foreach parent in array array['events', 'stage_logs'] loop
        first := parent || to_char(now() at time zone 'utc', '_YYYY_MM');
        execute format('alter table %I rename to %I', parent, first);
        execute format('alter table %I rename constraint %I to %I', first, parent || '_pkey',
                       first || '_pkey');
        execute format('create table %I (like %I including all) partition by range (execution_id)',
                       parent, first);
        execute format('create table %I partition of %I default', parent || '_default', parent);
        execute format('with beyond as (delete from %I where execution_id >= %L returning *)
                        insert into %I select * from beyond', first, bound, parent || '_default');
        execute format('alter table %I attach partition %I for values from (minvalue) to (%L)',
                       parent, first, bound);
    end loop;
end $$;

-- Makes the months that are missing up to the one of `until`, and says how many parts that took. Any
-- number of processes may call it at any time. It belongs to the owner of the tables and acts in his
-- name, because the program's own role may not change tables. New months are attached, not created in
-- place: that stops nobody who reads or writes the others.
create function create_months(until date) returns integer
language plpgsql security definer as $$
declare
    parent text;
    part   text;
    month  date;
    made   integer := 0;
begin
    foreach parent in array array['events', 'stage_logs'] loop
        for month in
            select m::date
              from (select max(to_date(right(c.relname, 7), 'YYYY_MM')) as last
                      from pg_inherits i join pg_class c on c.oid = i.inhrelid
                     where i.inhparent = parent::regclass and c.relname ~ '_\d{4}_\d{2}$') known,
                   generate_series(last + interval '1 month',
                                   least(until, last + 3660)::timestamp, interval '1 month') m
        loop
            part := parent || to_char(month, '_YYYY_MM');
            -- One at a time; it stands in the way of no insert.
            execute format('lock table %I in share update exclusive mode', parent);
            if to_regclass(part) is null then
                perform create_month(parent, month, false);
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end $$;

-- Makes one month's part of one table; `since_ever`: it also takes everything before it. What waits
-- for it in the default part moves into it.
create function create_month(parent text, month date, since_ever boolean) returns void
language plpgsql as $$
declare
    part  text := parent || to_char(month, '_YYYY_MM');
    start uuid := month_start_id(month);
    bound uuid := month_start_id((month + interval '1 month')::date);
begin
    execute format('create table %I (like %I including all)
                    with (autovacuum_vacuum_insert_scale_factor = 0.05)', part, parent);
    if since_ever then
        start := '00000000-0000-0000-0000-000000000000';
    end if;
    execute format('with waiting as (delete from %I where execution_id >= $1 and execution_id < $2
                                     returning *)
                    insert into %I select * from waiting', parent || '_default', part)
      using start, bound;
    execute format('alter table %I attach partition %I for values from (%s) to (%L)', parent, part,
                   case when since_ever then 'minvalue' else quote_literal(start) end, bound);
end $$;

-- Names mean our tables, whatever the caller has by the same name.
do $$
begin
    execute format('alter function create_months(date) set search_path = %I, pg_temp',
                   current_schema());
end $$;
revoke execute on function create_month(text, date, boolean) from public;

-- The log in the column layout of postgres-es 0.5, so that its repository can read (not write) it.
-- `execution_id` is ours: a query that names it reads one part.
create view postgres_es_events as
select 'execution'::text as aggregate_type,
       execution_id::text as aggregate_id,
       sequence,
       type as event_type,
       '1.0'::text as event_version,
       json_build_object('at', at, 'event', payload) as payload,
       json_build_object('actor', actor, 'branch', branch::text) as metadata,
       execution_id
  from events;

-- The append of one execution, for when there is nothing to share a statement with: the same as the
-- statement `append` in src/store/append.rs, which serves many at once, in a fifth of its time. Locks are
-- taken in the same order: the head, then the lane. Says whether the head moved.
create function append_one(
    p_execution_id uuid, p_expected bigint, p_version bigint, p_fence uuid, p_head_hash bytea,
    p_status text, p_branch integer, p_progress real, p_updated_at timestamptz,
    p_started_at timestamptz, p_finished_at timestamptz, p_release boolean, p_queued boolean,
    p_wake_at timestamptz, p_event_ids uuid[], p_types text[], p_branches integer[],
    p_ats timestamptz[], p_actors text[], p_payloads text[], p_hashes bytea[], p_lane smallint
) returns boolean
language plpgsql as $$
declare
    holder uuid;
    rank   smallint;
    before bigint;
    count  integer := cardinality(p_event_ids);
begin
    update executions
       set version = p_version, head_hash = p_head_hash, status = p_status, branch = p_branch,
           progress = p_progress, updated_at = p_updated_at, started_at = p_started_at,
           finished_at = p_finished_at,
           worker_id = case when p_release then null else worker_id end,
           fence = case when p_release then null else fence end
     where execution_id = p_execution_id and version = p_expected
       and (p_fence is null or fence = p_fence)
    returning worker_id, priority into holder, rank;
    if not found then
        return false;
    end if;
    update lanes set sequence = sequence + count where lane = p_lane
    returning sequence - count into before;
    for place in 1..count loop
        insert into events (execution_id, sequence, event_id, type, branch, at, actor, payload, hash,
                            lane, lane_sequence)
        values (p_execution_id, p_expected + place, p_event_ids[place], p_types[place],
                p_branches[place], p_ats[place], p_actors[place], p_payloads[place]::json,
                p_hashes[place], p_lane, before + place);
    end loop;
    if holder is null then
        if p_queued then
            insert into queue (execution_id, ready, priority, wake_at)
            values (p_execution_id, p_wake_at is null, rank, coalesce(p_wake_at, p_updated_at))
            on conflict (execution_id) do update
               set ready = excluded.ready, priority = excluded.priority, wake_at = excluded.wake_at;
        else
            delete from queue where execution_id = p_execution_id;
        end if;
    end if;
    return true;
end $$;

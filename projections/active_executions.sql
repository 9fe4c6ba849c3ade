-- active_executions: what is under way: one row per execution that has not ended.
--
-- An ended execution of which a stage still waits stays, with its final status: that stage would go
-- on after a rewind. Ask for `not ended`.
--
-- handles: ExecutionRequested, ExecutionClaimed, StageStarted, StageSucceeded, StageFailed
-- handles: StageWaiting, StageResumed, StageInterrupted, StageSkipped, StageReopened
-- handles: ExecutionPaused, ExecutionResumed, CancellationRequested, ExecutionCancelled
-- handles: ExecutionRewound, ExecutionCompleted, ExecutionFailed
-- ignores: StepRecorded, StageProgressed, StageRetryScheduled, SignalReceived, TimerFired, BudgetSpent

create table active_executions (
    execution_id    uuid primary key,      -- the execution
    task_id         uuid,                  -- its task
    title           text not null,         -- title of the task; empty when it has none
    task_type       text not null,         -- feature, bugfix, ...; unknown when the task does not say
    priority        smallint not null,     -- 0 to 10; higher goes first
    workflow        text not null,         -- name of its workflow
    repository      text,                  -- a local path or OWNER/NAME; null for none
    requested_at    timestamptz not null,  -- when it was requested
    updated_at      timestamptz not null,  -- when the last event that counts here happened
    status          text not null,         -- queued running waiting paused; or how it ended
    ended           boolean not null,      -- whether it has ended
    cancelling      boolean not null,      -- whether its end was asked for and is not confirmed yet
    paused          boolean not null,      -- whether somebody has to say `resume`
    branch          integer not null,      -- its current branch, from 1
    worker          uuid,                  -- the worker that took it last; null after an end
    running_stages  text[] not null,       -- stages that run, by name
    waiting_kind    text,                  -- while waiting: approval, ci, retry, ...
    waiting_detail  text,                  -- while waiting: for what exactly
    waiting_since   timestamptz,           -- while waiting: since when
    open_stages     jsonb not null         -- stages that run or wait: {"STAGE": {"is", "since", "kind", "detail"}}
);

-- fold
with streams as (
    select execution_id, max(sequence) as newest, max(branch) as branch,
           max(sequence) filter (where type in ('ExecutionRequested', 'ExecutionCompleted',
               'ExecutionFailed', 'ExecutionCancelled', 'ExecutionRewound')) as life,
           max(sequence) filter (where type = 'ExecutionPaused') as paused,
           max(sequence) filter (where type in ('ExecutionResumed', 'ExecutionCompleted',
               'ExecutionFailed', 'ExecutionCancelled', 'ExecutionRewound')) as unpaused,
           max(sequence) filter (where type = 'ExecutionClaimed') as claimed,
           max(sequence) filter (where type in ('ExecutionCompleted', 'ExecutionFailed',
               'ExecutionCancelled')) as ended,
           max(sequence) filter (where type = 'CancellationRequested') as cancelling
      from batch
     where type not in ('StepRecorded', 'StageProgressed', 'StageRetryScheduled', 'SignalReceived',
                        'TimerFired', 'BudgetSpent')
     group by execution_id
), resets as (
    select b.execution_id, r.stage, max(b.sequence) as sequence
      from batch b, unnest(b.reset) as r (stage)
     where b.type in ('StageReopened', 'ExecutionRewound')
     group by b.execution_id, r.stage
), opened as (
    select b.execution_id, jsonb_object_agg(b.stage, jsonb_build_object(
               'is', case b.type when 'StageWaiting' then 'waiting' when 'StageFailed' then 'retry'
                     else 'running' end,
               'since', b.at, 'kind', case b.type when 'StageFailed' then 'retry' else b.kind end,
               'detail', b.message)) as stages
      from batch b left join resets r using (execution_id, stage)
     where b.last_of_stage
       and (b.type in ('StageStarted', 'StageResumed', 'StageWaiting')
            or (b.type = 'StageFailed' and not b.is_final))
       and (r.sequence is null or r.sequence < b.sequence)
     group by b.execution_id
), closed as (
    select t.execution_id, array_agg(t.stage) as stages
      from (select execution_id, stage from batch where last_of_stage
            union select execution_id, stage from resets) t
      join active_executions o on o.execution_id = t.execution_id and o.open_stages <> '{}'
     group by t.execution_id
), merged as (
    select s.execution_id, n.at as updated_at,
           greatest(s.branch, coalesce(o.branch, 0)) as branch,
           coalesce(l.task_id, o.task_id) as task_id,
           coalesce(l.title, o.title) as title,
           coalesce(l.task_type, o.task_type) as task_type,
           coalesce(l.priority, o.priority) as priority,
           coalesce(l.workflow, o.workflow) as workflow,
           coalesce(l.repository, o.repository) as repository,
           coalesce(l.requested_at, o.requested_at) as requested_at,
           case l.type when 'ExecutionCompleted' then 'completed' when 'ExecutionFailed' then 'failed'
                when 'ExecutionCancelled' then 'cancelled' when 'ExecutionRequested' then null
                when 'ExecutionRewound' then null
                else case when o.ended then o.status end end as outcome,
           case when s.cancelling is null and s.life is null then coalesce(o.cancelling, false)
                else coalesce(s.cancelling, 0) > coalesce(s.life, 0) end as cancelling,
           case when s.paused is null and s.unpaused is null then coalesce(o.paused, false)
                else coalesce(s.paused, 0) > coalesce(s.unpaused, 0) end as paused,
           case when s.ended > coalesce(s.claimed, 0) then null
                else coalesce(c.worker, o.worker) end as worker,
           case when o.open_stages is null or o.open_stages = '{}'
                then coalesce(p.stages, '{}')
                else (o.open_stages - coalesce(z.stages, '{}')) || coalesce(p.stages, '{}')
                end as open_stages
      from streams s
      join batch n on n.execution_id = s.execution_id and n.sequence = s.newest
      left join batch l on l.execution_id = s.execution_id and l.sequence = s.life
      left join batch c on c.execution_id = s.execution_id and c.sequence = s.claimed
      left join opened p on p.execution_id = s.execution_id
      left join closed z on z.execution_id = s.execution_id
      left join active_executions o on o.execution_id = s.execution_id
), gone as (
    delete from active_executions a using merged m
     where a.execution_id = m.execution_id and m.outcome is not null and m.open_stages = '{}'
), judged as (
    select m.*, coalesce(outcome,
           case when jsonb_path_exists(open_stages, '$.* ? (@.is == "running")') then 'running'
                when paused then 'paused'
                when open_stages <> '{}' then 'waiting'
                else 'queued' end) as status
      from merged m
     -- A late event of an ended execution finds no row and makes none.
     where (outcome is null or open_stages <> '{}') and requested_at is not null
)
insert into active_executions (execution_id, task_id, title, task_type, priority, workflow, repository,
       requested_at, updated_at, status, ended, cancelling, paused, branch, worker, running_stages,
       waiting_kind, waiting_detail, waiting_since, open_stages)
select j.execution_id, task_id, title, task_type, priority, workflow, repository, requested_at,
       updated_at, status, outcome is not null, cancelling, paused, branch, worker,
       array(select key from jsonb_each(j.open_stages) where value->>'is' = 'running' order by key),
       w.kind, w.detail, w.since, open_stages
  from judged j
  left join lateral (
       select value->>'kind' as kind, value->>'detail' as detail, (value->>'since')::timestamptz as since
         from jsonb_each(j.open_stages)
        where j.status = 'waiting'
        order by value->>'since', key limit 1) w on true
on conflict (execution_id) do update
   set task_id = excluded.task_id, title = excluded.title, task_type = excluded.task_type,
       priority = excluded.priority, workflow = excluded.workflow, repository = excluded.repository,
       requested_at = excluded.requested_at, updated_at = excluded.updated_at,
       status = excluded.status, ended = excluded.ended, cancelling = excluded.cancelling,
       paused = excluded.paused, branch = excluded.branch, worker = excluded.worker,
       running_stages = excluded.running_stages, waiting_kind = excluded.waiting_kind,
       waiting_detail = excluded.waiting_detail, waiting_since = excluded.waiting_since,
       open_stages = excluded.open_stages

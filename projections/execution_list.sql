-- execution_list: one row per execution, with its status, its cost and why it waits or failed.
--
-- handles: ExecutionRequested, ExecutionClaimed, StageStarted, StepRecorded, StageProgressed
-- handles: StageSucceeded, StageFailed, StageRetryScheduled, StageWaiting, StageResumed
-- handles: StageInterrupted, StageSkipped, StageReopened, SignalReceived, TimerFired, BudgetSpent
-- handles: ExecutionPaused, ExecutionResumed, CancellationRequested, ExecutionCancelled
-- handles: ExecutionRewound, ExecutionCompleted, ExecutionFailed
-- ignores:

create table execution_list (
    execution_id      uuid primary key,   -- the execution
    task_id           uuid,               -- its task
    title             text not null,      -- title of the task; empty when it has none
    task_type         text not null,      -- feature, bugfix, ...; unknown when the task does not say
    priority          smallint not null,  -- 0 to 10; higher goes first
    workflow          text not null,      -- name of its workflow
    workflow_version  integer not null,   -- version of its workflow
    repository        text,               -- a local path or OWNER/NAME; null for none
    agent             text,               -- the agent of its settings; null when they name none
    status            text not null,      -- queued running waiting paused completed failed cancelled
    branch            integer not null,   -- its current branch, from 1
    version           bigint not null,    -- sequence of its last event
    requested_at      timestamptz not null,         -- when it was requested
    started_at        timestamptz,        -- when its first stage started
    finished_at       timestamptz,        -- when it ended; null while it has not
    updated_at        timestamptz not null,         -- when its last event happened
    lead_ms           bigint,             -- from request to end, in ms
    worker            uuid,               -- the worker that took it last; null after the end
    attempts          integer not null,   -- attempts at stages, on all branches
    failures          integer not null,   -- attempts that failed
    loops             integer not null,   -- times that work was sent back, on all branches
    cost_usd          numeric not null,   -- US dollars spent, on all branches
    input_tokens      numeric not null,   -- tokens read by models
    output_tokens     numeric not null,   -- tokens written by models
    waiting_kind      text,               -- while waiting: approval, ci, retry, ...
    waiting_detail    text,               -- while waiting: for what exactly
    waiting_since     timestamptz,        -- while waiting: since when
    error_kind        text,               -- after a failure: its kind
    error_message     text,               -- after a failure: what happened
    error_stage       text,               -- after a failure: the stage, if it was one
    paused            boolean not null,   -- whether somebody has to say `resume`
    open_stages       jsonb not null      -- stages that run or wait: {"STAGE": {"is", "since", "kind", "detail"}}
);

-- fold
with streams as (
    select execution_id, max(sequence) as version, max(at) as updated_at,
           max(branch) as branch,
           max(sequence) filter (where type in ('ExecutionRequested', 'ExecutionCompleted',
               'ExecutionFailed', 'ExecutionCancelled', 'ExecutionRewound')) as life,
           max(sequence) filter (where type = 'ExecutionPaused') as paused,
           max(sequence) filter (where type in ('ExecutionResumed', 'ExecutionCompleted',
               'ExecutionFailed', 'ExecutionCancelled', 'ExecutionRewound')) as unpaused,
           max(sequence) filter (where type = 'ExecutionClaimed') as claimed,
           max(sequence) filter (where type in ('ExecutionCompleted', 'ExecutionFailed',
               'ExecutionCancelled')) as ended,
           min(at) filter (where type = 'StageStarted') as started_at,
           count(*) filter (where type = 'StageStarted') as attempts,
           count(*) filter (where type = 'StageFailed') as failures,
           count(*) filter (where type = 'StageReopened') as loops,
           coalesce(sum(usd), 0) as cost_usd,
           coalesce(sum(input_tokens), 0) as input_tokens,
           coalesce(sum(output_tokens), 0) as output_tokens
      from batch
     group by execution_id
), resets as (
    select b.execution_id, r.stage, max(b.sequence) as sequence
      from batch b, unnest(b.reset) as r (stage)
     where b.type in ('StageReopened', 'ExecutionRewound')
     group by b.execution_id, r.stage
), last as (
    select b.execution_id, b.stage, b.type, b.at, b.kind, b.message, b.is_final
      from batch b left join resets r using (execution_id, stage)
     where b.last_of_stage and (r.sequence is null or r.sequence < b.sequence)
), opened as (
    select execution_id, jsonb_object_agg(stage, jsonb_build_object(
               'is', case type when 'StageWaiting' then 'waiting' when 'StageFailed' then 'retry'
                     else 'running' end,
               'since', at, 'kind', case type when 'StageFailed' then 'retry' else kind end,
               'detail', message)) as stages
      from last
     where type in ('StageStarted', 'StageResumed', 'StageWaiting')
        or (type = 'StageFailed' and not is_final)
     group by execution_id
), closed as (
    -- Only a row that has open stages has some to close.
    select t.execution_id, array_agg(t.stage) as stages
      from (select execution_id, stage from batch where last_of_stage
            union select execution_id, stage from resets) t
      join execution_list o on o.execution_id = t.execution_id and o.open_stages <> '{}'
     group by t.execution_id
), merged as (
    select s.execution_id, s.version, greatest(s.updated_at, o.updated_at) as updated_at,
           greatest(s.branch, coalesce(o.branch, 0)) as branch,
           coalesce(l.task_id, o.task_id) as task_id,
           coalesce(l.title, o.title) as title,
           coalesce(l.task_type, o.task_type) as task_type,
           coalesce(l.priority, o.priority) as priority,
           coalesce(l.workflow, o.workflow) as workflow,
           coalesce(l.workflow_version, o.workflow_version) as workflow_version,
           coalesce(l.repository, o.repository) as repository,
           coalesce(l.agent, o.agent) as agent,
           coalesce(l.requested_at, o.requested_at) as requested_at,
           least(o.started_at, s.started_at) as started_at,
           case when l.type is null then o.finished_at
                when l.type in ('ExecutionRequested', 'ExecutionRewound') then null
                else l.at end as finished_at,
           case l.type when 'ExecutionCompleted' then 'completed' when 'ExecutionFailed' then 'failed'
                when 'ExecutionCancelled' then 'cancelled' when 'ExecutionRequested' then null
                when 'ExecutionRewound' then null
                else case when o.finished_at is null then null else o.status end end as outcome,
           case when l.type is null then o.error_kind
                when l.type = 'ExecutionFailed' then l.kind end as error_kind,
           case when l.type is null then o.error_message
                when l.type = 'ExecutionFailed' then l.message end as error_message,
           case when l.type is null then o.error_stage
                when l.type = 'ExecutionFailed' then l.stage end as error_stage,
           case when s.paused is null and s.unpaused is null then coalesce(o.paused, false)
                else coalesce(s.paused, 0) > coalesce(s.unpaused, 0) end as paused,
           case when s.ended > coalesce(s.claimed, 0) then null
                else coalesce(c.worker, o.worker) end as worker,
           coalesce(o.attempts, 0) + s.attempts as attempts,
           coalesce(o.failures, 0) + s.failures as failures,
           coalesce(o.loops, 0) + s.loops as loops,
           coalesce(o.cost_usd, 0) + s.cost_usd as cost_usd,
           coalesce(o.input_tokens, 0) + s.input_tokens as input_tokens,
           coalesce(o.output_tokens, 0) + s.output_tokens as output_tokens,
           case when o.open_stages is null or o.open_stages = '{}'
                then coalesce(p.stages, '{}')
                else (o.open_stages - coalesce(z.stages, '{}')) || coalesce(p.stages, '{}')
                end as open_stages
      from streams s
      left join batch l on l.execution_id = s.execution_id and l.sequence = s.life
      left join batch c on c.execution_id = s.execution_id and c.sequence = s.claimed
      left join opened p on p.execution_id = s.execution_id
      left join closed z on z.execution_id = s.execution_id
      left join execution_list o on o.execution_id = s.execution_id
), judged as (
    select m.*, coalesce(outcome,
           case when jsonb_path_exists(open_stages, '$.* ? (@.is == "running")') then 'running'
                when paused then 'paused'
                when open_stages <> '{}' then 'waiting'
                else 'queued' end) as status
      from merged m
)
insert into execution_list (execution_id, task_id, title, task_type, priority, workflow,
       workflow_version, repository, agent, status, branch, version, requested_at, started_at,
       finished_at, updated_at, lead_ms, worker, attempts, failures, loops, cost_usd, input_tokens,
       output_tokens, waiting_kind, waiting_detail, waiting_since, error_kind, error_message,
       error_stage, paused, open_stages)
select j.execution_id, task_id, title, task_type, priority, workflow, workflow_version, repository,
       agent, status, branch, version, requested_at, started_at, finished_at, updated_at,
       (extract(epoch from finished_at - requested_at) * 1000)::bigint, worker, attempts, failures,
       loops, cost_usd, input_tokens, output_tokens, w.kind, w.detail, w.since, error_kind,
       error_message, error_stage, paused, open_stages
  from judged j
  left join lateral (
       select value->>'kind' as kind, value->>'detail' as detail, (value->>'since')::timestamptz as since
         from jsonb_each(j.open_stages)
        where j.status = 'waiting'
        order by value->>'since', key limit 1) w on true
on conflict (execution_id) do update
   set task_id = excluded.task_id, title = excluded.title, task_type = excluded.task_type,
       priority = excluded.priority, workflow = excluded.workflow,
       workflow_version = excluded.workflow_version, repository = excluded.repository,
       agent = excluded.agent, status = excluded.status, branch = excluded.branch,
       version = excluded.version, requested_at = excluded.requested_at,
       started_at = excluded.started_at, finished_at = excluded.finished_at,
       updated_at = excluded.updated_at, lead_ms = excluded.lead_ms, worker = excluded.worker,
       attempts = excluded.attempts, failures = excluded.failures, loops = excluded.loops,
       cost_usd = excluded.cost_usd, input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, waiting_kind = excluded.waiting_kind,
       waiting_detail = excluded.waiting_detail, waiting_since = excluded.waiting_since,
       error_kind = excluded.error_kind, error_message = excluded.error_message,
       error_stage = excluded.error_stage, paused = excluded.paused,
       open_stages = excluded.open_stages

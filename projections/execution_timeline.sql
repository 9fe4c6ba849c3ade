-- execution_timeline: one row per attempt at a stage, for Gantt charts and for what took how long.
--
-- handles: StageStarted, StepRecorded, StageSucceeded, StageFailed, StageWaiting, StageResumed
-- handles: StageInterrupted, StageSkipped, BudgetSpent
-- ignores: ExecutionRequested, ExecutionClaimed, StageProgressed, StageRetryScheduled, StageReopened
-- ignores: SignalReceived, TimerFired, ExecutionPaused, ExecutionResumed, CancellationRequested
-- ignores: ExecutionCancelled, ExecutionRewound, ExecutionCompleted, ExecutionFailed

create table execution_timeline (
    execution_id   uuid not null,              -- the execution
    stage          text not null,              -- the stage
    attempt        integer not null,           -- which try, from 1 over all branches; 0 for a skipped stage
    branch         integer not null,           -- the branch it was made on
    workflow       text not null,              -- name of the workflow
    status         text not null,              -- running waiting succeeded failed interrupted skipped
    started_at     timestamptz,                -- when it began; null for a skipped stage
    finished_at    timestamptz,                -- when it ended; null while it has not
    duration_ms    bigint,                     -- from start to end, waiting included, in ms
    waiting_ms     bigint not null default 0,  -- of that: waiting (for people, CI, timers) that has ended
    waits          integer not null default 0, -- how often it began to wait
    waiting_kind   text,                       -- what it waited for last: approval, ci, ...
    steps          integer not null default 0, -- steps recorded in it
    cost_usd       numeric not null default 0, -- US dollars spent in it
    input_tokens   numeric not null default 0, -- tokens read by models in it
    output_tokens  numeric not null default 0, -- tokens written by models in it
    error_kind     text,                       -- of a failure: its kind
    error_message  text,                       -- of a failure, an interruption or a skip: why
    is_final       boolean,                    -- of a failure: whether the stage has failed for good
    actor          text not null,              -- who recorded its newest event; worker:ID mostly
    primary key (execution_id, stage, attempt)
);

-- fold
with extra as (
    select execution_id, stage, attempt,
           coalesce(sum((extract(epoch from at - since) * 1000)::bigint)
                    filter (where before = 'StageWaiting' and type <> 'StageWaiting'), 0)::bigint as waiting_ms,
           (count(*) filter (where type = 'StageWaiting'))::int as waits,
           (array_agg(kind order by sequence desc) filter (where type = 'StageWaiting'))[1] as waiting_kind,
           (count(*) filter (where type = 'StepRecorded'))::int as steps,
           coalesce(sum(usd), 0) as cost_usd,
           coalesce(sum(input_tokens), 0) as input_tokens,
           coalesce(sum(output_tokens), 0) as output_tokens
      from batch
     where type in ('StepRecorded', 'BudgetSpent', 'StageWaiting')
        or (before = 'StageWaiting'
            and type in ('StageResumed', 'StageSucceeded', 'StageFailed', 'StageInterrupted'))
     group by execution_id, stage, attempt
), newest as (
    select execution_id, stage, coalesce(attempt, 0) as attempt, branch, workflow, actor, at, type,
           kind, message, is_final, attempt_at
      from batch where last_of_attempt
), attempts as (
    select coalesce(n.execution_id, e.execution_id) as execution_id, coalesce(n.stage, e.stage) as stage,
           coalesce(n.attempt, e.attempt) as attempt, n.branch, n.workflow, n.actor, n.type, n.kind,
           n.message, n.is_final, n.attempt_at as started_at,
           case when n.type in ('StageSucceeded', 'StageFailed', 'StageInterrupted', 'StageSkipped')
                then n.at end as finished_at,
           coalesce(e.waiting_ms, 0) as waiting_ms, coalesce(e.waits, 0) as waits, e.waiting_kind,
           coalesce(e.steps, 0) as steps, coalesce(e.cost_usd, 0) as cost_usd,
           coalesce(e.input_tokens, 0) as input_tokens, coalesce(e.output_tokens, 0) as output_tokens
      from newest n full join extra e
        on e.execution_id = n.execution_id and e.stage = n.stage and e.attempt = n.attempt
), additions as (
    -- An attempt that only adds to what is there already.
    update execution_timeline t
       set waiting_ms = t.waiting_ms + a.waiting_ms, waits = t.waits + a.waits,
           waiting_kind = coalesce(a.waiting_kind, t.waiting_kind), steps = t.steps + a.steps,
           cost_usd = t.cost_usd + a.cost_usd, input_tokens = t.input_tokens + a.input_tokens,
           output_tokens = t.output_tokens + a.output_tokens
      from attempts a
     where a.type is null and t.execution_id = a.execution_id and t.stage = a.stage
       and t.attempt = a.attempt
)
insert into execution_timeline as t (execution_id, stage, attempt, branch, workflow, status, started_at,
       finished_at, duration_ms, waiting_ms, waits, waiting_kind, steps, cost_usd, input_tokens,
       output_tokens, error_kind, error_message, is_final, actor)
select execution_id, stage, attempt, branch, workflow,
       case type when 'StageSucceeded' then 'succeeded' when 'StageFailed' then 'failed'
            when 'StageInterrupted' then 'interrupted' when 'StageSkipped' then 'skipped'
            when 'StageWaiting' then 'waiting' else 'running' end,
       started_at, finished_at, (extract(epoch from finished_at - started_at) * 1000)::bigint,
       waiting_ms, waits, waiting_kind, steps, cost_usd, input_tokens, output_tokens,
       case when type = 'StageFailed' then kind end,
       case when type in ('StageFailed', 'StageInterrupted', 'StageSkipped') then message end,
       case when type = 'StageFailed' then is_final end, actor
  from attempts where type is not null
on conflict (execution_id, stage, attempt) do update
   set status = excluded.status, branch = excluded.branch, started_at = excluded.started_at,
       finished_at = excluded.finished_at, duration_ms = excluded.duration_ms,
       waiting_ms = t.waiting_ms + excluded.waiting_ms, waits = t.waits + excluded.waits,
       waiting_kind = coalesce(excluded.waiting_kind, t.waiting_kind),
       steps = t.steps + excluded.steps, cost_usd = t.cost_usd + excluded.cost_usd,
       input_tokens = t.input_tokens + excluded.input_tokens,
       output_tokens = t.output_tokens + excluded.output_tokens, error_kind = excluded.error_kind,
       error_message = excluded.error_message, is_final = excluded.is_final, actor = excluded.actor

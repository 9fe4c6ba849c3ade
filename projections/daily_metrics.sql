-- daily_metrics: the figures of each day.
--
-- An end that a rewind took back counts no longer; the day of its end is corrected.
--
-- handles: ExecutionRequested, ExecutionClaimed, StageStarted, StepRecorded, StageProgressed
-- handles: StageSucceeded, StageFailed, StageRetryScheduled, StageWaiting, StageResumed
-- handles: StageInterrupted, StageSkipped, StageReopened, SignalReceived, TimerFired, BudgetSpent
-- handles: ExecutionPaused, ExecutionResumed, CancellationRequested, ExecutionCancelled
-- handles: ExecutionRewound, ExecutionCompleted, ExecutionFailed
-- ignores:

create table daily_metrics (
    day             date primary key,  -- UTC day
    events          bigint not null,   -- events of every kind
    requested       bigint not null,   -- executions requested
    completed       bigint not null,   -- executions that completed
    failed          bigint not null,   -- executions that failed
    cancelled       bigint not null,   -- executions that were cancelled
    rewound         bigint not null,   -- rewinds and retries of executions
    completed_ms    bigint not null,   -- sum of the times from request to completion, in ms
    attempts        bigint not null,   -- attempts at stages begun
    stage_failures  bigint not null,   -- attempts that failed
    interrupted     bigint not null,   -- attempts cut off by a crash
    retries         bigint not null,   -- attempts begun because the one before failed or was cut off
    reopened        bigint not null,   -- times that a stage sent work back
    waits           bigint not null,   -- times that a stage began to wait
    waiting_ms      bigint not null,   -- waiting that ended on this day, in ms
    active_ms       bigint not null,   -- time of attempts at work, in ms
    signals         bigint not null,   -- messages received
    cost_usd        numeric not null,  -- US dollars spent
    input_tokens    numeric not null,  -- tokens read by models
    output_tokens   numeric not null   -- tokens written by models
);

-- fold
with facts as (
    select (at at time zone 'UTC')::date as day, type, 1 as sign, 1 as event, before,
           (extract(epoch from at - since) * 1000)::bigint as since_ms,
           case when type = 'ExecutionCompleted'
                then (extract(epoch from at - requested_at) * 1000)::bigint end as lead_ms,
           usd, input_tokens, output_tokens
      from batch
     union all
    -- What a rewind took back.
    select (since at time zone 'UTC')::date, before, -1, 0, null, null,
           case when before = 'ExecutionCompleted'
                then -(extract(epoch from since - requested_at) * 1000)::bigint end,
           null, null, null
      from batch
     where type = 'ExecutionRewound'
       and before in ('ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled')
)
insert into daily_metrics as t (day, events, requested, completed, failed, cancelled, rewound,
       completed_ms, attempts, stage_failures, interrupted, retries, reopened, waits, waiting_ms,
       active_ms, signals, cost_usd, input_tokens, output_tokens)
select day, sum(event),
       count(*) filter (where type = 'ExecutionRequested'),
       coalesce(sum(sign) filter (where type = 'ExecutionCompleted'), 0),
       coalesce(sum(sign) filter (where type = 'ExecutionFailed'), 0),
       coalesce(sum(sign) filter (where type = 'ExecutionCancelled'), 0),
       count(*) filter (where type = 'ExecutionRewound'),
       coalesce(sum(lead_ms), 0),
       count(*) filter (where type = 'StageStarted'),
       count(*) filter (where type = 'StageFailed'),
       count(*) filter (where type = 'StageInterrupted'),
       count(*) filter (where type = 'StageStarted' and before in ('StageFailed', 'StageInterrupted')),
       count(*) filter (where type = 'StageReopened'),
       count(*) filter (where type = 'StageWaiting'),
       coalesce(sum(since_ms) filter (
           where type in ('StageSucceeded', 'StageFailed', 'StageResumed', 'StageInterrupted')
             and before = 'StageWaiting'), 0),
       coalesce(sum(since_ms) filter (
           where type in ('StageSucceeded', 'StageFailed', 'StageWaiting')
             and before in ('StageStarted', 'StageResumed')), 0),
       count(*) filter (where type = 'SignalReceived'),
       coalesce(sum(usd), 0), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0)
  from facts
 group by day
on conflict (day) do update
   set events = t.events + excluded.events, requested = t.requested + excluded.requested,
       completed = t.completed + excluded.completed, failed = t.failed + excluded.failed,
       cancelled = t.cancelled + excluded.cancelled, rewound = t.rewound + excluded.rewound,
       completed_ms = t.completed_ms + excluded.completed_ms, attempts = t.attempts + excluded.attempts,
       stage_failures = t.stage_failures + excluded.stage_failures,
       interrupted = t.interrupted + excluded.interrupted, retries = t.retries + excluded.retries,
       reopened = t.reopened + excluded.reopened, waits = t.waits + excluded.waits,
       waiting_ms = t.waiting_ms + excluded.waiting_ms, active_ms = t.active_ms + excluded.active_ms,
       signals = t.signals + excluded.signals, cost_usd = t.cost_usd + excluded.cost_usd,
       input_tokens = t.input_tokens + excluded.input_tokens,
       output_tokens = t.output_tokens + excluded.output_tokens

-- worker_activity: what each worker did, per day.
--
-- handles: ExecutionClaimed, StageStarted, StageSucceeded, StageFailed, StageWaiting, ExecutionCancelled
-- handles: ExecutionCompleted, ExecutionFailed
-- ignores: ExecutionRequested, StepRecorded, StageProgressed, StageRetryScheduled, StageResumed
-- ignores: StageInterrupted, StageSkipped, StageReopened, SignalReceived, TimerFired, BudgetSpent
-- ignores: ExecutionPaused, ExecutionResumed, CancellationRequested, ExecutionRewound

create table worker_activity (
    worker      text not null,         -- the worker's id
    day         date not null,         -- UTC day
    claims      bigint not null,       -- executions that it took
    attempts    bigint not null,       -- attempts that it began
    succeeded   bigint not null,       -- attempts that it saw succeed
    failed      bigint not null,       -- attempts that it saw fail
    waits       bigint not null,       -- attempts that it saw begin to wait
    ended       bigint not null,       -- executions that it brought to an end
    active_ms   bigint not null,       -- time of its attempts at work, in ms
    first_at    timestamptz not null,  -- its first event of the day
    last_at     timestamptz not null,  -- its last event of the day
    primary key (worker, day)
);

-- fold
insert into worker_activity as t (worker, day, claims, attempts, succeeded, failed, waits, ended,
       active_ms, first_at, last_at)
select substr(actor, 8), (at at time zone 'UTC')::date,
       count(*) filter (where type = 'ExecutionClaimed'),
       count(*) filter (where type = 'StageStarted'),
       count(*) filter (where type = 'StageSucceeded'),
       count(*) filter (where type = 'StageFailed'),
       count(*) filter (where type = 'StageWaiting'),
       count(*) filter (where type in ('ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled')),
       coalesce(sum((extract(epoch from at - since) * 1000)::bigint) filter (
           where type in ('StageSucceeded', 'StageFailed', 'StageWaiting')
             and before in ('StageStarted', 'StageResumed')), 0),
       min(at), max(at)
  from batch
 where actor like 'worker:%'
   and type in ('ExecutionClaimed', 'StageStarted', 'StageSucceeded', 'StageFailed', 'StageWaiting',
                'ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled')
 group by 1, 2
on conflict (worker, day) do update
   set claims = t.claims + excluded.claims, attempts = t.attempts + excluded.attempts,
       succeeded = t.succeeded + excluded.succeeded, failed = t.failed + excluded.failed,
       waits = t.waits + excluded.waits, ended = t.ended + excluded.ended,
       active_ms = t.active_ms + excluded.active_ms,
       first_at = least(t.first_at, excluded.first_at),
       last_at = greatest(t.last_at, excluded.last_at)

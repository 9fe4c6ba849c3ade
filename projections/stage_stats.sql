-- stage_stats: how the stages of each workflow fare, per day.
--
-- handles: StageStarted, StageSucceeded, StageFailed, StageWaiting, StageResumed, StageInterrupted
-- handles: StageSkipped, StageReopened
-- ignores: ExecutionRequested, ExecutionClaimed, StepRecorded, StageProgressed, StageRetryScheduled
-- ignores: SignalReceived, TimerFired, BudgetSpent, ExecutionPaused, ExecutionResumed
-- ignores: CancellationRequested, ExecutionCancelled, ExecutionRewound, ExecutionCompleted
-- ignores: ExecutionFailed

create table stage_stats (
    day             date not null,     -- UTC day of the events
    workflow        text not null,     -- name of the workflow
    stage           text not null,     -- the stage
    attempts        bigint not null,   -- attempts begun
    succeeded       bigint not null,   -- attempts that succeeded
    failed          bigint not null,   -- attempts that failed
    final_failures  bigint not null,   -- of those: for good
    interrupted     bigint not null,   -- attempts cut off by a crash
    skipped         bigint not null,   -- times that it was skipped
    reopened        bigint not null,   -- times that a later stage sent its work back
    waits           bigint not null,   -- times that it began to wait
    active_ms       bigint not null,   -- time in which attempts were at work, in ms
    waiting_ms      bigint not null,   -- time in which they waited (people, CI, timers), in ms
    succeeded_ms    bigint not null,   -- from start to end of those that succeeded, waiting included, in ms
    primary key (day, workflow, stage)
);

-- fold
insert into stage_stats as t (day, workflow, stage, attempts, succeeded, failed, final_failures,
       interrupted, skipped, reopened, waits, active_ms, waiting_ms, succeeded_ms)
select (at at time zone 'UTC')::date, workflow, stage,
       count(*) filter (where type = 'StageStarted'),
       count(*) filter (where type = 'StageSucceeded'),
       count(*) filter (where type = 'StageFailed'),
       count(*) filter (where type = 'StageFailed' and is_final),
       count(*) filter (where type = 'StageInterrupted'),
       count(*) filter (where type = 'StageSkipped'),
       count(*) filter (where type = 'StageReopened'),
       count(*) filter (where type = 'StageWaiting'),
       coalesce(sum((extract(epoch from at - since) * 1000)::bigint) filter (
           where type in ('StageSucceeded', 'StageFailed', 'StageWaiting')
             and before in ('StageStarted', 'StageResumed')), 0),
       coalesce(sum((extract(epoch from at - since) * 1000)::bigint) filter (
           where type in ('StageSucceeded', 'StageFailed', 'StageResumed', 'StageInterrupted')
             and before = 'StageWaiting'), 0),
       coalesce(sum((extract(epoch from at - attempt_at) * 1000)::bigint) filter (
           where type = 'StageSucceeded'), 0)
  from batch
 where type in ('StageStarted', 'StageSucceeded', 'StageFailed', 'StageWaiting', 'StageResumed',
                'StageInterrupted', 'StageSkipped', 'StageReopened')
 group by 1, 2, 3
on conflict (day, workflow, stage) do update
   set attempts = t.attempts + excluded.attempts, succeeded = t.succeeded + excluded.succeeded,
       failed = t.failed + excluded.failed,
       final_failures = t.final_failures + excluded.final_failures,
       interrupted = t.interrupted + excluded.interrupted, skipped = t.skipped + excluded.skipped,
       reopened = t.reopened + excluded.reopened, waits = t.waits + excluded.waits,
       active_ms = t.active_ms + excluded.active_ms, waiting_ms = t.waiting_ms + excluded.waiting_ms,
       succeeded_ms = t.succeeded_ms + excluded.succeeded_ms

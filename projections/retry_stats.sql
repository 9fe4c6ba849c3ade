-- retry_stats: what fails, what is tried again, and how long that takes, per stage, kind and day.
--
-- handles: StageStarted, StageFailed, StageInterrupted, StageReopened
-- ignores: ExecutionRequested, ExecutionClaimed, StepRecorded, StageProgressed, StageSucceeded
-- ignores: StageRetryScheduled, StageWaiting, StageResumed, StageSkipped, SignalReceived, TimerFired
-- ignores: BudgetSpent, ExecutionPaused, ExecutionResumed, CancellationRequested
-- ignores: ExecutionCancelled, ExecutionRewound, ExecutionCompleted, ExecutionFailed

create table retry_stats (
    day             date not null,     -- UTC day of the events
    workflow        text not null,     -- name of the workflow
    stage           text not null,     -- the stage
    error_kind      text not null,     -- transient, rate_limited, ..., interrupted; reopened for sent back work
    failures        bigint not null,   -- attempts that ended so
    final_failures  bigint not null,   -- of those: the stage failed for good
    retries         bigint not null,   -- attempts begun because of one
    delay_ms        bigint not null,   -- sum of the times between the two, in ms
    primary key (day, workflow, stage, error_kind)
);

-- fold
with facts as (
    select at, workflow, stage, is_final, type,
           case type when 'StageInterrupted' then 'interrupted' when 'StageReopened' then 'reopened'
                else kind end as error_kind, 0::bigint as delay_ms
      from batch where type in ('StageFailed', 'StageInterrupted', 'StageReopened')
     union all
    select at, workflow, stage, false, type,
           case before when 'StageInterrupted' then 'interrupted' else before_kind end,
           (extract(epoch from at - since) * 1000)::bigint
      from batch where type = 'StageStarted' and before in ('StageFailed', 'StageInterrupted')
)
insert into retry_stats as t (day, workflow, stage, error_kind, failures, final_failures, retries, delay_ms)
select (at at time zone 'UTC')::date, workflow, stage, coalesce(error_kind, 'unknown'),
       count(*) filter (where type <> 'StageStarted'),
       count(*) filter (where type = 'StageFailed' and is_final),
       count(*) filter (where type = 'StageStarted'), sum(delay_ms)
  from facts
 group by 1, 2, 3, 4
on conflict (day, workflow, stage, error_kind) do update
   set failures = t.failures + excluded.failures,
       final_failures = t.final_failures + excluded.final_failures,
       retries = t.retries + excluded.retries, delay_ms = t.delay_ms + excluded.delay_ms

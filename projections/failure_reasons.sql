-- failure_reasons: why attempts and executions fail, with what varies (numbers, hashes) taken out.
--
-- handles: StageFailed, StageInterrupted, ExecutionFailed
-- ignores: ExecutionRequested, ExecutionClaimed, StageStarted, StepRecorded, StageProgressed
-- ignores: StageSucceeded, StageRetryScheduled, StageWaiting, StageResumed, StageSkipped
-- ignores: StageReopened, SignalReceived, TimerFired, BudgetSpent, ExecutionPaused
-- ignores: ExecutionResumed, CancellationRequested, ExecutionCancelled, ExecutionRewound
-- ignores: ExecutionCompleted

create table failure_reasons (
    subject            text not null,         -- attempt or execution: what failed
    workflow           text not null,         -- name of the workflow
    stage              text not null,         -- the stage; empty when an execution failed in none
    error_kind         text not null,         -- transient, rate_limited, ..., interrupted
    reason             text not null,         -- the message: at most 200 characters, each number as N
    failures           bigint not null,       -- how often
    first_at           timestamptz not null,  -- when it was first seen
    last_at            timestamptz not null,  -- when it was last seen
    last_execution_id  uuid not null,         -- where it was last seen
    primary key (subject, workflow, stage, error_kind, reason)
);

-- fold
with facts as (
    select case when type = 'ExecutionFailed' then 'execution' else 'attempt' end as subject, workflow,
           coalesce(stage, '') as stage,
           case when type = 'StageInterrupted' then 'interrupted' else coalesce(kind, 'unknown') end
               as error_kind,
           left(regexp_replace(coalesce(message, ''), '\m([0-9a-f]*[0-9][0-9a-f-]*|[0-9]+)', 'N', 'g'), 200)
               as reason,
           at, execution_id
      from batch
     where type in ('StageFailed', 'StageInterrupted', 'ExecutionFailed')
)
insert into failure_reasons as t (subject, workflow, stage, error_kind, reason, failures, first_at,
       last_at, last_execution_id)
select subject, workflow, stage, error_kind, reason, count(*), min(at), max(at),
       (array_agg(execution_id order by at desc, execution_id desc))[1]
  from facts
 group by 1, 2, 3, 4, 5
on conflict (subject, workflow, stage, error_kind, reason) do update
   set failures = t.failures + excluded.failures, first_at = least(t.first_at, excluded.first_at),
       last_at = greatest(t.last_at, excluded.last_at),
       last_execution_id = case
           when (excluded.last_at, excluded.last_execution_id) > (t.last_at, t.last_execution_id)
           then excluded.last_execution_id else t.last_execution_id end

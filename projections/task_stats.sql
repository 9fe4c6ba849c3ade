-- task_stats: how executions end, by kind of task, priority, workflow, agent and outcome, per day.
--
-- An end that a rewind took back counts no longer; the day of its end is corrected.
--
-- handles: ExecutionRequested, ExecutionCancelled, ExecutionRewound, ExecutionCompleted, ExecutionFailed
-- ignores: ExecutionClaimed, StageStarted, StepRecorded, StageProgressed, StageSucceeded, StageFailed
-- ignores: StageRetryScheduled, StageWaiting, StageResumed, StageInterrupted, StageSkipped
-- ignores: StageReopened, SignalReceived, TimerFired, BudgetSpent, ExecutionPaused, ExecutionResumed
-- ignores: CancellationRequested

create table task_stats (
    day         date not null,      -- UTC day of the request or of the end
    task_type   text not null,      -- feature, bugfix, ...; unknown when the task does not say
    priority    smallint not null,  -- 0 to 10
    workflow    text not null,      -- name of the workflow
    agent       text not null,      -- the agent of the settings; empty when they name none
    outcome     text not null,      -- requested, completed, failed or cancelled
    executions  bigint not null,    -- how many
    lead_ms     bigint not null,    -- sum of the times from request to end, in ms; 0 for requested
    primary key (day, task_type, priority, workflow, agent, outcome)
);

-- fold
with changes as (
    select at as day_at, task_type, priority, workflow, agent, type as said, 1 as sign,
           case when type = 'ExecutionRequested' then 0
                else (extract(epoch from at - requested_at) * 1000)::bigint end as lead_ms
      from batch
     where type in ('ExecutionRequested', 'ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled')
     union all
    select since, task_type, priority, workflow, agent, before, -1,
           -(extract(epoch from since - requested_at) * 1000)::bigint
      from batch
     where type = 'ExecutionRewound'
       and before in ('ExecutionCompleted', 'ExecutionFailed', 'ExecutionCancelled')
)
insert into task_stats as t (day, task_type, priority, workflow, agent, outcome, executions, lead_ms)
select (day_at at time zone 'UTC')::date, task_type, priority, workflow, coalesce(agent, ''),
       case said when 'ExecutionRequested' then 'requested' when 'ExecutionCompleted' then 'completed'
            when 'ExecutionFailed' then 'failed' when 'ExecutionCancelled' then 'cancelled' end,
       sum(sign), sum(lead_ms)
  from changes
 group by 1, 2, 3, 4, 5, 6
on conflict (day, task_type, priority, workflow, agent, outcome) do update
   set executions = t.executions + excluded.executions, lead_ms = t.lead_ms + excluded.lead_ms

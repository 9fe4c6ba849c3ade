-- cost_ledger: what was spent: one row per entry, never changed.
--
-- handles: BudgetSpent
-- ignores: ExecutionRequested, ExecutionClaimed, StageStarted, StepRecorded, StageProgressed
-- ignores: StageSucceeded, StageFailed, StageRetryScheduled, StageWaiting, StageResumed
-- ignores: StageInterrupted, StageSkipped, StageReopened, SignalReceived, TimerFired
-- ignores: ExecutionPaused, ExecutionResumed, CancellationRequested, ExecutionCancelled
-- ignores: ExecutionRewound, ExecutionCompleted, ExecutionFailed

create table cost_ledger (
    execution_id   uuid not null,         -- the execution
    sequence       bigint not null,       -- the event of its stream that says so
    at             timestamptz not null,  -- when
    workflow       text not null,         -- name of the workflow
    task_type      text not null,         -- feature, bugfix, ...; unknown when the task does not say
    agent          text,                  -- the agent of the settings; null when they name none
    stage          text not null,         -- the stage that spent it
    attempt        integer not null,      -- in which attempt
    branch         integer not null,      -- on which branch
    cost_usd       numeric not null,      -- US dollars
    input_tokens   numeric not null,      -- tokens read by models
    output_tokens  numeric not null,      -- tokens written by models
    primary key (execution_id, sequence)
);

-- fold
insert into cost_ledger (execution_id, sequence, at, workflow, task_type, agent, stage, attempt, branch,
       cost_usd, input_tokens, output_tokens)
select execution_id, sequence, at, workflow, task_type, agent, stage, attempt, branch,
       coalesce(usd, 0), coalesce(input_tokens, 0), coalesce(output_tokens, 0)
  from batch
 where type = 'BudgetSpent'

-- Read models: views that may always be thrown away and folded again from `events`.
--
-- `projections` is for readers: one view per read model, over the tables of its live generation.
-- `projector` is the machine room: which generations there are and how far each has read.
create schema projections;
create schema projector;

-- What an execution was asked for with, as every row of a batch knows it.
create type projector.request as (
    requested_at      timestamptz,
    task_id           uuid,
    title             text,
    task_type         text,
    priority          smallint,
    workflow          text,
    workflow_version  integer,
    repository        text,
    agent             text
);

-- One row per generation of a read model. Its tables are in the schema `projection_NAME_GENERATION`.
-- An event is in them if its lane sequence is at most `applied` of its lane; or at most `target` of
-- its lane and its execution at most `cursor`. Lane n is element n + 1; a missing one is 0.
create table projector.generations (
    name           text not null check (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    generation     integer not null check (generation > 0),
    state          text not null check (state in ('live', 'building', 'shadow', 'retired')),
    digest         text not null,              -- SHA-256 of the file, in hex
    source         text not null,              -- the file: whoever has none can still go on
    applied        bigint[] not null default '{}',
    target         bigint[],
    cursor         uuid,
    events         bigint not null default 0,  -- folded so far
    created_at     timestamptz not null,
    advanced_at    timestamptz,
    stalled_since  timestamptz,
    stall_reason   text,
    stall_count    integer not null default 0,
    retry_at       timestamptz,
    check ((target is null) = (cursor is null)),
    check ((stalled_since is null) = (stall_reason is null)),
    primary key (name, generation)
);

create unique index generations_live on projector.generations (name) where state = 'live';
create unique index generations_building on projector.generations (name) where state = 'building';
create unique index generations_shadow on projector.generations (name) where state = 'shadow';

-- The shape of a batch of events, as the statements of read models see it; always empty. Columns that
-- do not belong to an event are null. What the past of the stream says is in the second half.
create table projector.batch (
    execution_id      uuid,
    sequence          bigint,
    type              text,
    branch            integer,
    at                timestamptz,
    actor             text,
    stage             text,         -- the stage it is about
    attempt           integer,      -- the attempt it is about
    kind              text,         -- kind of an error, or of what is waited for
    message           text,         -- of an error, a wait, an interruption, a skip, an operator
    is_final          boolean,      -- StageFailed: for good
    usd               numeric,      -- BudgetSpent
    input_tokens      numeric,      -- BudgetSpent
    output_tokens     numeric,      -- BudgetSpent
    worker            uuid,         -- ExecutionClaimed
    reset             text[],       -- StageReopened, ExecutionRewound: stages that lost their result
    payload           json,         -- the event itself; null unless a statement names this column
    before            text,         -- type of the event before it about the same stage (started, waiting,
                                    -- resumed, succeeded, failed, interrupted), or of the same life
                                    -- (requested, completed, failed, cancelled, rewound)
    since             timestamptz,  -- when that happened
    before_kind       text,         -- its kind
    attempt_at        timestamptz,  -- when the newest attempt at the stage began
    last_of_stage     boolean,      -- no later event of the batch says where the stage stands
    last_of_attempt   boolean,      -- no later event of the batch says where the attempt stands
    requested_at      timestamptz,
    task_id           uuid,
    title             text,
    task_type         text,
    priority          smallint,
    workflow          text,
    workflow_version  integer,
    repository        text,
    agent             text
);

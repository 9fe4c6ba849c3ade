-- A submission writes less: most tasks have no idempotency key and need no entry in its index, and the
-- documents, some 1,000 bytes of JSON each, are compressed in their row (they were below the size from
-- which Postgres compresses by itself).

alter table tasks drop constraint tasks_idempotency_key_key;
create unique index tasks_idempotency_key on tasks (idempotency_key) where idempotency_key is not null;

alter table tasks alter column document set storage main;
alter table tasks set (toast_tuple_target = 512);
alter table task_events alter column payload set storage main;
alter table task_events set (toast_tuple_target = 512);

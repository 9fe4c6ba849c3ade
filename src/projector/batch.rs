//! A batch of events as a relation: what statements of read models fold.
//!
//! Each row knows its event, parsed, and what the past of its stream says about it. That past is read
//! with it, so that a row is the same whether it is folded a moment after its event or years later.

/// Which streams a batch is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The streams of `$1`, an array.
    Touched,
    /// The streams after `$1`, up to `$4`.
    Range,
}

/// Everything up to the positions of `$3`; rows only of what lies after those of `$2`.
pub(super) fn batch(source: Source, with_payload: bool) -> String {
    let streams = match source {
        Source::Touched => "e.execution_id = any($1)",
        Source::Range => "e.execution_id > $1 and e.execution_id <= $4",
    };
    let payload = if with_payload { "payload" } else { "null::json" };
    BATCH.replace("{streams}", streams).replace("{payload}", payload)
}

/// The statement of a read model over `batch`, which is given as a query.
pub(super) fn over(batch: &str, fold: &str) -> String {
    let rest = fold.strip_prefix("with").or_else(|| fold.strip_prefix("WITH"));
    let batch = format!("batch ({COLUMNS}) as ({batch})");
    match rest.filter(|r| r.starts_with(char::is_whitespace)) {
        Some(rest) => match rest.trim_start().strip_prefix("recursive") {
            Some(rest) => format!("with recursive {batch}, {rest}"),
            None => format!("with {batch}, {rest}"),
        },
        None => format!("with {batch} {fold}"),
    }
}

/// JSON has a sign that text in Postgres has not: `\u0000`. It is shown as the replacement sign.
const BATCH: &str = r#"
select execution_id, sequence, type, branch, at, actor, stage, attempt, kind, message, is_final, usd,
       input_tokens, output_tokens, worker, reset, {payload},
       case when key <> 'z' then before end, case when key <> 'z' then since end,
       case when key <> 'z' then before_kind end, attempt_at,
       key like 's%' and is_last, (key like 's%' or key like 'k%') and (is_last or next_attempt <> attempt),
       (request).requested_at, (request).task_id, (request).title, (request).task_type,
       (request).priority, (request).workflow, (request).workflow_version, (request).repository,
       (request).agent
  from (
    select p.*, first_value(p.requested) over stream as request,
           lag(type) over line as before, lag(at) over line as since, lag(kind) over line as before_kind,
           case when key like 's%' then max(at) filter (where type = 'StageStarted') over line end
               as attempt_at,
           lead(sequence) over line is null as is_last, lead(attempt) over line as next_attempt
      from (
        select e.execution_id, e.sequence, e.type, e.branch, e.at, e.actor, e.payload, j.stage, j.attempt,
               coalesce(j.error->>'kind', case when e.type = 'StageWaiting' then j.reason->>'kind' end)
                   as kind,
               coalesce(j.error->>'message', case e.type when 'StageWaiting' then j.reason->>'detail'
                   when 'StageInterrupted' then j.reason #>> '{}' when 'StageSkipped' then j.reason #>> '{}'
                   end, j.motive->>'reason') as message,
               j.final as is_final,
               round((j.cost->>'usd')::numeric, 12) as usd,
               (j.cost->>'input_tokens')::numeric as input_tokens,
               (j.cost->>'output_tokens')::numeric as output_tokens,
               j.worker,
               case when e.type in ('StageReopened', 'ExecutionRewound')
                    then array(select json_array_elements_text(j.reset)) end as reset,
               case when e.sequence = 1 then row(e.at, j.task_id, coalesce(j.task->>'title', ''),
                    coalesce(j.task->>'type', 'unknown'), coalesce(j.priority, 5),
                    coalesce(j.definition->>'name', ''), coalesce((j.definition->>'version')::int, 0),
                    j.repository, j.settings->'agent'->>'name')::projector.request end as requested,
               (case when e.type in ('StageStarted', 'StageSucceeded', 'StageFailed', 'StageWaiting',
                                     'StageResumed', 'StageInterrupted') then 's' || j.stage
                     when e.type = 'StageSkipped' then 'k' || j.stage
                     when e.type in ('ExecutionRequested', 'ExecutionCompleted', 'ExecutionFailed',
                                     'ExecutionCancelled', 'ExecutionRewound') then ''
                     else 'z' end) collate "C" as key,
               e.lane_sequence > coalesce(($2::bigint[])[e.lane + 1], 0) as is_new
          from events e
         cross join lateral json_to_record(
               case when strpos(e.payload::text, '\u0000') = 0 then e.payload
                    else regexp_replace(e.payload::text, '(?<!\\)((\\\\)*)\\u0000', '\1\\ufffd', 'g')::json
               end) as j (stage text, attempt int, error json, reason json, motive json, final boolean,
                          cost json, worker uuid, reset json, task_id uuid, task json, priority smallint,
                          definition json, repository text, settings json)
         where {streams}
           and e.lane_sequence <= coalesce(($3::bigint[])[e.lane + 1], 0)
        -- Without this the windows would read the JSON again for every row.
        offset 0
      ) p
    window stream as (partition by execution_id order by key, sequence),
           line as (partition by execution_id, key order by sequence)
  ) x
 where is_new"#;

/// The columns of a batch, in the order of the query.
pub(super) const COLUMNS: &str = "execution_id, sequence, type, branch, at, actor, stage, attempt, kind, \
    message, is_final, usd, input_tokens, output_tokens, worker, reset, payload, before, since, \
    before_kind, attempt_at, last_of_stage, last_of_attempt, requested_at, task_id, title, task_type, \
    priority, workflow, workflow_version, repository, agent";

#[cfg(test)]
mod tests {
    use super::{COLUMNS, over};

    #[test]
    fn a_statement_is_put_over_its_batch() {
        let batch = format!("batch ({COLUMNS}) as (b)");
        let expect = |text: &str| text.replace("BATCH", &batch);
        assert_eq!(over("b", "with x as (1) insert"), expect("with BATCH,  x as (1) insert"));
        assert_eq!(over("b", "with recursive x"), expect("with recursive BATCH,  x"));
        assert_eq!(over("b", "insert into t"), expect("with BATCH insert into t"));
    }
}

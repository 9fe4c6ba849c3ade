//! Any definition, any command: what the laws are tried on.

use super::super::scenarios::notation::id;
use super::world::World;
use longhaul::workflow::command::Command;
use longhaul::workflow::definition::{Definition, Join, Limits, OnExhausted, StageDefinition};
use longhaul::workflow::event::{Cost, WaitReason};
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::graph::Graph;
use longhaul::workflow::retry::RetryPolicy;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// What a stage may be, before it is known which stages there are.
#[derive(Clone, Debug)]
struct Raw {
    rank: u32,
    needs: Option<Vec<Index>>,
    required: bool,
    attempts: Option<u32>,
    reopens: Option<Index>,
    when: Option<(u8, Index)>,
    success: bool,
    retries_rejected: bool,
    wait_limit_ms: Option<u64>,
    more: More,
}

/// Bounds that few stages have.
#[derive(Clone, Debug)]
struct More {
    total_ms: Option<u64>,
    queue_ms: Option<u64>,
    pauses: Option<bool>,
    joins_any: bool,
}

fn more() -> impl Strategy<Value = More> {
    let ms = || option::weighted(0.1, 10_000..900_000_u64);
    let rest = (option::weighted(0.1, any::<bool>()), prop::bool::weighted(0.2));
    (ms(), ms(), rest).prop_map(|(total_ms, queue_ms, (pauses, joins_any))| More {
        total_ms,
        queue_ms,
        pauses,
        joins_any,
    })
}

fn on_exhausted(pauses: bool) -> OnExhausted {
    if pauses { OnExhausted::Pause } else { OnExhausted::Fail }
}

fn raw() -> impl Strategy<Value = Raw> {
    let needs = option::weighted(0.6, vec(any::<Index>(), 0..3));
    let reopens = option::weighted(0.7, any::<Index>());
    let when = option::weighted(0.2, (0..5_u8, any::<Index>()));
    let rest = (
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.15),
        option::of(1_000..600_000_u64),
        more(),
    );
    (any::<u32>(), needs, any::<bool>(), option::of(1..4_u32), reopens, when, rest).prop_map(
        |(rank, needs, required, attempts, reopens, when, rest)| {
            let (success, retries_rejected, wait_limit_ms, more) = rest;
            Raw {
                rank,
                needs,
                required,
                attempts,
                reopens,
                when,
                success,
                retries_rejected,
                wait_limit_ms,
                more,
            }
        },
    )
}

fn name(index: usize) -> String {
    format!("s{index}")
}

/// Stages whose needs lie before them by rank, in whatever order they stand.
fn stages(raws: &[Raw]) -> Vec<StageDefinition> {
    let mut stages: Vec<StageDefinition> = Vec::new();
    for (index, raw) in raws.iter().enumerate() {
        let mut stage = StageDefinition::new(name(index), "work");
        let before = |i: &usize| (raws[*i].rank, *i) < (raw.rank, index);
        let earlier: Vec<usize> = (0..raws.len()).filter(before).collect();
        stage.needs = match &raw.needs {
            None if index == 0 || earlier.contains(&(index - 1)) => None,
            picks => Some(picked(picks.as_deref().unwrap_or_default(), &earlier)),
        };
        (stage.required, stage.attempts) = (raw.required, raw.attempts);
        stage.retry = RetryPolicy::default();
        if raw.retries_rejected {
            stage.retry.on.insert(ErrorKind::Rejected, true);
        }
        stage.wait_limit_ms = raw.wait_limit_ms;
        (stage.total_ms, stage.queue_ms) = (raw.more.total_ms, raw.more.queue_ms);
        stage.join = if raw.more.joins_any { Join::Any } else { Join::All };
        stage.on_exhausted = raw.more.pauses.map(on_exhausted);
        stages.push(stage);
    }
    stages
}

fn picked(picks: &[Index], from: &[usize]) -> Vec<String> {
    let mut names: Vec<String> =
        picks.iter().filter(|_| !from.is_empty()).map(|p| name(*p.get(from))).collect();
    names.sort();
    names.dedup();
    names
}

/// A definition that can run: a graph without cycles of 1 to 7 stages.
pub(crate) fn definition() -> impl Strategy<Value = Definition> {
    let bounds =
        (0..4_u32, any::<bool>(), 1..5_u32, option::weighted(0.15, 100_000..2_000_000_u64));
    (prop_oneof![1 => vec(raw(), 1..=2), 3 => vec(raw(), 3..=7)], bounds).prop_map(
        |(raws, (max_loops, pauses, max_interruptions, deadline_ms))| {
            let mut definition = Definition::new("any", stages(&raws));
            definition.max_loops = max_loops;
            definition.on_exhausted = on_exhausted(pauses);
            definition.max_interruptions = max_interruptions;
            definition.deadline_ms = deadline_ms;
            for (index, raw) in raws.iter().enumerate() {
                let mut before = Graph::of(&definition).upstream_of(index);
                before.retain(|i| *i != index);
                let pick = |p: Index| (!before.is_empty()).then(|| name(*p.get(&before)));
                let reopens = raw.reopens.and_then(pick);
                let when = raw.when.map(|(test, p)| condition(test, pick(p)));
                let success = json!({"path": format!("{}.n", name(index)), "at_least": 3});
                let stage = &mut definition.stages[index];
                stage.reopens = reopens;
                stage.when = when.map(|v| serde_json::from_value(v).expect("a condition"));
                if raw.success {
                    stage.success = vec![serde_json::from_value(success).expect("a condition")];
                }
            }
            definition
        },
    )
}

fn condition(test: u8, stage: Option<String>) -> Value {
    match (test, stage) {
        (0, Some(stage)) => json!({"path": format!("{stage}.n"), "at_least": 5}),
        (1, Some(stage)) => json!({"path": format!("{stage}.n"), "exists": false}),
        (2, Some(stage)) => json!({"not": {"path": format!("{stage}.n"), "one_of": [1, 2]}}),
        (3, _) => json!({"any": [{"path": "input.flag", "equals": true}]}),
        _ => json!({"path": "input.flag", "equals": false}),
    }
}

/// Bounds, mostly none on money.
pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    (0..4_u32, option::weighted(0.3, 0.5..3.0_f64)).prop_map(|(max_stage_retries, cost_usd)| {
        Limits { max_stage_retries, cost_usd, ..Limits::default() }
    })
}

/// Something that may be tried; stages are picked when it is known which there are.
#[derive(Clone, Debug)]
pub(crate) enum Try {
    Advance,
    Pass(u64),
    Succeed(Index, i64, f64),
    Fail(Index, ErrorKind, f64, f64),
    Wait(Index, bool, Option<i64>),
    Interrupt(Index),
    Step(Index, u8),
    Progress(Index, f64),
    Start(Index),
    Skip(Index),
    Wake(Index),
    Expire(Index),
    Late(Index),
    Signal(Index, Option<u8>),
    Claim(u8),
    Abandon,
    Pause,
    Resume,
    Cancel,
    Confirm,
    Conclude,
    Rewind(Index, bool),
    Retry,
}

fn error_kind() -> impl Strategy<Value = ErrorKind> {
    let any = prop::sample::select(ErrorKind::ALL.to_vec());
    prop_oneof![1 => any, 1 => Just(ErrorKind::Rejected)]
}

/// Any finite amount, also ones that JSON can only just hold.
fn usd() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(0.0), 2 => 0.0..0.5_f64, 1 => any::<f64>()]
}

/// One try; what happens in real lives comes more often.
pub(crate) fn a_try() -> impl Strategy<Value = Try> {
    let index = any::<Index>;
    prop_oneof![
        30 => Just(Try::Advance),
        6 => (0..400_000_u64).prop_map(Try::Pass),
        16 => (index(), 0..9_i64, usd()).prop_map(|(s, n, c)| Try::Succeed(s, n, c)),
        10 => (index(), error_kind(), any::<f64>(), usd()).prop_map(|(s, k, j, c)| Try::Fail(s, k, j, c)),
        6 => (index(), any::<bool>(), option::of(-60_000..400_000_i64)).prop_map(|(s, g, w)| Try::Wait(s, g, w)),
        2 => index().prop_map(Try::Interrupt),
        2 => (index(), any::<u8>()).prop_map(|(s, k)| Try::Step(s, k)),
        2 => (index(), any::<f64>()).prop_map(|(s, f)| Try::Progress(s, f)),
        2 => index().prop_map(Try::Start),
        1 => index().prop_map(Try::Skip),
        1 => index().prop_map(Try::Wake),
        1 => index().prop_map(Try::Expire),
        2 => index().prop_map(Try::Late),
        3 => (index(), option::of(0..3_u8)).prop_map(|(s, k)| Try::Signal(s, k)),
        2 => any::<u8>().prop_map(Try::Claim),
        1 => Just(Try::Abandon),
        1 => Just(Try::Pause),
        8 => Just(Try::Resume),
        1 => Just(Try::Cancel),
        1 => Just(Try::Confirm),
        1 => Just(Try::Conclude),
        1 => (index(), any::<bool>()).prop_map(|(s, set)| Try::Rewind(s, set)),
        3 => Just(Try::Retry),
    ]
}

/// Tries it on the world; a refusal is as good as an acceptance.
pub(crate) fn attempt(world: &mut World, this: &Try) {
    match this {
        Try::Advance => world.advance(),
        Try::Pass(ms) => world.pass(*ms),
        other => {
            let before = world.state.clone();
            if world.give(&command(world, other)).is_err() {
                assert_eq!(world.state, before, "a refusal changes nothing");
            }
        }
    }
}

fn command(world: &World, this: &Try) -> Command {
    let pick = |index: &Index| {
        let stage = index.get(&world.state.stages);
        (stage.name.clone(), stage.attempts)
    };
    // What reports is mostly what runs, or nearly every report would be refused.
    let runs = |index: &Index| {
        let running = world.running();
        let is_any = running.is_empty() || index.index(8) == 0;
        if is_any { pick(index) } else { index.get(&running).clone() }
    };
    let motive = Default::default();
    match this {
        Try::Advance | Try::Pass(_) | Try::Conclude => Command::Conclude {},
        Try::Succeed(s, n, usd) => {
            let (stage, attempt) = runs(s);
            let (output, cost) = (json!({"n": n, "usd": usd}), cost(*usd));
            Command::Succeed { stage, attempt, output, cost, log_digest: None }
        }
        Try::Fail(s, kind, jitter, usd) => {
            let (stage, attempt) = runs(s);
            let mut error = Failure::new(*kind, "no");
            error.retry_after_ms = (*kind == ErrorKind::RateLimited).then(|| jitter.to_bits());
            Command::Fail {
                stage,
                attempt,
                error,
                cost: cost(*usd),
                log_digest: None,
                jitter: *jitter,
            }
        }
        Try::Wait(s, has_signal, wake_in) => {
            let (stage, attempt) = runs(s);
            let reason = WaitReason { kind: "signal".to_owned(), detail: "go".to_owned() };
            let signal = has_signal.then(|| stage.clone());
            let wake_at = wake_in.map(|ms| world.now + chrono::TimeDelta::milliseconds(ms));
            let (memo, cost) = (json!({"n": attempt}), Cost::default());
            let in_midst = wake_in.is_some_and(|ms| ms % 2 == 0);
            Command::Wait { stage, attempt, reason, signal, wake_at, memo, in_midst, cost }
        }
        Try::Interrupt(s) => {
            let (stage, attempt) = runs(s);
            Command::Interrupt {
                stage,
                attempt,
                reason: "drained".to_owned(),
                cost: Cost::default(),
            }
        }
        Try::Step(s, key) => {
            let (stage, attempt) = runs(s);
            let (key, value) = (format!("k{}", key % 3), json!(key));
            Command::RecordStep { stage, attempt, key, value }
        }
        Try::Progress(s, fraction) => {
            let (stage, attempt) = runs(s);
            let (message, fraction) = ("on".to_owned(), Some(*fraction));
            Command::Progress { stage, attempt, message, fraction }
        }
        Try::Start(s) => Command::Start { stage: pick(s).0 },
        Try::Skip(s) => Command::Skip { stage: pick(s).0, reason: "by hand".to_owned() },
        Try::Wake(s) => Command::Wake { stage: pick(s).0 },
        Try::Expire(s) => Command::ExpireWait { stage: pick(s).0 },
        Try::Late(s) => {
            let (stage, attempt) = pick(s);
            let (attempt, output) = (attempt.saturating_sub(1), json!({"n": 9}));
            Command::Succeed { stage, attempt, output, cost: Cost::default(), log_digest: None }
        }
        Try::Signal(s, key) => {
            let key = key.map(|k| format!("delivery-{k}"));
            Command::Signal { name: pick(s).0, payload: json!(1), key, motive }
        }
        Try::Claim(n) => Command::Claim { worker: id(&format!("w{n}")), fence: id("f") },
        Try::Abandon => Command::Abandon { reason: "the worker is gone".to_owned() },
        Try::Pause => Command::Pause { motive },
        Try::Resume => Command::Resume { motive },
        Try::Cancel => Command::Cancel { motive },
        Try::Confirm => Command::ConfirmCancel {},
        Try::Rewind(s, sets) => {
            let set = if *sets { json!({"limits": {"cost_usd": 100}}) } else { Value::Null };
            let (keep_steps, drop_signals) = (*sets, false);
            Command::Rewind { from: pick(s).0, set, keep_steps, drop_signals, motive }
        }
        Try::Retry => Command::Retry { motive },
    }
}

fn cost(usd: f64) -> Cost {
    Cost { usd, ..Cost::default() }
}

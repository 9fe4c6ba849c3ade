//! Laws of the pure core that hold for any definition and any sequence of commands.
//!
//! `properties/any.rs` makes them up, `properties/world.rs` has the laws and checks them after every
//! command. A failure prints the smallest definition and sequence that break a law; mend
//! `src/workflow` and keep the case as a story in `tests/scenarios/`.

#[path = "properties/any.rs"]
mod any;
#[path = "properties/world.rs"]
mod world;

use super::replay::verified;
use any::{a_try, attempt, definition, limits};
use chrono::{DateTime, Utc};
use longhaul::workflow::command::Command;
use longhaul::workflow::definition::{Definition, Limits, StageDefinition};
use longhaul::workflow::event::{Cost, Event, Happened, Motive};
use longhaul::workflow::evolve::fold;
use longhaul::workflow::failure::{ErrorKind, Failure};
use longhaul::workflow::graph::Graph;
use longhaul::workflow::next::{next, wake};
use longhaul::workflow::retry::RetryPolicy;
use longhaul::workflow::state::{Execution, Outcome, StageState, Status};
use longhaul::workflow::validate::{Kinds, problems};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::collections::BTreeSet;
use world::World;

/// As many cases as fit into a few seconds; `PROPTEST_CASES` asks for more.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = std::env::var_os("PROPTEST_CASES").map_or(cases, |_| default.cases);
    ProptestConfig { cases, max_shrink_iters: 20_000, failure_persistence: None, ..default }
}

fn kinds() -> Kinds {
    Kinds::from([("work".to_owned(), None)])
}

proptest! {
    #![proptest_config(cases(250))]

    /// Every law of `World`, after every command of any life; and from wherever that has led, with
    /// good luck from there on, it can be brought to its end.
    #[test]
    fn laws_hold_in_any_life(
        definition in definition(),
        limits in limits(),
        tries in vec(a_try(), 0..100),
    ) {
        let mut world = World::new(&definition, &limits);
        tries.iter().for_each(|t| attempt(&mut world, t));
        prop_assert_eq!(fold(&world.history), world.state.clone());
        can_be_completed(&mut world);
        let verdict = verified(&world.history);
        prop_assert_eq!(verdict.finding, None);
        prop_assert_eq!(verdict.state, world.state);
    }

    /// Nothing fails and nobody interferes: it completes, with every stage done, each started once.
    #[test]
    fn with_good_luck_it_completes(definition in definition()) {
        let mut world = World::new(&definition, &Limits::default());
        world.drive();
        prop_assert_eq!(&world.state.outcome, &Some(Outcome::Completed));
        prop_assert_eq!(world.state.progress(), 1.0);
        prop_assert!(world.state.stages.iter().all(|s| s.attempts <= 1));
    }
}

/// Retries until it completes. A retry is refused only when there is nothing left to do.
fn can_be_completed(world: &mut World) {
    for _ in 0..=world.state.stages.len() + 1 {
        world.drive();
        if world.state.status() == Status::Completed {
            assert!(world.state.stages.iter().all(|s| s.state.is_done()));
            return;
        }
        if let Err(refusal) = world.give(&Command::Retry { motive: Motive::default() }) {
            let all_done = world.state.stages.iter().all(|s| s.state.is_done());
            assert!(all_done && world.state.status() == Status::Cancelled, "{refusal}");
            return;
        }
        assert!(world.state.broken_stage().is_none(), "a retry leaves nothing broken behind");
    }
    panic!("it cannot be completed: {:?}", world.state);
}

/// Any needs, also impossible ones.
fn wild() -> impl Strategy<Value = Definition> {
    let needs = proptest::option::of(proptest::collection::btree_set(0..6_usize, 0..3));
    vec(needs, 1..6).prop_map(|all| {
        let count = all.len();
        let stage = |(index, needs): (usize, Option<BTreeSet<usize>>)| {
            let mut stage = StageDefinition::new(format!("s{index}"), "work");
            let known = |n: &BTreeSet<usize>| n.iter().filter(|n| **n < count).copied().collect();
            let needs: Option<Vec<usize>> = needs.as_ref().map(known);
            stage.needs = needs.map(|n| n.into_iter().map(|i| format!("s{i}")).collect());
            stage
        };
        Definition::new("wild", all.into_iter().enumerate().map(stage).collect())
    })
}

/// Reachability by the book: every path along needs.
fn reaches(definition: &Definition, from: usize, to: usize) -> bool {
    let mut open = vec![to];
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if at == from {
            return true;
        }
        if seen.insert(at) {
            open.extend(definition.needs_of(at));
        }
    }
    false
}

fn has_cycle(definition: &Definition) -> bool {
    let on_cycle = |i: usize| definition.needs_of(i).iter().any(|n| reaches(definition, i, *n));
    (0..definition.stages.len()).any(on_cycle)
}

proptest! {
    #![proptest_config(cases(400))]

    /// A definition is accepted exactly when it can run to its end.
    #[test]
    fn what_is_accepted_can_run(definition in wild()) {
        let found = problems(&definition, &kinds());
        prop_assert_eq!(found.is_empty(), !has_cycle(&definition), "{:?}", found);
        let runs = runs_through(&definition);
        prop_assert_eq!(found.is_empty(), runs, "{:?}", found);
    }

    /// What is made up here is accepted, and everything `any` puts in is judged.
    #[test]
    fn definitions_of_these_tests_are_accepted(definition in definition()) {
        let found = problems(&definition, &kinds());
        prop_assert!(found.is_empty(), "{:?}", found);
    }

    /// Downstream is: the stage, and whatever needs something downstream. Upstream is the other way.
    #[test]
    fn downstream_is_what_needs_it(definition in wild()) {
        let graph = Graph::of(&definition);
        let all = 0..definition.stages.len();
        for one in all.clone() {
            let behind: Vec<usize> = all.clone().filter(|to| reaches(&definition, one, *to)).collect();
            prop_assert_eq!(graph.downstream_of(one), behind);
            let before: Vec<usize> =
                all.clone().filter(|from| reaches(&definition, *from, one)).collect();
            prop_assert_eq!(graph.upstream_of(one), before);
            prop_assert_eq!(graph.needs_of(one), definition.needs_of(one));
        }
    }

    /// Resolving leaves nothing open, keeps to the limits, and changes nothing the second time.
    #[test]
    fn resolving_closes_everything(definition in definition(), limits in limits()) {
        let resolved = definition.resolved(&limits);
        prop_assert!(resolved.deadline_ms.is_some());
        for stage in &resolved.stages {
            let attempts = stage.attempts.unwrap_or(0);
            prop_assert!((1..=limits.max_stage_retries + 1).contains(&attempts));
            let is_closed = stage.timeout_ms.and(stage.wait_limit_ms).and(stage.retry.delay_ms);
            prop_assert!(is_closed.is_some());
        }
        prop_assert_eq!(&resolved.resolved(&limits), &resolved);
    }

    /// A definition survives JSON.
    #[test]
    fn definitions_survive_json(definition in definition()) {
        let text = serde_json::to_string(&definition).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Definition>(&text).expect("a definition"), definition);
    }

    /// A delay lies between what was asked for and the bound, and grows with the bound.
    #[test]
    fn delays_are_bounded(
        delay in 0..1_000_000_u64,
        factor in 1.0..10.0_f64,
        cap_ms in 0..1_000_000_u64,
        tries in 1..200_u32,
        jitter in any::<f64>(),
        asked in proptest::option::of(0..2_000_000_u64),
    ) {
        let policy = RetryPolicy { delay_ms: Some(delay), factor, cap_ms, ..RetryPolicy::default() };
        let mut failure = Failure::new(ErrorKind::RateLimited, "slow down");
        failure.retry_after_ms = asked;
        let least = asked.unwrap_or(0);
        let given = policy.delay_ms(&failure, tries, jitter);
        prop_assert!((least..=least.max(cap_ms)).contains(&given), "{} ms", given);
        let bound = |tries| policy.delay_ms(&failure, tries, 1.0);
        prop_assert!(bound(tries) <= bound(tries + 1) && given <= bound(tries));
    }

    /// Folding never refuses, whatever has happened and to whatever stage; it counts every event.
    #[test]
    fn anything_can_be_folded(picks in vec((0..EVENTS, 0..4_usize), 0..40)) {
        let history: Vec<Happened> = picks.iter().map(|(what, whom)| happened(*what, *whom)).collect();
        let state = fold(&history);
        prop_assert_eq!(state.version, history.len() as u64);
        for Happened { event, .. } in &history {
            let stored = json!(event);
            prop_assert_eq!(stored["stage"].as_str(), event.stage());
        }
        let text = serde_json::to_string(&state).expect("JSON");
        let read: Execution = serde_json::from_str(&text).expect("a state");
        prop_assert_eq!(&read, &state);
        // What is counted along with the events is what is counted of the state they led to.
        for now in [DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC] {
            prop_assert_eq!(next(&read, now), next(&state, now));
            prop_assert_eq!(wake(&read, now), wake(&state, now));
        }
        prop_assert_eq!((read.status(), read.progress()), (state.status(), state.progress()));
        prop_assert_eq!(read.stages.outputs(), state.stages.outputs());
    }

    /// Money is recorded as it was spent, to the last digit, unless it is none.
    #[test]
    fn costs_survive_json(usd in any::<f64>()) {
        let counted = Cost { usd, ..Cost::default() }.counted();
        prop_assert!(counted.usd >= 0.0 && counted.usd.is_finite());
        let text = serde_json::to_string(&counted).expect("JSON");
        let read: Cost = serde_json::from_str(&text).expect("a cost");
        prop_assert_eq!(read.usd.to_bits(), counted.usd.to_bits(), "{} is read as {}", text, read.usd);
    }
}

/// A law that is never tried holds always: the lives made up here see every event, every end, and
/// what is rare.
#[test]
fn made_up_lives_see_everything() {
    let mut runner = TestRunner::deterministic();
    let lives = (definition(), limits(), vec(a_try(), 0..100));
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..300 {
        let (definition, limits, tries) = lives.new_tree(&mut runner).expect("a life").current();
        let mut world = World::new(&definition, &limits);
        tries.iter().for_each(|t| attempt(&mut world, t));
        for pair in world.history.windows(2) {
            seen.insert(pair[1].event.name());
            if let (Event::StageInterrupted { .. }, Event::StageReopened { .. }) =
                (&pair[0].event, &pair[1].event)
            {
                seen.insert("work sent back while another stage ran on it");
            }
        }
        seen.insert(world.state.status().as_str());
    }
    seen.insert("ExecutionRequested");
    let statuses = Status::ALL.map(Status::as_str);
    let rare = ["work sent back while another stage ran on it"];
    let wanted = Event::NAMES.iter().chain(&statuses).chain(&rare);
    let unseen: Vec<_> = wanted.filter(|name| !seen.contains(*name)).collect();
    assert!(unseen.is_empty(), "never seen: {unseen:?}; make it likelier in properties/any.rs");
}

/// Whether it runs to its end, as a worker would run it.
fn runs_through(definition: &Definition) -> bool {
    let mut state = Execution::default();
    let request = world::request(definition, &Limits::default());
    let now = super::scenarios::notation::beginning();
    let give = |state: &mut Execution, command: &Command| {
        longhaul::workflow::decide::apply(state, now, command).expect("accepted")
    };
    give(&mut state, &Command::Request(Box::new(request)));
    for _ in 0..=definition.stages.len() {
        longhaul::workflow::next::advance(&mut state, now).expect("accepted");
        let running: Vec<(String, u32)> =
            state.stages.iter().map(|s| (s.name.clone(), s.attempts)).collect();
        for (stage, attempt) in running {
            if state.stage(&stage).is_some_and(|s| s.state == StageState::Running { attempt }) {
                let (output, cost) = (json!({}), Cost::default());
                let done = Command::Succeed { stage, attempt, output, cost, log_digest: None };
                give(&mut state, &done);
            }
        }
    }
    state.status() == Status::Completed
}

const EVENTS: usize = Event::NAMES.len();

/// An event by its number, about one of three stages that there are, or one that there is not.
fn happened(what: usize, whom: usize) -> Happened {
    let lines = [
        "ExecutionRequested",
        "ExecutionClaimed worker={a} fence={f}",
        "StageStarted sN #1",
        "StepRecorded sN #1 key=k value=1",
        "StageProgressed sN #1 message=half",
        "StageSucceeded sN #1 output={}",
        "StageFailed sN #1 error=\"transient: no\" final=false",
        "StageRetryScheduled sN #2 due=+30s",
        "StageWaiting sN #1 reason=\"signal: go\" signal=go deadline=+1h",
        "StageResumed sN #1",
        "StageInterrupted sN #1 reason=gone",
        "StageSkipped sN reason=no",
        "StageReopened sN by=s9 loop=1 feedback={} reset=[\"sN\"]",
        "SignalReceived name=go payload=1",
        "TimerFired sN #1",
        "BudgetSpent sN #1 cost=0.25",
        "ExecutionPaused",
        "ExecutionResumed",
        "CancellationRequested",
        "ExecutionCancelled",
        "ExecutionRewound from=sN branch=2 set={\"limits\":{\"cost_usd\":2}} reset=[\"sN\"]",
        "ExecutionCompleted",
        "ExecutionFailed sN error=\"permanent: no\"",
    ];
    let stages = (0..3).map(|i| StageDefinition::new(format!("s{i}"), "work")).collect();
    let request = world::request(&Definition::new("any", stages), &Limits::default());
    let line = lines[what].replace("sN", &format!("s{whom}"));
    let event = super::scenarios::notation::event(&line, &request).expect(&line);
    assert_eq!(event.name(), Event::NAMES[what], "one line for each event, in their order");
    Happened { at: super::scenarios::notation::beginning(), event }
}

//! An execution under test: it takes commands, and after each of them every law is checked.
//!
//! Beside the state it keeps a second one, folded from the events as they are stored (JSON text), and
//! a shadow: which attempts are under way and which have ended. Never: a time or a chance of its own.

use super::super::scenarios::notation::{beginning, id};
use chrono::{DateTime, TimeDelta, Utc};
use longhaul::workflow::command::{Command, Refusal};
use longhaul::workflow::decide::decide;
use longhaul::workflow::definition::Join;
use longhaul::workflow::definition::{Definition, Limits};
use longhaul::workflow::event::{Cost, Event, Happened, Request};
use longhaul::workflow::evolve::evolve;
use longhaul::workflow::next::{Action, Wake, advance, next, wake};
use longhaul::workflow::state::{Execution, StageState};
use serde_json::json;
use std::collections::BTreeSet;

/// An attempt: the stage and its number.
pub(crate) type Attempt = (String, u32);

pub(crate) struct World {
    pub(crate) state: Execution,
    pub(crate) now: DateTime<Utc>,
    pub(crate) history: Vec<Happened>,
    reloaded: Execution,
    under_way: BTreeSet<Attempt>,
    waiting: BTreeSet<Attempt>,
    ended: BTreeSet<Attempt>,
}

/// A request for a definition, as the engine makes it.
pub(crate) fn request(definition: &Definition, limits: &Limits) -> Request {
    Request {
        task_id: id("task"),
        task: json!({"priority": "high"}),
        definition: definition.resolved(limits),
        input: json!({"flag": true}),
        settings: json!({}),
        repository: None,
        limits: limits.clone(),
        priority: 5,
        origin: None,
        parent: None,
        continues: None,
    }
}

impl World {
    /// A new execution.
    pub(crate) fn new(definition: &Definition, limits: &Limits) -> Self {
        let mut world = World {
            state: Execution::default(),
            now: beginning(),
            history: Vec::new(),
            reloaded: Execution::default(),
            under_way: BTreeSet::new(),
            waiting: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        let command = Command::Request(Box::new(request(definition, limits)));
        world.give(&command).expect("a new execution is requested");
        world
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Vec<Attempt> {
        self.under_way.iter().cloned().collect()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += TimeDelta::milliseconds(i64::try_from(ms).expect("a short time"));
    }

    /// Gives a command. A refusal changes nothing.
    pub(crate) fn give(&mut self, command: &Command) -> Result<usize, Refusal> {
        let events = decide(&self.state, self.now, command)?;
        assert_eq!(decide(&self.state, self.now, command).as_ref(), Ok(&events), "decide is pure");
        let count = events.len();
        events.into_iter().for_each(|event| self.happens(event));
        self.laws();
        Ok(count)
    }

    /// What a worker does by itself.
    pub(crate) fn advance(&mut self) {
        let mut copy = self.state.clone();
        let happened = advance(&mut copy, self.now).expect("what may be done is never refused");
        let bound = 4 * self.state.stages.len() + 4;
        assert!(happened.len() <= bound, "advance ends: {} events", happened.len());
        happened.into_iter().for_each(|h| self.happens(h.event));
        assert_eq!(self.state, copy, "advance folds what it says");
        self.laws();
        let left = next(&self.state, self.now);
        assert!(left.is_empty() || left == [Action::Halt], "advance leaves nothing: {left:?}");
    }

    fn happens(&mut self, event: Event) {
        self.event_is_lawful(&event);
        let stored = serde_json::to_string(&event).expect("JSON");
        let loaded: Event = serde_json::from_str(&stored).expect(&stored);
        assert_eq!(loaded, event, "an event survives JSON");
        let before = (self.state.version, self.state.branch, self.state.cost.usd);
        let happened = Happened { at: self.now, event };
        evolve(&mut self.state, &happened);
        evolve(&mut self.reloaded, &Happened { at: self.now, event: loaded });
        self.history.push(happened);
        assert_eq!(self.state.version, before.0 + 1, "an event counts once");
        assert!(self.state.branch >= before.1, "branch numbers never fall");
        assert!(self.state.cost.usd >= before.2, "money is not given back");
    }

    /// Laws of one event, judged on the state before it.
    fn event_is_lawful(&mut self, event: &Event) {
        let is_rewind = matches!(event, Event::ExecutionRewound { .. });
        assert!(self.state.outcome.is_none() || is_rewind, "terminal is terminal: {event:?}");
        match event {
            Event::StageStarted { stage, attempt } => self.starts(stage, *attempt),
            Event::StageResumed { stage, attempt } => {
                assert!(self.may_work(), "nothing goes on in a pause or at the end");
                assert!(self.waiting.remove(&(stage.clone(), *attempt)), "only what waits goes on");
                self.under_way.insert((stage.clone(), *attempt));
            }
            Event::StageWaiting { stage, attempt, .. } => {
                let attempt = (stage.clone(), *attempt);
                assert!(self.under_way.remove(&attempt), "only what runs begins to wait");
                self.waiting.insert(attempt);
            }
            Event::StageSucceeded { stage, attempt, .. }
            | Event::StageInterrupted { stage, attempt, .. } => {
                let attempt = (stage.clone(), *attempt);
                assert!(self.under_way.remove(&attempt), "a result is of an attempt that runs");
                assert!(self.ended.insert(attempt), "a result is recorded once");
            }
            Event::StageFailed { stage, attempt, .. } => {
                let attempt = (stage.clone(), *attempt);
                let was_open = self.under_way.remove(&attempt) || self.waiting.remove(&attempt);
                assert!(was_open, "a failure is of an attempt that runs or waits");
                assert!(self.ended.insert(attempt), "a result is recorded once");
            }
            Event::StepRecorded { stage, attempt, .. }
            | Event::StageProgressed { stage, attempt, .. }
            | Event::BudgetSpent { stage, attempt, .. } => {
                let attempt = (stage.clone(), *attempt);
                assert!(self.under_way.contains(&attempt), "only what runs has a word: {event:?}");
            }
            Event::StageReopened { reset, .. } => self.loses(reset),
            Event::ExecutionRewound { reset, branch, .. } => {
                assert_eq!(*branch, self.state.branch + 1, "a rewind opens the next branch");
                self.loses(reset);
            }
            Event::ExecutionCompleted {}
            | Event::ExecutionFailed { .. }
            | Event::ExecutionCancelled {} => {
                assert!(self.under_way.is_empty(), "nothing runs beyond the end: {event:?}");
            }
            Event::ExecutionRequested(_)
            | Event::ExecutionClaimed { .. }
            | Event::StageRetryScheduled { .. }
            | Event::StageSkipped { .. }
            | Event::SignalReceived { .. }
            | Event::TimerFired { .. }
            | Event::ExecutionPaused { .. }
            | Event::ExecutionResumed { .. }
            | Event::CancellationRequested { .. } => {}
        }
    }

    fn may_work(&self) -> bool {
        self.state.pause.is_none()
            && self.state.cancel.is_none()
            && self.state.broken_stage().is_none()
    }

    fn starts(&mut self, stage: &str, attempt: u32) {
        assert!(self.may_work(), "nothing starts in a pause or at the end");
        let is_running = self.under_way.iter().chain(&self.waiting).any(|(s, _)| s == stage);
        assert!(!is_running, "one attempt of `{stage}` at a time");
        let known = self.state.stage(stage).map_or(0, |s| s.attempts);
        assert_eq!(attempt, known + 1, "attempts count up, over all branches");
        let definition = &self.state.request.as_ref().expect("a request").definition;
        let index = definition.index_of(stage).expect("a stage");
        let needs: Vec<_> =
            definition.needs_of(index).iter().map(|n| &self.state.stages[*n]).collect();
        let is_any = definition.stages[index].join == Join::Any;
        let has_one = is_any && needs.iter().any(|n| n.output().is_some());
        let has_all = needs.iter().all(|n| n.state.is_done());
        assert!(has_one || has_all, "needs of `{stage}` are done first");
        self.under_way.insert((stage.to_owned(), attempt));
    }

    /// Stages that begin again: nothing of them may still run unseen.
    fn loses(&mut self, reset: &[String]) {
        let still = self.under_way.iter().find(|(stage, _)| reset.contains(stage));
        assert_eq!(still, None, "what runs is cut off before its stage begins again");
        self.waiting.retain(|(stage, _)| !reset.contains(stage));
    }

    /// Laws of the state.
    fn laws(&self) {
        let bytes = |state: &Execution| serde_json::to_string(state).expect("JSON");
        assert_eq!(bytes(&self.state), bytes(&self.reloaded), "replay equals live, byte for byte");
        self.shadow_agrees();
        let actions = next(&self.state, self.now);
        for action in actions.iter().filter(|a| **a != Action::Halt) {
            let given = decide(&self.state, self.now, &command_of(action));
            assert!(given.is_ok_and(|events| !events.is_empty()), "refused: {action:?}");
        }
        self.wakes_up(&actions);
        assert!((0.0..=1.0).contains(&self.state.progress()));
    }

    fn shadow_agrees(&self) {
        let attempt_of = |s: &longhaul::workflow::state::Stage| match s.state {
            StageState::Running { attempt } => Some((s.name.clone(), attempt)),
            _ => None,
        };
        let running: BTreeSet<Attempt> = self.state.stages.iter().filter_map(attempt_of).collect();
        assert_eq!(running, self.under_way, "the state knows what runs");
    }

    /// When to look again: no sooner and no later than there is something to do.
    fn wakes_up(&self, actions: &[Action]) {
        let state = &self.state;
        match wake(state, self.now) {
            Wake::Now => assert!(!actions.is_empty(), "woken for nothing"),
            Wake::At(at) => {
                assert!(actions.is_empty() && at > self.now, "a look in the past never ends");
                let just_before = at - TimeDelta::microseconds(1);
                assert!(
                    next(state, just_before).is_empty(),
                    "something is due before it is looked at"
                );
                assert!(!next(state, at).is_empty(), "woken for nothing at {at}");
            }
            Wake::Never => {
                let far = self.now + TimeDelta::days(10_000);
                assert!(next(state, far).is_empty(), "something is due that nobody looks at");
                let is_held = state.outcome.is_some() || state.pause.is_some();
                assert!(is_held || state.is_anything_running(), "stuck: {state:?}");
            }
        }
    }

    /// Everything goes well from here: paused ones are resumed, stages succeed, signals come, time
    /// passes when there is nothing else to do.
    pub(crate) fn drive(&mut self) {
        for _ in 0..1_000 {
            if self.state.pause.is_some() {
                self.give(&Command::Resume { motive: Default::default() }).expect("resumed");
            }
            self.advance();
            if self.state.outcome.is_some() {
                return;
            }
            let halts = next(&self.state, self.now) == [Action::Halt];
            let running = self.running();
            for (stage, attempt) in &running {
                // The one before may have been sent back and this one cut off.
                if self.under_way.contains(&(stage.clone(), *attempt)) {
                    let _ = self.give(&success(stage, *attempt, halts)).expect("a result counts");
                }
            }
            if running.is_empty() && !self.signal_what_is_waited_for() {
                match wake(&self.state, self.now) {
                    Wake::At(at) => self.now = at,
                    other => {
                        panic!("nothing to do, nothing to wait for ({other:?}): {:?}", self.state)
                    }
                }
            }
        }
        panic!("it never ends: {:?}", self.state);
    }

    fn signal_what_is_waited_for(&mut self) -> bool {
        let signals: Vec<String> = self.state.stages.iter().filter_map(waited_for).collect();
        for name in &signals {
            let (payload, motive) = (json!(null), Default::default());
            let command = Command::Signal { name: name.clone(), payload, key: None, motive };
            self.give(&command).expect("a signal");
        }
        !signals.is_empty()
    }
}

fn waited_for(stage: &longhaul::workflow::state::Stage) -> Option<String> {
    match &stage.state {
        StageState::Waiting { signal, .. } => signal.clone(),
        _ => None,
    }
}

fn success(stage: &str, attempt: u32, halts: bool) -> Command {
    let (stage, output, log_digest) = (stage.to_owned(), json!({"n": 9}), None);
    if halts {
        return Command::Interrupt {
            stage,
            attempt,
            reason: "the execution ends".to_owned(),
            cost: Cost::default(),
        };
    }
    Command::Succeed { stage, attempt, output, cost: Default::default(), log_digest }
}

/// The command that takes an action.
pub(crate) fn command_of(action: &Action) -> Command {
    match action.clone() {
        Action::Start { stage } => Command::Start { stage },
        Action::Skip { stage, reason } => Command::Skip { stage, reason },
        Action::Wake { stage } => Command::Wake { stage },
        Action::ExpireWait { stage } => Command::ExpireWait { stage },
        Action::ConfirmCancel => Command::ConfirmCancel {},
        Action::Complete | Action::Fail { .. } => Command::Conclude {},
        Action::Halt => Command::Abandon { reason: "the execution ends".to_owned() },
    }
}

//! Proves a stream: each event is the next one, on its branch, and what the core decides in that
//! place; the state after it has the hash that was recorded; and the row of the execution says what
//! its stream says.
//!
//! Events come one by one, and only a few are kept, so that a stream may be of any length. The first
//! difference is kept; what comes after it is not judged.

use super::canonical::state_hash;
use super::decision::{Judgement, judge, lookahead};
use crate::workflow::event::Happened;
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::VecDeque;

/// What the row of an execution says.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadFacts {
    /// Sequence of the last event.
    pub version: u64,
    /// Hash of the last event.
    pub hash: Vec<u8>,
    /// A `Status` in words.
    pub status: String,
    /// The current branch.
    pub branch: u32,
    /// 0 to 1.
    pub progress: f32,
    /// When the first stage started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// An event as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number in the stream.
    pub sequence: u64,
    /// The branch it is stored under.
    pub branch: u32,
    /// What happened, and when.
    pub happened: Happened,
    /// Its link in the chain, when it is known.
    pub hash: Option<Vec<u8>>,
    /// Hash of the state after it, when it was recorded.
    pub state_hash: Option<String>,
}

/// In what a stream differs from what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// An event cannot be read by this program.
    Unreadable,
    /// An event is missing or stands twice.
    Sequence,
    /// An event is stored under another branch.
    Branch,
    /// The core decides otherwise in that place.
    Decision,
    /// The state has another hash than the one recorded.
    State,
    /// The row of the execution says something else.
    Head,
    /// A stage of it has a kind that this program does not know.
    Kind,
}

/// The first difference of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// In what.
    pub difference: Difference,
    /// At which event.
    pub sequence: u64,
    /// What was to be expected.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.difference {
            Difference::Unreadable => "it cannot be read",
            Difference::Sequence => "an event is missing or stands twice",
            Difference::Branch => "it is stored under another branch",
            Difference::Decision => "the decision differs",
            Difference::State => "the state differs",
            Difference::Head => "the row of the execution differs",
            Difference::Kind => "a stage kind is unknown",
        };
        write!(f, "event {}: {word}; expected {}; ", self.sequence, self.expected)?;
        write!(f, "found {}", self.found)
    }
}

/// What became of a stream.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The state after the last event that was folded.
    pub state: Execution,
    /// The first difference, if there is one.
    pub finding: Option<Finding>,
    /// Decisions that were made again and gave the same.
    pub decisions: u64,
    /// Events for which no command is known; they were folded only.
    pub unjudged: u64,
}

/// A stream on its way.
#[derive(Debug)]
pub struct Verifier {
    head: Option<HeadFacts>,
    judges: bool,
    waiting: VecDeque<Found>,
    verdict: Verdict,
}

impl Verifier {
    /// Begins a stream; `judges` asks whether decisions are made again.
    pub fn new(head: Option<HeadFacts>, judges: bool) -> Self {
        let verdict =
            Verdict { state: Execution::default(), finding: None, decisions: 0, unjudged: 0 };
        Verifier { head, judges, waiting: VecDeque::new(), verdict }
    }

    /// Takes the next event.
    pub fn event(&mut self, found: Found) {
        let expected = self.verdict.state.version + self.waiting.len() as u64 + 1;
        if self.is_over() {
            return;
        }
        if found.sequence != expected {
            self.work_off(0);
            let (expected, found) = (format!("event {expected}"), found.sequence);
            self.find(Difference::Sequence, found, expected, format!("event {found}"));
            return;
        }
        self.waiting.push_back(found);
        self.work_off(if self.judges { lookahead(&self.verdict.state) } else { 0 });
    }

    /// The next event cannot be read.
    pub fn unreadable(&mut self, sequence: u64, reason: String) {
        self.work_off(0);
        let expected = "an event that this version of longhaul knows".to_owned();
        self.find(Difference::Unreadable, sequence, expected, reason);
    }

    /// Whether a difference was found already.
    pub fn is_over(&self) -> bool {
        self.verdict.finding.is_some()
    }

    /// Ends the stream.
    pub fn end(mut self) -> Verdict {
        self.work_off(0);
        let last = self.verdict.state.version;
        if let Some(version) = self.head.as_ref().map(|h| h.version).filter(|v| *v > last) {
            let found = format!("an end after event {last}");
            let expected = format!("{version} events, as the row of the execution says");
            self.find(Difference::Sequence, last + 1, expected, found);
        }
        self.verdict
    }

    /// Folds what is waiting until no more than `keep` are left.
    fn work_off(&mut self, keep: usize) {
        while self.waiting.len() > keep && !self.is_over() {
            let count = if self.judges { self.judged() } else { 1 };
            for _ in 0..count {
                if let Some(found) = self.waiting.pop_front().filter(|_| !self.is_over()) {
                    self.fold(&found);
                }
            }
        }
    }

    /// How many events the next decision gave; none if it differs.
    fn judged(&mut self) -> usize {
        let upcoming: Vec<&Happened> = self.waiting.iter().map(|f| &f.happened).collect();
        match judge(&self.verdict.state, &upcoming) {
            Judgement::Decided(count) => {
                self.verdict.decisions += 1;
                count
            }
            Judgement::Unjudged => {
                self.verdict.unjudged += 1;
                1
            }
            Judgement::Differs(expected) => {
                let event = serde_json::to_string(&upcoming[0].event).unwrap_or_default();
                let sequence = self.verdict.state.version + 1;
                self.find(Difference::Decision, sequence, expected, event);
                0
            }
        }
    }

    fn fold(&mut self, found: &Found) {
        evolve(&mut self.verdict.state, &found.happened);
        let (sequence, branch) = (found.sequence, self.verdict.state.branch);
        if branch != found.branch {
            let (expected, found) = (format!("b{branch}"), format!("b{}", found.branch));
            return self.find(Difference::Branch, sequence, expected, found);
        }
        if let Some(recorded) = &found.state_hash {
            let now = state_hash(&self.verdict.state);
            if now != *recorded {
                return self.find(Difference::State, sequence, recorded.clone(), now);
            }
        }
        self.compare_head(found);
    }

    fn compare_head(&mut self, found: &Found) {
        let Some(head) = self.head.as_ref().filter(|h| h.version == found.sequence) else {
            return;
        };
        let state = &self.verdict.state;
        let folded = HeadFacts {
            version: state.version,
            hash: found.hash.clone().unwrap_or_else(|| head.hash.clone()),
            status: state.status().as_str().to_owned(),
            branch: state.branch,
            // A submission writes the row before anything can have been done; of a fork, more is.
            progress: if state.version == 1 { head.progress } else { state.progress() as f32 },
            started_at: state.started_at,
            finished_at: state.finished_at,
        };
        if folded != *head {
            let (expected, found) = (shown(&folded), shown(head));
            self.find(Difference::Head, state.version, expected, found);
        }
    }

    fn find(&mut self, difference: Difference, sequence: u64, expected: String, found: String) {
        self.verdict.finding.get_or_insert(Finding { difference, sequence, expected, found });
    }
}

fn shown(head: &HeadFacts) -> String {
    let time = |t: Option<DateTime<Utc>>| t.map_or_else(|| "none".to_owned(), |t| t.to_rfc3339());
    format!(
        "{} on b{}, {:.4} done, started {}, finished {}, hash {}",
        head.status,
        head.branch,
        head.progress,
        time(head.started_at),
        time(head.finished_at),
        hex::encode(&head.hash)
    )
}

//! The table of every situation and every command: what follows, or why nothing does.
//!
//! It is a snapshot to be read: a line that changes is a rule that changes. To add a command or a
//! situation, add its line here and review with `cargo insta review` (or `INSTA_UPDATE=always`).

use crate::scenarios::notation::{command, show_event, with_names};
use crate::scenarios::story::{Told, stories, tell};
use longhaul::workflow::command::{Command, Refusal};
use longhaul::workflow::decide::{command_name, decide};
use longhaul::workflow::event::Request;
use std::collections::BTreeSet;

const WORKFLOW: &str = "
workflow  max_loops=1 deadline=1h
stages    build attempts 2 wait_limit=10m
          lint needs build optional
          check needs build reopens build attempts 1
          ship needs lint check";

const SITUATIONS: &[(&str, &str)] = &[
    ("unborn", ""),
    ("queued", "given ExecutionRequested"),
    ("queued, paused", "given ExecutionRequested\n ExecutionPaused"),
    ("running", "given ExecutionRequested\n StageStarted build #1"),
    ("running, paused", "given ExecutionRequested\n StageStarted build #1\n ExecutionPaused"),
    (
        "running, second attempt",
        "given ExecutionRequested\n StageStarted build #1\n StageInterrupted build #1 reason=gone
 StageStarted build #2",
    ),
    (
        "last try running",
        "given ExecutionRequested\n StageStarted build #1\nwhen Fail build #1 error=\"transient: away\"
 advance",
    ),
    (
        "retry due later",
        "given ExecutionRequested\n StageStarted build #1
when Fail build #1 error=\"transient: away\" jitter=1",
    ),
    (
        "retry due now",
        "given ExecutionRequested\n StageStarted build #1
when Fail build #1 error=\"transient: away\" jitter=1\nat +1m",
    ),
    (
        "waiting",
        "given ExecutionRequested\n StageStarted build #1
when Wait build #1 reason=\"signal: go\" signal=go wake_at=+1m",
    ),
    (
        "waiting, signal has come",
        "given ExecutionRequested\n StageStarted build #1
when Wait build #1 reason=\"signal: go\" signal=go\n Signal name=go payload=1",
    ),
    (
        "waiting, time has come",
        "given ExecutionRequested\n StageStarted build #1
when Wait build #1 reason=\"signal: go\" signal=go wake_at=+1m\nat +1m",
    ),
    (
        "waiting, paused",
        "given ExecutionRequested\n StageStarted build #1
when Wait build #1 reason=\"signal: go\" signal=go\n Signal name=go payload=1\n Pause",
    ),
    (
        "waiting too long",
        "given ExecutionRequested\n StageStarted build #1
when Wait build #1 reason=\"signal: go\" signal=go\nat +10m",
    ),
    (
        "interrupted",
        "given ExecutionRequested\n StageStarted build #1\n StageInterrupted build #1 reason=gone",
    ),
    (
        "needs a person",
        "given ExecutionRequested\n StageStarted build #1
when Fail build #1 error=\"needs_person: log in\"",
    ),
    (
        "cancelling",
        "given ExecutionRequested\n StageStarted build #1\n CancellationRequested",
    ),
    (
        "cancelling, worker gone",
        "given ExecutionRequested\n StageStarted build #1\n CancellationRequested
 StageInterrupted build #1 reason=gone",
    ),
    (
        "two side by side",
        "given ExecutionRequested\n StageStarted build #1\n StageSucceeded build #1 output={}
 StageStarted lint #1\n StageStarted check #1",
    ),
    (
        "two, no loop left",
        "given ExecutionRequested\n StageStarted build #1\n StageSucceeded build #1 output={}
 StageStarted lint #1\n StageStarted check #1\nwhen Fail check #1 error=\"rejected: red\"
 advance\n Succeed build #2 output={}\n advance",
    ),
    (
        "broken, sibling running",
        "given ExecutionRequested\n StageStarted build #1\n StageSucceeded build #1 output={}
 StageStarted lint #1\n StageStarted check #1
when Fail check #1 error=\"permanent: no runner\"",
    ),
    (
        "out of time",
        "given ExecutionRequested\n StageStarted build #1\nat +2h
when Succeed build #1 output={}",
    ),
    (
        "all done",
        "given ExecutionRequested\n StageStarted build #1\n StageSucceeded build #1 output={}
 StageSkipped lint reason=no\n StageStarted check #1\n StageSucceeded check #1 output={}
 StageSkipped ship reason=no",
    ),
    (
        "completed",
        "given ExecutionRequested\n StageStarted build #1\n StageSucceeded build #1 output={}
 StageSkipped lint reason=no\n StageStarted check #1\n StageSucceeded check #1 output={}
 StageSkipped ship reason=no\n ExecutionCompleted",
    ),
    (
        "failed",
        "given ExecutionRequested\n StageStarted build #1
when Fail build #1 error=\"permanent: no\"\n advance",
    ),
    ("cancelled", "given ExecutionRequested\nwhen Cancel"),
    (
        "rewound",
        "given ExecutionRequested\n StageStarted build #1
when Fail build #1 error=\"permanent: no\"\n advance\n Retry",
    ),
];

const COMMANDS: &[&str] = &[
    "Request",
    "Claim worker={b} fence={g}",
    "Start build",
    "Start check",
    "Skip build reason=no",
    "RecordStep build #1 key=k value=1",
    "Progress build #1 message=half",
    "Succeed build #1 output={}",
    "Succeed lint #1 output={}",
    "Fail build #1 error=\"transient: away\" jitter=1",
    "Fail build #1 error=\"permanent: no\"",
    "Fail build #2 error=\"transient: away\" jitter=1",
    "Fail build #1 error=\"needs_person: log in\"",
    "Fail check #1 error=\"rejected: red\"",
    "Fail check #2 error=\"rejected: red\"",
    "Wait build #1 reason=\"signal: go\" signal=go",
    "Wake build",
    "ExpireWait build",
    "Interrupt build #1 reason=gone",
    "Abandon reason=gone",
    "Signal name=go payload=1",
    "Pause",
    "Resume",
    "Cancel",
    "ConfirmCancel",
    "Conclude",
    "Rewind from=build",
    "Rewind from=ship",
    "Retry",
];

struct Situation {
    name: &'static str,
    request: Request,
    told: Told,
}

fn situations() -> Vec<Situation> {
    let situation = |(name, steps): &(&'static str, &str)| {
        let text = format!("# {name}{WORKFLOW}\n{steps}\n");
        let story = stories(&text).expect(name).remove(0);
        let told = tell(&story).expect(name);
        Situation { name, request: story.request, told }
    };
    SITUATIONS.iter().map(situation).collect()
}

/// `StageFailed, StageRetryScheduled`, or the refusal, or `nothing`.
fn outcome(situation: &Situation, line: &str) -> String {
    let Situation { request, told, .. } = situation;
    let command = command(line, request).expect(line);
    match decide(&told.state, told.now, &command) {
        Ok(events) if events.is_empty() => "nothing".to_owned(),
        Ok(events) => {
            let shown = events.iter().map(|e| show_event(e, request));
            let brief = shown.map(|line| brief(&line)).collect::<Vec<_>>();
            brief.join(", ")
        }
        Err(Refusal::Unborn | Refusal::Ended { .. }) => NO_MORE.to_owned(),
        Err(refusal) => with_names(&format!("refused: {refusal}")),
    }
}

const NO_MORE: &str = "refused, as it has not begun or has ended";

/// The event with its stage and whether it was final; the rest is told in the stories.
fn brief(line: &str) -> String {
    let keeps = |word: &&str| !word.contains('=') || *word == "final=true";
    let head = line.split(" error=").next().unwrap_or(line);
    let head = head.split(" reason=").next().unwrap_or(head);
    let head = head.split(" motive=").next().unwrap_or(head);
    let tail = if line.contains(" final=true") { " final" } else { "" };
    head.split(' ').filter(keeps).collect::<Vec<_>>().join(" ") + tail
}

#[test]
fn every_command_in_every_situation() {
    let situations = situations();
    let mut table = overview(&situations);
    for line in COMMANDS {
        table += &format!("\n{line}\n");
        for (outcome, names) in grouped(&situations, line) {
            table += &format!("    {outcome}\n");
            table += &wrapped(&names);
        }
    }
    insta::assert_snapshot!("transitions", table);
}

/// Outcomes in the order of their first situation, each with the situations it holds in.
fn grouped<'a>(situations: &'a [Situation], line: &str) -> Vec<(String, Vec<&'a str>)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for situation in situations {
        let outcome = outcome(situation, line);
        match groups.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, names)) => names.push(situation.name),
            None => groups.push((outcome, vec![situation.name])),
        }
    }
    groups
}

fn wrapped(names: &[&str]) -> String {
    let mut out = String::new();
    let mut row = String::new();
    for name in names {
        if row.len() + name.len() > 90 {
            out += &format!("        in {}\n", row.trim_end_matches("; "));
            row.clear();
        }
        row += &format!("{name}; ");
    }
    out + &format!("        in {}\n", row.trim_end_matches("; "))
}

/// One column per situation: `x` something happens, `.` refused, `o` accepted and nothing happens.
fn overview(situations: &[Situation]) -> String {
    let mut out = "x: events follow; o: accepted, nothing follows; .: refused\n\n".to_owned();
    for (index, situation) in situations.iter().enumerate() {
        let status = situation.told.state.status().as_str();
        out += &format!("  {:>2} {} ({status})\n", index + 1, situation.name);
    }
    out += &format!("\n{:48}", "");
    out += &(1..=situations.len()).map(|n| format!(" {n:>2}")).collect::<String>();
    for line in COMMANDS {
        let mark = |s: &Situation| match outcome(s, line).as_str() {
            "nothing" => "  o",
            said if said.starts_with("refused") => "  .",
            _ => "  x",
        };
        out += &format!("\n{line:48}{}", situations.iter().map(mark).collect::<String>());
    }
    out + "\n"
}

/// A new command shows up here, not only in the compiler.
#[test]
fn the_table_has_every_command() {
    let request = &situations()[0].request;
    let in_table: BTreeSet<&str> =
        COMMANDS.iter().map(|line| command_name(&command(line, request).expect(line))).collect();
    let error = serde_json::from_str::<Command>(r#"{"type": "?"}"#).expect_err("no such command");
    let known = error.to_string().matches('`').count() / 2 - 1;
    assert_eq!(in_table.len(), known, "add the missing command to COMMANDS: {in_table:?}, {error}");
}

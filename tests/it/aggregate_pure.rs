//! An execution as cqrs-es sees it: its own test framework over our `Aggregate`.
//!
//! A handful, to hold the adapter; the domain is told in `tests/scenarios/`.

use crate::scenarios::heading::Heading;
use crate::scenarios::notation::{beginning, command, event, id};
use cqrs_es::test::TestFramework;
use cqrs_es::{Aggregate, DomainEvent};
use longhaul::store::aggregate::Given;
use longhaul::workflow::command::Refusal;
use longhaul::workflow::event::{Happened, Request};
use longhaul::workflow::evolve::fold;
use longhaul::workflow::state::Execution;

fn request() -> Request {
    let mut heading = Heading::new();
    heading.read("stages", "build, ship").expect("two stages");
    heading.request().expect("a request")
}

fn happened(lines: &[&str]) -> Vec<Happened> {
    let read = |line: &&str| event(line, &request()).expect(line);
    lines.iter().map(|line| Happened { at: beginning(), event: read(line) }).collect()
}

fn given(line: &str) -> Given {
    Given { at: beginning(), command: command(line, &request()).expect(line) }
}

#[track_caller]
fn check(before: &[&str], line: &str, after: &[&str]) {
    TestFramework::<Execution>::with(())
        .given(happened(before))
        .when(given(line))
        .then_expect_events(happened(after));
}

#[test]
fn a_request_is_the_first_event() {
    check(&[], "Request", &["ExecutionRequested"]);
}

#[test]
fn a_command_may_give_several_events() {
    let before =
        ["ExecutionRequested", "ExecutionClaimed worker={a} fence={f}", "StageStarted build #1"];
    let after = [
        "StageInterrupted build #1 reason=\"worker 61000000-0000-0000-0000-000000000000 is gone\"",
        "ExecutionClaimed worker={b} fence={g}",
    ];
    assert_eq!(id("a").to_string(), "61000000-0000-0000-0000-000000000000");
    check(&before, "Claim worker={b} fence={g}", &after);
}

#[test]
fn a_command_may_give_none() {
    let before = ["ExecutionRequested", "SignalReceived name=ci payload=1 key=delivery-7"];
    check(&before, "Signal name=ci payload=1 key=delivery-7", &[]);
}

#[test]
fn a_refusal_is_the_error() {
    TestFramework::<Execution>::with(())
        .given(happened(&["ExecutionRequested", "StageStarted build #1"]))
        .when(given("Start ship"))
        .then_expect_error(Refusal::NotNow(
            "stage `ship` is pending and cannot start now".to_owned(),
        ));
    TestFramework::<Execution>::with(())
        .given_no_previous_events()
        .when(given("Cancel"))
        .then_expect_error_message("the execution does not exist");
}

#[test]
fn applying_events_is_folding_them() {
    let history = happened(&[
        "ExecutionRequested",
        "StageStarted build #1",
        "BudgetSpent build #1 cost=0.25",
    ]);
    let mut aggregate = Execution::default();
    history.iter().cloned().for_each(|event| aggregate.apply(event));
    assert_eq!(aggregate, fold(&history));
}

#[test]
fn events_go_by_their_name() {
    let first = &happened(&["StageStarted build #1"])[0];
    assert_eq!(
        (first.event_type(), first.event_version()),
        ("StageStarted".to_owned(), "1.0".to_owned())
    );
    assert_eq!(Execution::TYPE, "execution");
}

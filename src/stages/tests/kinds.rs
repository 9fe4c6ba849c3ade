//! The kinds that need no repository, and what all of them have in common.

use crate::config::run::{Forge, RunSettings};
use crate::stages::fixture::*;
use crate::stages::{StageOutcome, builtin};
use crate::workflow::catalog;
use crate::workflow::failure::ErrorKind;
use crate::workflow::state::Signal;
use crate::workflow::validate::problems;
use chrono::Utc;
use serde_json::{Value, json};

#[test]
fn every_workflow_that_comes_with_the_program_can_run() {
    let kinds = builtin().kinds();
    for definition in catalog::all() {
        assert_eq!(problems(&definition, &kinds), [], "{}", definition.name);
    }
}

#[tokio::test]
async fn outputs_are_called_as_they_are_declared() {
    let mut world = world("echo x > x.txt");
    world.life.live(&["analysis"]).await.live(&CHAIN).await;
    world.life.config = json!({"command": "true"});
    world.life.live(&["command"]).await;
    for (kind, names) in builtin().kinds() {
        let Some(output) = world.life.outputs.get(&kind).and_then(Value::as_object) else {
            continue;
        };
        let mut declared = names.expect("declared");
        let mut given: Vec<String> = output.keys().cloned().collect();
        declared.sort();
        given.sort();
        assert_eq!(given, declared, "{kind}");
    }
}

#[test]
fn what_is_missing_is_known_before_anything_runs() {
    let registry = builtin();
    let code = registry.get("code_generation").expect("kind");
    let settings = RunSettings::default();
    assert!(code.preflight(&settings, &Value::Null)[0].contains("agent.command"));
    let proposing = registry.get("pr_creation").expect("kind");
    assert!(proposing.preflight(&settings, &Value::Null).is_empty());
    let on_github = RunSettings { forge: Forge::Github, ..RunSettings::default() };
    assert!(proposing.preflight(&on_github, &Value::Null)[0].contains("known forges: local"));
    let command = registry.get("command").expect("kind");
    assert!(
        command.preflight(&settings, &json!({"comand": "x"}))[0].contains("unknown field `comand`")
    );
    let needing: Vec<String> = registry
        .kinds()
        .into_keys()
        .filter(|kind| registry.get(kind).is_some_and(|k| k.needs_repository()))
        .collect();
    let expected =
        ["analysis", "code_generation", "deployment", "pr_creation", "testing", "validation"];
    assert_eq!(needing, expected);
}

fn signal(payload: Value) -> Signal {
    Signal { name: "approval".to_owned(), payload, at: Utc::now() }
}

#[tokio::test]
async fn an_approval_waits_for_a_word_that_can_be_understood() {
    let mut life = world("true").life;
    let waiting = life.attempt("approval").await.expect("waits");
    let StageOutcome::Wait(wait) = waiting else { panic!("{waiting:?}") };
    assert_eq!((wait.signal.as_deref(), wait.reason.kind.as_str()), (Some("approval"), "approval"));
    life.signals.push(signal(json!({"decision": "maybe"})));
    assert!(matches!(life.attempt("approval").await, Ok(StageOutcome::Wait(_))));
    life.signals.push(signal(json!({"decision": "approve", "by": "ada", "comment": "fine"})));
    let output = life.done("approval").await;
    assert_eq!(output, json!({"by": "ada", "decision": "approve", "comment": "fine"}));
    life.signals = vec![signal(json!({"decision": "reject", "comment": "too large"}))];
    let failure = life.fails("approval").await;
    assert_failure(&failure, ErrorKind::Rejected, &["rejected by somebody: too large"]);
}

#[tokio::test]
async fn a_command_needs_no_repository() {
    let mut life = world("true").life;
    life.repository = None;
    life.config = json!({"command": "pwd; echo kept > file; exit 0"});
    let output = life.done("command").await;
    assert_eq!(output["exit_code"], 0);
    assert!(output["output"].as_str().expect("output").ends_with("scratch"), "{output}");

    let cases = [
        (json!({"command": "echo why; exit 3"}), ErrorKind::Rejected, "exit code 3"),
        (json!({"command": "exit 75"}), ErrorKind::Transient, "exit code 75"),
        (json!({"command": "exit 64"}), ErrorKind::NeedsPerson, "exit code 64"),
        (json!({"command": "true", "cwd": "gone"}), ErrorKind::Transient, "gone does not exist"),
        (json!({}), ErrorKind::Permanent, "make lint"),
    ];
    for (config, kind, words) in cases {
        life.config = config;
        assert_failure(&life.fails("command").await, kind, &[words]);
    }
    life.config = json!({"command": "exit 3", "allow_failure": true});
    assert_eq!(life.done("command").await["exit_code"], 3);
}

#[tokio::test]
async fn a_command_runs_on_the_newest_work() {
    let mut world = world("echo x > x.txt");
    world.life.live(&["code_generation"]).await;
    world.life.config = json!({"command": "cat ../x.txt", "cwd": "sub"});
    world.life.settings["agent"] = json!({});
    let failure = world.life.fails("command").await;
    assert!(failure.message.contains("does not exist"), "{failure:?}");
    world.life.config = json!({"command": "cat x.txt"});
    assert_eq!(world.life.done("command").await["output"], "x");
}

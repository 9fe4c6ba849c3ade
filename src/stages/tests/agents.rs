//! Bad agents and bad repositories: each a clear failure that says what to do.

use crate::clients::git::fixture::Repo;
use crate::stages::fixture::*;
use crate::workflow::failure::ErrorKind;
use std::time::Duration;

/// An agent, settings, and what must come of it: a kind and words, or none when it passes with the
/// words in its warnings.
type Case = (&'static str, &'static [&'static str], Option<ErrorKind>, &'static [&'static str]);

const CASES: &[Case] = &[
    ("true", &[], Some(ErrorKind::Rejected), &["changed nothing", "policy.empty_diff"]),
    ("true", &["policy.empty_diff=warn"], None, &["changed nothing"]),
    ("true", &["policy.empty_diff=allow"], None, &[]),
    ("mkdir -p cache; echo x > cache/x", &[], Some(ErrorKind::Rejected), &["changed nothing"]),
    (
        "ln -s /etc/passwd link",
        &[],
        Some(ErrorKind::Rejected),
        &["`link` leads out", "/etc/passwd"],
    ),
    ("ln -s ../../.. link", &["policy.outside=warn"], None, &["leads out of the worktree"]),
    (
        "mkdir in; cd in; git init -q; git -c user.name=x -c user.email=x@y commit -q --allow-empty -m x",
        &[],
        Some(ErrorKind::Rejected),
        &["`in` is a git repository of its own"],
    ),
    ("rm -rf \"$PWD\"", &[], Some(ErrorKind::Rejected), &["removed its worktree"]),
    ("rm -rf ./* .git*; true", &[], Some(ErrorKind::Rejected), &["tests were taken away"]),
    (
        "rm tests/test_a.py; echo x > x",
        &[],
        Some(ErrorKind::Rejected),
        &["tests were taken away", "tests/test_a.py", "policy.deleted_tests=warn"],
    ),
    ("rm tests/test_a.py", &["policy.deleted_tests=warn"], None, &["tests were taken away"]),
    ("echo x > x; exit 75", &[], Some(ErrorKind::Transient), &["exit code 75"]),
    ("exit 64", &[], Some(ErrorKind::NeedsPerson), &["a person"]),
    (
        "yes | head -c 3000000",
        &["limits.output_mb=1"],
        Some(ErrorKind::Permanent),
        &["limits.output_mb"],
    ),
    (
        "git checkout -q -b mine; echo x > x; git add x; git commit -q -m mine; git reset -q --hard; git push 2>&1",
        &[],
        Some(ErrorKind::Transient),
        &["git push <name>"],
    ),
    ("git checkout -q -b mine; echo x > x; git add x; git commit -q -m mine", &[], None, &[]),
    ("git checkout -q --detach; echo x > x; rm -rf .git", &[], None, &[]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_does_is_judged() {
    for (line, settings, kind, words) in CASES {
        let mut world = world(line);
        world.repo.commit(&[("tests/test_a.py", "def test_a():\n    assert True\n")]);
        world.life.set(settings);
        let base = world.repo.git(&["rev-parse", "main"]);
        match kind {
            Some(kind) => {
                let failure = world.life.fails("code_generation").await;
                assert_failure(&failure, *kind, words);
            }
            None => {
                let output = world.life.done("code_generation").await;
                let warnings = output["warnings"].to_string();
                assert!(words.iter().all(|word| warnings.contains(word)), "{line}: {warnings}");
                assert_eq!(warnings == "[]", words.is_empty(), "{line}: {warnings}");
            }
        }
        assert_eq!(world.repo.git(&["rev-parse", "main"]), base, "{line}");
        assert_eq!(world.repo.git(&["status", "--porcelain"]), "", "{line}");
    }
}

#[tokio::test]
async fn a_file_that_appears_in_the_users_checkout_is_a_warning() {
    let mut world = world("true");
    let path = world.repo.path().join("stray.txt");
    world.agent(&format!("echo x > x; echo x > {}", path.display()));
    let output = world.life.done("code_generation").await;
    assert!(
        output["warnings"][0].as_str().expect("warning").contains("changed while the agent"),
        "{output}"
    );
}

#[tokio::test]
async fn an_agent_that_hangs_is_ended_in_time() {
    let mut world = world("echo started; sleep 60");
    world.life.timeout = Duration::from_secs(3);
    let failure = world.life.fails("code_generation").await;
    assert_failure(
        &failure,
        ErrorKind::Timeout,
        &["ran too long", "timeout_ms", "it said last: started"],
    );
}

#[tokio::test]
async fn a_repository_that_cannot_be_used_says_why() {
    let plain = tempfile::tempdir().expect("directory");
    let empty = Repo::empty();
    let mut life = world("true").life;
    let cases = [
        (None, "needs a repository"),
        (Some(plain.path().display().to_string()), "is not a git repository"),
        (Some(empty.path().display().to_string()), "no commit yet"),
        (Some(plain.path().join("gone").display().to_string()), "does not exist on this machine"),
        (Some("owner/name".to_owned()), "does not exist on this machine"),
    ];
    for (repository, words) in cases {
        life.repository = repository;
        for stage in
            ["analysis", "code_generation", "testing", "pr_creation", "validation", "deployment"]
        {
            assert_failure(&life.fails(stage).await, ErrorKind::Permanent, &[words]);
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_named() {
    let cases: [(&[&str], &str); 4] = [
        (&["agent.name=copilot"], "known agents: command"),
        (&["agent.command=no-such-agent"], "`no-such-agent` was not found"),
        (&["base=develop"], "no branch `develop`"),
        (&["forge=github"], "forge `github`"),
    ];
    for (settings, words) in cases {
        let mut world = world("echo x > x");
        world.life.set(settings);
        let stage = if words.contains("forge") { "pr_creation" } else { "code_generation" };
        if stage == "pr_creation" {
            world.life.live(&["code_generation"]).await;
        }
        assert_failure(&world.life.fails(stage).await, ErrorKind::Permanent, &[words]);
    }
}

#[tokio::test]
async fn no_secret_reaches_an_agent_or_a_test() {
    let mut world = world("env > env.txt");
    world.life.set(&["test.command=env | sort; exit 1"]);
    world.life.live(&["code_generation"]).await;
    world.life.fails("testing").await;
    let agent = std::fs::read_to_string(world.life.tree().join("env.txt")).expect("environment");
    for seen in [agent, world.life.log()] {
        assert!(seen.contains("LONGHAUL_EXECUTION_ID="), "{seen}");
        assert!(
            !seen.contains("CARGO_PKG_NAME="),
            "nothing of the worker's own environment: {seen}"
        );
    }
}

//! SIGKILL of the whole worker at any moment, again and again.
//!
//! The worker is this test binary, started again: it goes through the chain and notes each output in
//! a file, as an event store would. Whatever it is doing when it is killed, in the end there is one
//! merge, one change request, and nothing of it still runs.

use crate::clients::git::fixture::{Repo, git_in};
use crate::stages::fixture::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const HELPER: &str = "stages::tests::killed::helper_worker";
/// More kills can be asked for; and kills that take every child along, as a power cut would. Those
/// may leave a lock of git in the user's repository, which is for a person to remove.
const KILLS: &str = "LONGHAUL_TEST_KILLS";
const KILL_ALL: &str = "LONGHAUL_TEST_KILL_ALL";
/// A slow machine may never get to the end between two kills.
const KILLS_EACH_MAX: u32 = 6;

fn start(world: &Path) -> Child {
    let me = std::env::current_exe().expect("path");
    let mut command = Command::new(me);
    command.args(["--ignored", "--exact", HELPER, "--nocapture"]).env("HELPER_WORLD", world);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

#[test]
fn a_worker_that_is_killed_at_any_moment_does_everything_once() {
    let kills = std::env::var(KILLS).ok().and_then(|n| n.parse().ok()).unwrap_or(12_u32);
    let (mut killed, mut tried) = (0, 0);
    while killed < kills {
        killed += one_execution(&mut tried);
        assert!(tried < 10 * kills, "only {killed} of {tried} were killed while they worked");
    }
}

/// Kills the worker of one execution until it has been too quick for us, and judges what came of it.
/// Returns how often it was killed.
fn one_execution(tried: &mut u32) -> u32 {
    let world = tempfile::tempdir().expect("directory");
    let repo = Repo::with(&[("a.txt", "a\n"), ("test.sh", "sleep 0.1\n")]);
    // A bare repository, or one in which the base is checked out, by turns.
    let repository = if tried.is_multiple_of(2) { repo.bare() } else { repo.path().to_owned() };
    std::fs::write(world.path().join("repository"), repository.as_os_str().as_encoded_bytes())
        .expect("written");
    let mut killed = 0;
    loop {
        let mut worker = start(world.path());
        if killed == KILLS_EACH_MAX {
            assert!(worker.wait().expect("waited").success(), "in the end it succeeds");
            break;
        }
        // The golden ratio spreads the moments evenly over the time that the rest may take.
        std::thread::sleep(Duration::from_millis(u64::from(*tried * 927 % 1_500)));
        *tried += 1;
        if let Some(status) = worker.try_wait().expect("asked") {
            assert!(status.success(), "what it finds does not stop it");
            break;
        }
        kill(&mut worker);
        worker.wait().expect("waited");
        killed += 1;
    }
    judge(&repository, world.path());
    killed
}

fn kill(worker: &mut Child) {
    if std::env::var_os(KILL_ALL).is_some() {
        for child in descendants(worker.id()) {
            let _ = Command::new("kill").args(["-9", &child.to_string()]).status();
        }
    }
    worker.kill().expect("killed");
}

fn descendants(parent: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    let all: Vec<u32> =
        lists.flat_map(|l| l.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    all.into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

fn judge(repository: &Path, world: &Path) {
    let git = |args: &[&str]| git_in(repository, args);
    assert_eq!(git(&["rev-list", "--merges", "--count", "main"]), "1");
    assert_eq!(git(&["rev-list", "--count", "main"]), "3", "the user's, the agent's, the merge");
    assert_eq!(git(&["show", "main:x.txt"]), "x");
    let records = git(&["for-each-ref", "--format=%(refname)", "refs/longhaul/changes/*/record"]);
    assert_eq!(records, "refs/longhaul/changes/1/record");
    let branches = git(&["for-each-ref", "--format=%(refname)", "refs/heads/longhaul"]);
    assert_eq!(branches.lines().count(), 1);
    assert_eq!(outputs(world).len(), CHAIN.len());
}

fn outputs(world: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read(world.join("outputs.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Does something only when the test above starts it, and so must not count as a test that passed.
#[tokio::test]
#[ignore = "not a test: the worker process that the test above kills"]
async fn helper_worker() {
    let Some(world) = std::env::var_os("HELPER_WORLD") else { return };
    let world = Path::new(&world);
    let repository = std::fs::read_to_string(world.join("repository")).expect("repository");
    let settings = ["test.command=sh test.sh"];
    let mut life = Life::new(1, &world.join("home"), Path::new(&repository), &settings);
    life.settings["agent"] = json!({"command": agent("sleep 0.2; echo x >> x.txt; sleep 0.1")});
    life.outputs = outputs(world);
    for stage in CHAIN {
        if !life.outputs.contains_key(stage) {
            life.live(&[stage]).await;
            let text = serde_json::to_vec(&life.outputs).expect("json");
            std::fs::write(world.join("outputs.new"), text).expect("written");
            std::fs::rename(world.join("outputs.new"), world.join("outputs.json"))
                .expect("renamed");
        }
    }
    assert_eq!(life.outputs.len(), CHAIN.len());
}

//! Faults that take processes, time or the network: zombies past their lease, many workers on one
//! database, a network that swallows replies. What the log says afterwards is what is judged.

use crate::cli::harness::{Program, Running};
use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::stages::{Fake, names, row};
use crate::worker::{Working, history, submit};
use longhaul::Longhaul;
use longhaul::store::Stored;
use longhaul::workflow::event::Event;
use longhaul::workflow::state::Status;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Stdio;
use uuid::Uuid;

const STAGES: [&str; 4] = ["one", "two", "three", "four"];

async fn engine(database: &TestDatabase, url: &str) -> Longhaul {
    let builder = database.builder().database(longhaul::Database::Url(url.to_owned()));
    let builder = STAGES.iter().fold(builder, |b, stage| b.stage(stage, Fake::ok()));
    builder.workflow(row("four", &STAGES)).build().await.expect("an engine")
}

/// Each result is recorded once, each start is by the worker that claimed last, and nothing starts
/// while it runs already. Gives the workers that worked on it.
#[track_caller]
fn one_at_a_time(events: &[Stored]) -> HashSet<Uuid> {
    let (mut holder, mut running, mut done) = (None, HashSet::new(), HashSet::new());
    let mut workers = HashSet::new();
    for (index, stored) in events.iter().enumerate() {
        assert_eq!(stored.sequence, index as u64 + 1, "no gap");
        match stored.happened().expect("readable").event {
            Event::ExecutionClaimed { worker, .. } => {
                holder = Some(worker);
                workers.insert(worker);
            }
            Event::StageStarted { stage, .. } => {
                let by = holder.map(|worker| format!("worker:{worker}"));
                assert_eq!(Some(stored.actor.clone()), by, "started by who holds it");
                assert!(!done.contains(&stage), "{stage} ran again");
                assert!(running.insert(stage), "two attempts at once");
            }
            Event::StageInterrupted { stage, .. } => {
                running.remove(&stage);
            }
            Event::StageSucceeded { stage, .. } => {
                assert!(running.remove(&stage) && done.insert(stage), "a result is recorded once");
            }
            _ => {}
        }
    }
    workers
}

/// Two, four and eight workers: nothing is run by two at once, and the work is spread.
#[tokio::test(flavor = "multi_thread")]
async fn many_workers_never_run_one_execution_at_once() {
    for count in [2_usize, 4, 8] {
        let database = TestDatabase::new().await;
        let submitter = engine(&database, &database.url).await;
        let mut ids = Vec::new();
        for _ in 0..60 {
            ids.push(submit(&submitter, "four").await);
        }
        let mut working = Vec::new();
        for _ in 0..count {
            let engine = engine(&database, &database.url).await;
            // Few slots, so that no worker can take everything before the others have begun.
            working.push(Working::with(&engine, |options| options.slots = 2));
        }
        let mut shares: HashMap<Uuid, usize> = HashMap::new();
        for id in ids {
            let view = submitter.wait_for_end(id).await.expect("ended");
            assert_eq!(view.status, Status::Completed);
            for worker in one_at_a_time(&history(&submitter, id).await) {
                *shares.entry(worker).or_default() += 1;
            }
        }
        assert!(shares.len() > 1, "one worker did all of it: {shares:?}");
        for worker in working {
            worker.end().await;
        }
    }
}

/// Every seventh reply to a statement is lost after it was committed, and its connection with it.
#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_after_the_commit_double_nothing_and_lose_nothing() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::before(&database.url);
    let engine_behind = engine(&database, &proxy.url()).await;
    let working = Working::start(&engine_behind);
    proxy.swallow_every(7);
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(submit(&engine_behind, "four").await);
    }
    let direct = engine(&database, &database.url).await;
    for id in &ids {
        let view = direct.wait_for_end(*id).await.expect("ended");
        assert_eq!(view.status, Status::Completed);
        one_at_a_time(&history(&direct, *id).await);
    }
    proxy.swallow_every(0);
    assert!(proxy.swallowed() > 5, "{} replies were lost", proxy.swallowed());
    let all: i64 = sqlx::query_scalar("select count(*) from executions")
        .fetch_one(direct.store().pool())
        .await
        .expect("a count");
    assert_eq!(all, ids.len() as i64, "a submission that was tried again made nothing twice");
    working.end().await;
}

/// What a stage of the zombie does: note who it is, and wait for the gate.
const GATED: &str = "name: gated
stages:
  - {name: wait, kind: command, config: {command: 'echo $$ >> PIDS; until test -e GATE; do sleep 0.05; done'}}
";

fn is_alive(pid: i32) -> bool {
    // A zombie of the process table has ended.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|s| s != 'Z')
}

fn pids(file: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn worker(program: &Program) -> Running {
    let mut command = program.command(&["worker"]);
    command.env("LONGHAUL_LEASE_MS", "1500").stdin(Stdio::null());
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a worker"))
}

fn signal(running: &Running, signal: i32) {
    // SAFETY: our own child that has not been waited for.
    unsafe { libc::kill(running.0.id() as i32, signal) };
}

/// SIGSTOP past the lease: another worker goes on, and when the zombie wakes it is refused, ends its
/// processes, and the log shows one result.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_past_its_lease_is_refused() {
    let program = Program::new().await;
    let home = program.database.home.path();
    let (pid_file, gate) = (home.join("pids"), home.join("gate"));
    let definition =
        GATED.replace("PIDS", &pid_file.to_string_lossy()).replace("GATE", &gate.to_string_lossy());
    let file = program.file("gated.yaml", &definition);
    program.run(&["workflows", "register", &file]).expect_code(0);
    let zombie = worker(&program);
    program.run(&["submit", "Wait for the gate", "--workflow", "gated"]).expect_code(0);
    let first = eventually("the stage runs", || async { pids(&pid_file).first().copied() }).await;
    signal(&zombie, libc::SIGSTOP);
    let heir = worker(&program);
    let store = program.database.store().await;
    let id = store.find_execution("@last").await.expect("an execution");
    // On the same machine the heir's attempt waits for the lock of the workspace, which the zombie has.
    eventually("another worker has taken over", || async {
        let names = names(&store.events(id, 0, 1_000).await.ok()?);
        (names.iter().filter(|n| n.starts_with("StageStarted")).count() == 2).then_some(())
    })
    .await;
    signal(&zombie, libc::SIGCONT);
    eventually("the zombie has ended what it ran", || async { (!is_alive(first)).then_some(()) })
        .await;
    eventually("the heir runs it", || async { pids(&pid_file).get(1).copied() }).await;
    std::fs::write(&gate, "").expect("the gate opens");
    eventually("it is completed", || async {
        (store.execution_row(id).await.ok()?.status == "completed").then_some(())
    })
    .await;
    let events = store.events(id, 0, 1_000).await.expect("events");
    let workers = one_at_a_time(&events);
    assert_eq!(workers.len(), 2, "{:?}", names(&events));
    let count = |name: &str| names(&events).iter().filter(|n| n.starts_with(name)).count();
    assert_eq!(
        (count("StageSucceeded"), count("StageInterrupted")),
        (1, 1),
        "{:?}",
        names(&events)
    );
    assert!(zombie.terminate().is_some() && heir.terminate().is_some(), "both end in order");
}

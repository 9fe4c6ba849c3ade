//! Programs that behave badly, for real.

use super::*;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

fn env() -> Environment {
    Environment::harmless(&[])
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("dir")
}

fn script(line: &str, dir: &TempDir) -> Command {
    Command::shell(line, dir.path()).env(env()).grace(Duration::from_millis(300))
}

async fn run_quietly(command: Command) -> Exit {
    run(command, &|_| {}, &CancellationToken::new()).await.expect("started")
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|s| !s.contains(") Z "))
}

async fn until_dead(pid: &str) {
    let began = Instant::now();
    while is_alive(pid) {
        assert!(began.elapsed() < Duration::from_secs(10), "{pid} still lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_written(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn both_streams_come_in_order_with_the_exit_code() {
    let dir = dir();
    let seen = Mutex::new(String::new());
    let sink = |text: &str| seen.lock().expect("lock").push_str(text);
    let line = "echo one; echo two >&2; echo three; exit 7";
    let exit = run(script(line, &dir), &sink, &CancellationToken::new()).await.expect("started");
    assert_eq!((exit.code, exit.signal, exit.ended_by), (Some(7), None, Ended::Itself));
    assert_eq!(exit.output, "one\ntwo\nthree\n");
    assert_eq!(*seen.lock().expect("lock"), exit.output);
    assert_eq!(exit.describe(), "exit code 7");
}

#[tokio::test]
async fn input_of_any_size_is_fed_while_output_is_read() {
    let dir = dir();
    let bytes = vec![b'x'; 3_000_000];
    let exit = run_quietly(script("cat", &dir).stdin(bytes.clone())).await;
    assert_eq!(exit.total_bytes, 3_000_000);
    let ignored = run_quietly(script("exec 0<&-; echo done", &dir).stdin(bytes)).await;
    assert_eq!((ignored.code, ignored.output.as_str()), (Some(0), "done\n"));
}

#[tokio::test]
async fn a_hundred_megabytes_take_little_memory() {
    let dir = dir();
    let line = "head -c 100000000 /dev/zero | tr '\\0' 'a'; echo; echo the end";
    let command = script(line, &dir).output_limit(200_000_000).keep(10_000);
    let exit = run_quietly(command).await;
    assert_eq!((exit.code, exit.total_bytes), (Some(0), 100_000_009));
    assert!(exit.output.len() < 10_100, "{}", exit.output.len());
    assert!(exit.output.ends_with("\nthe end\n") && exit.output.contains("bytes left out"));
}

#[tokio::test]
async fn endless_output_is_ended_at_its_limit() {
    let dir = dir();
    let exit = run_quietly(script("yes", &dir).output_limit(1_000_000).keep(1_000)).await;
    assert_eq!(exit.ended_by, Ended::OutputLimit);
    assert!(exit.total_bytes > 1_000_000 && exit.output.len() < 1_100);
    let short = run_quietly(script("head -c 2000 /dev/zero", &dir).output_limit(1_000)).await;
    assert_eq!(short.ended_by, Ended::OutputLimit, "also when it ended by itself meanwhile");
}

#[tokio::test]
async fn a_hanging_program_is_ended_with_its_children() {
    let dir = dir();
    let line = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; sleep 60' & wait";
    let began = Instant::now();
    let exit = run_quietly(script(line, &dir).timeout(Duration::from_millis(300))).await;
    assert_eq!((exit.ended_by, exit.signal), (Ended::Timeout, Some(9)));
    assert!(began.elapsed() < Duration::from_secs(5));
    until_dead(&until_written(&dir.path().join("child")).await).await;
}

#[tokio::test]
async fn sigterm_comes_first() {
    let dir = dir();
    let line = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";
    let command = script(line, &dir).timeout(Duration::from_millis(300));
    let exit = run_quietly(command.grace(Duration::from_secs(5))).await;
    assert_eq!((exit.ended_by, exit.code), (Ended::Timeout, Some(0)));
    assert!(exit.output.contains("bye\n"), "{}", exit.output);
}

#[tokio::test]
async fn a_child_left_in_the_group_is_ended_after_its_leader() {
    let dir = dir();
    let exit = run_quietly(script("sleep 60 & echo $!", &dir)).await;
    assert_eq!(exit.code, Some(0));
    until_dead(&exit.output).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_daemon_that_holds_the_pipe_does_not_hold_us() {
    let dir = dir();
    let began = Instant::now();
    let line = "setsid sh -c 'echo $$ > daemon; exec sleep 60' & sleep 0.2; echo started";
    let exit = run_quietly(script(line, &dir).marked(dir.path())).await;
    assert_eq!((exit.code, exit.output.as_str()), (Some(0), "started\n"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let daemon = until_written(&dir.path().join("daemon")).await;
    assert!(is_alive(&daemon), "it left the group");
    assert_eq!(end_leftovers(dir.path()).await, 1);
    until_dead(&daemon).await;
    assert_eq!(end_leftovers(dir.path()).await, 0);
}

#[tokio::test]
async fn leftovers_of_another_directory_are_left_alone() {
    let (mine, other) = (dir(), dir());
    let command = script("echo $$ > pid; exec sleep 60", &other).marked(other.path());
    let running = tokio::spawn(run_quietly(command));
    let pid = until_written(&other.path().join("pid")).await;
    assert_eq!(end_leftovers(mine.path()).await, 0);
    assert!(is_alive(&pid));
    running.abort();
    until_dead(&pid).await;
}

#[tokio::test]
async fn cancelling_and_dropping_end_the_group() {
    let dir = dir();
    let cancelled = CancellationToken::new();
    let line = "sh -c 'echo $$ > child; sleep 60' & wait";
    let (command, token) = (script(line, &dir), cancelled.clone());
    let running =
        tokio::spawn(async move { run(command, &|_| {}, &token).await.expect("started") });
    let child = until_written(&dir.path().join("child")).await;
    cancelled.cancel();
    assert_eq!(running.await.expect("joined").ended_by, Ended::Cancelled);
    until_dead(&child).await;

    std::fs::remove_file(dir.path().join("child")).expect("removed");
    let running = tokio::spawn(run_quietly(script(line, &dir)));
    let child = until_written(&dir.path().join("child")).await;
    running.abort();
    until_dead(&child).await;
}

#[tokio::test]
async fn nothing_is_inherited_but_what_is_given() {
    let dir = dir();
    let secret = std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")).count();
    assert!(secret > 0, "the test has something to hide");
    let exit = run_quietly(script("env", &dir).env(env().with("ONE", "1"))).await;
    assert!(exit.output.contains("ONE=1\n") && exit.output.contains("PATH="), "{}", exit.output);
    assert!(!exit.output.contains("CARGO_PKG_"), "{}", exit.output);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let dir = dir();
    std::fs::write(dir.path().join("plain"), "x").expect("written");
    let said = async |command: Command| {
        let result = run(command.env(env()), &|_| {}, &CancellationToken::new()).await;
        result.expect_err("refused").to_string()
    };
    let missing = said(Command::new("no-such-program", dir.path())).await;
    assert!(missing.starts_with("the program `no-such-program` was not found; "), "{missing}");
    let plain = said(Command::new("./plain", dir.path())).await;
    assert!(plain.contains("cannot be executed") && plain.contains("chmod +x"), "{plain}");
    let nowhere = said(Command::new("true", dir.path().join("gone"))).await;
    assert!(nowhere.contains("gone does not exist"), "{nowhere}");
}

#[tokio::test]
async fn captured_streams_are_apart_and_whole() {
    let dir = dir();
    let captured = capture(script("printf 'a\\0b'; echo words >&2; exit 3", &dir)).await;
    let captured = captured.expect("started");
    assert_eq!((captured.code, captured.stdout.as_slice()), (Some(3), b"a\0b".as_slice()));
    assert_eq!(captured.stderr, "words\n");
    let much = capture(script("yes", &dir).output_limit(1_000)).await.expect("started");
    assert_eq!(much.ended_by, Ended::OutputLimit);
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_dies_with_the_process_that_started_it() {
    // A thread of its own runtime stands for nothing here: only the death of the whole process
    // counts, so this starts the test binary again and kills it.
    let dir = dir();
    let me = std::env::current_exe().expect("path");
    let mut child = std::process::Command::new(me)
        .args(["--ignored", "--exact", "clients::process::tests::helper_that_is_killed"])
        .env("HELPER_DIRECTORY", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("helper");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let pid = runtime.block_on(until_written(&dir.path().join("pid")));
    child.kill().expect("killed");
    child.wait().expect("waited");
    runtime.block_on(until_dead(&pid));
}

/// Does something only when the test above starts it, and so must not count as a test that passed.
#[tokio::test]
#[ignore = "not a test: the process that the test above kills"]
async fn helper_that_is_killed() {
    let Some(directory) = std::env::var_os("HELPER_DIRECTORY") else { return };
    run_quietly(Command::shell("echo $$ > pid; exec sleep 60", directory).env(env())).await;
}

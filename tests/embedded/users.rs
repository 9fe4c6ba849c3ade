//! Who uses the cluster, and when Postgres may go.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use longhaul::embedded::{self, GuardianMode};

use crate::support::*;

#[tokio::test]
async fn a_short_command_does_not_take_the_database_from_a_worker() {
    let home = Home::new();
    let command = Client::attached(&home);
    let worker = home.attach().await;
    let mut connection = connect(&worker).await;
    let before = home.status();
    command.leave();

    // An absence can only be watched for a time: twice as long as it takes to stop when idle.
    let start = Instant::now();
    while start.elapsed() < IDLE * 2 {
        assert_eq!(value(&mut connection, "select 1::text").await, "1");
    }
    let after = home.status();
    assert_eq!(after.postgres_pid, before.postgres_pid);
    assert_eq!(after.guardian_pid, before.guardian_pid);

    drop((connection, worker));
    home.wait_until_gone().await;
}

#[tokio::test]
async fn the_second_to_come_is_served_at_once() {
    let home = Home::new();
    let _first = home.attach().await;
    let start = Instant::now();
    let _second = home.attach().await;
    // Some milliseconds; the bound is for a busy machine and still far below any start.
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    home.close().await;
}

#[tokio::test]
async fn those_who_come_at_the_same_moment_share_one_cluster() {
    let home = Home::new();
    let mut clients: Vec<Client> = (0..4).map(|_| Client::start(&home, |_| ())).collect();
    let (one, two) = tokio::join!(home.attach(), home.attach());
    for client in &mut clients {
        assert_eq!(client.outcome(), "attached");
    }
    let identity = "select system_identifier::text from pg_control_system()";
    let first = value(&mut connect(&one).await, identity).await;
    assert_eq!(first, value(&mut connect(&two).await, identity).await);
    let postmasters = processes_on(&home.data()).into_iter().filter(|pid| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        command.is_ok_and(|command| command.contains("config_file="))
    });
    assert_eq!(postmasters.count(), 1);
    clients.into_iter().for_each(Client::leave);
    home.close().await;
}

/// With no idle time at all, each one that comes meets a Postgres that stops.
#[tokio::test]
async fn a_newcomer_during_the_stop_waits_and_is_served() {
    let home = Home::with_idle(Duration::ZERO);
    for _ in 0..8 {
        let attachment = home.attach().await;
        assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
        drop(attachment);
        wait_until("the stop has begun", || !home.status().running).await;
    }
    home.wait_until_gone().await;
}

#[tokio::test]
async fn an_operator_can_stop_it_although_it_is_used_and_users_can_start_it_again() {
    let home = Home::new();
    let attachment = home.attach().await;
    assert!(embedded::stop(&home.config).await.unwrap());
    assert!(!home.status().running);
    assert!(!embedded::stop(&home.config).await.unwrap(), "nothing to stop any more");
    attachment.ensure_running().await.unwrap();
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    home.close().await;
}

#[tokio::test]
async fn started_by_an_operator_it_runs_without_users() {
    let home = Home::with_idle(Duration::ZERO);
    drop(embedded::start(&home.config, guardian(), &|_| ()).await.unwrap());
    let before = home.status();
    assert!(before.kept_running && !before.users_attached);
    let start = Instant::now();
    while start.elapsed() < IDLE {
        assert_eq!(home.status().postgres_pid, before.postgres_pid);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(embedded::stop(&home.config).await.unwrap());
    assert!(!home.status().kept_running);
    home.wait_until_gone().await;
}

#[tokio::test]
async fn a_guardian_on_a_thread_does_the_same() {
    let home = Home::new();
    let attach = || embedded::attach(&home.config, GuardianMode::InProcess, &|_| ());
    let attachment = attach().await.unwrap();
    assert_eq!(home.status().guardian_pid, Some(std::process::id()));
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    kill(home.status().postgres_pid.unwrap());
    assert_eq!(value(&mut connect_again(&attachment).await, "select 1::text").await, "1");
    drop(attachment);
    home.wait_until_gone().await;
}

/// The guardian must not hold the pipe of a command that has ended.
#[tokio::test]
async fn a_guardian_inherits_no_open_file() {
    let home = Home::with_idle(Duration::from_secs(3600));
    let script = "exec 3>&1; exec \"$0\" \"$@\"";
    let mut client = Client::start(&home, |command| {
        let program = command.get_program().to_owned();
        *command = Command::new("/bin/sh");
        command.args(["-c", script]).arg(program);
    });
    assert_eq!(client.outcome(), "attached");
    client.leave();
    assert!(home.status().running, "it outlives its starter");
    home.close().await;
}

#[tokio::test]
async fn ordinary_and_nameless_users_have_clusters_of_their_own() {
    if !is_root() {
        return;
    }
    for uid in [65534, 2_012_345] {
        let home = Home::new();
        std::os::unix::fs::chown(&home.path, Some(uid), Some(uid)).unwrap();
        let mut client = Client::start(&home, |command| {
            command.uid(uid).gid(uid);
        });
        assert_eq!(client.outcome(), "attached", "uid {uid}");
        let status = home.status();
        // Root comes as a guest: it may use what belongs to others.
        let guest = home.attach().await;
        assert_eq!(value(&mut connect(&guest).await, "select 1::text").await, "1");
        kill(status.guardian_pid.unwrap());
        wait_until("the postmaster has ended", || {
            !processes_on(&home.data()).contains(&status.postgres_pid.unwrap())
        })
        .await;
        drop(guest);
        client.leave();
        home.wait_until_gone().await;
    }
}

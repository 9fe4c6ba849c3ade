//! Processes are killed at the worst moments, and files are left as a crash leaves them.

use std::time::Duration;

use longhaul::embedded::{self, GuardianMode};

use crate::support::*;

#[tokio::test]
async fn a_killed_client_leaves_no_postgres_behind() {
    let home = Home::new();
    let client = Client::attached(&home);
    assert!(!processes_on(&home.data()).is_empty());
    client.kill();
    home.wait_until_gone().await;
}

#[tokio::test]
async fn a_killed_guardian_takes_postgres_along_and_the_next_one_has_every_row() {
    let home = Home::new();
    let attachment = home.attach().await;
    let mut connection = connect(&attachment).await;
    execute(&mut connection, "create table kept (n int)").await;
    execute(&mut connection, "insert into kept select generate_series(1, 1000)").await;
    let first = home.status();

    kill(first.guardian_pid.unwrap());
    wait_until("the postmaster has ended", || {
        !processes_on(&home.data()).contains(&first.postgres_pid.unwrap())
    })
    .await;
    let mut connection = connect_again(&attachment).await;
    assert_ne!(home.status().guardian_pid, first.guardian_pid);
    assert_eq!(value(&mut connection, "select count(*)::text from kept").await, "1000");
    home.close().await;
}

/// The guardian is killed without waiting for Postgres to end, which the next one must do.
#[tokio::test]
async fn guardians_may_die_in_quick_succession() {
    let home = Home::new();
    let attachment = home.attach().await;
    let mut connection = connect(&attachment).await;
    execute(&mut connection, "create table kept (n int)").await;
    for round in 1..=5 {
        let mut connection = connect_again(&attachment).await;
        execute(&mut connection, &format!("insert into kept values ({round})")).await;
        kill(home.status().guardian_pid.unwrap());
    }
    let mut connection = connect_again(&attachment).await;
    assert_eq!(value(&mut connection, "select count(*)::text from kept").await, "5");
    home.close().await;
}

#[tokio::test]
async fn a_killed_postmaster_comes_back_by_itself() {
    let home = Home::new();
    let attachment = home.attach().await;
    let mut connection = connect(&attachment).await;
    execute(&mut connection, "create table kept as select 1 as n").await;
    let first = home.status();

    kill(first.postgres_pid.unwrap());
    wait_until("another Postgres answers", || {
        let now = home.status();
        now.running && now.postgres_pid != first.postgres_pid
    })
    .await;

    assert_eq!(home.status().guardian_pid, first.guardian_pid);
    let mut connection = connect(&attachment).await;
    assert_eq!(value(&mut connection, "select count(*)::text from kept").await, "1");
    home.close().await;
}

#[tokio::test]
async fn guardian_and_postmaster_killed_together_lose_nothing() {
    let home = Home::new();
    let attachment = home.attach().await;
    let mut connection = connect(&attachment).await;
    execute(&mut connection, "create table kept (n int)").await;
    for round in 1..=3 {
        let mut connection = connect_again(&attachment).await;
        execute(&mut connection, &format!("insert into kept values ({round})")).await;
        let status = home.status();
        kill(status.guardian_pid.unwrap());
        kill(status.postgres_pid.unwrap());
    }
    let mut connection = connect_again(&attachment).await;
    assert_eq!(value(&mut connection, "select count(*)::text from kept").await, "3");
    home.close().await;
}

/// One writer, one row a commit; processes are killed at random moments. What was acknowledged is
/// there, in order and without gaps. `LONGHAUL_TEST_ROUNDS` sets the number of kills, default 6.
#[tokio::test]
async fn acknowledged_rows_survive_kills_at_random_moments() {
    let rounds: u64 = match std::env::var("LONGHAUL_TEST_ROUNDS") {
        Ok(rounds) => rounds.parse().unwrap(),
        Err(_) => 6,
    };
    let home = Home::new();
    let attachment = home.attach().await;
    execute(&mut connect(&attachment).await, "create table kept (n bigint primary key)").await;
    let mut acknowledged = 0_i64;
    for round in 0..rounds {
        let mut connection = connect_again(&attachment).await;
        let rows = value(&mut connection, "select count(*)::text from kept").await;
        let present: i64 = rows.parse().unwrap();
        // The last commit may have happened without its acknowledgement reaching us.
        assert!((acknowledged..=acknowledged + 1).contains(&present), "round {round}");
        let last = value(&mut connection, "select coalesce(max(n), 0)::text from kept").await;
        assert_eq!(last, rows, "round {round}: no gaps");
        acknowledged = present;
        let victims = kill_soon(&home, round);
        while insert(&mut connection, acknowledged + 1).await {
            acknowledged += 1;
        }
        victims.join().unwrap();
    }
    assert!(acknowledged > 0);
    home.close().await;
}

async fn insert(connection: &mut sqlx::PgConnection, n: i64) -> bool {
    let insert = sqlx::query("insert into kept values ($1)").bind(n);
    insert.execute(connection).await.is_ok()
}

/// The guardian, the postmaster, or both, after a time that differs from round to round.
fn kill_soon(home: &Home, round: u64) -> std::thread::JoinHandle<()> {
    let status = home.status();
    let (guardian, postgres) = (status.guardian_pid.unwrap(), status.postgres_pid.unwrap());
    let moment = Duration::from_millis(1 + (round * 7_919) % 400);
    std::thread::spawn(move || {
        std::thread::sleep(moment);
        match round % 3 {
            0 => kill(guardian),
            1 => kill(postgres),
            _ => {
                kill(guardian);
                kill(postgres);
            }
        }
    })
}

/// After a reboot the number in the file may be that of anything.
#[tokio::test]
async fn a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle() {
    let home = Home::new();
    drop(home.attach().await);
    embedded::stop(&home.config).await.unwrap();
    home.wait_until_gone().await;

    let stale = format!(
        "{}\n{}\n1700000000\n5432\n/tmp\n\n  1234567  42\nready   \n",
        std::process::id(),
        home.data().display()
    );
    std::fs::write(home.data().join("postmaster.pid"), stale).unwrap();
    let attachment = home.attach().await;
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    home.close().await;
}

#[tokio::test]
async fn an_initdb_killed_at_any_moment_does_not_harm_the_next_start() {
    let home = Home::new();
    for files in [0, 20, 400, 900] {
        let client = Client::start(&home, |_| ());
        wait_until("initdb has written so much", || drafted_files(&home) > files).await;
        kill(home.status().guardian_pid.unwrap());
        client.kill();
        home.wait_until_unguarded().await;
        assert!(!home.data().exists(), "a cluster appears only when it is complete");
    }
    let attachment = home.attach().await;
    assert_eq!(value(&mut connect(&attachment).await, "select 1::text").await, "1");
    home.close().await;
}

fn drafted_files(home: &Home) -> usize {
    let entries = std::fs::read_dir(&home.config.root).into_iter().flatten();
    let drafts = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("data.new-")
    });
    drafts.map(|draft| count_files(&draft.path())).sum()
}

fn count_files(directory: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count_files(&entry.path()),
            _ => 1,
        })
        .sum()
}

/// A guardian on a thread dies with its process, and Postgres with it.
#[tokio::test]
async fn a_killed_process_with_its_own_guardian_leaves_no_postgres_behind() {
    let home = Home::with_idle(Duration::from_secs(3600));
    let mut client = Client::start(&home, |command| {
        command.env("LONGHAUL_TEST_IN_PROCESS", "1");
    });
    assert_eq!(client.outcome(), "attached");
    assert!(!processes_on(&home.data()).is_empty());
    client.kill();
    home.wait_until_gone().await;
    assert_eq!(home.status().guardian_pid, None);
}

#[tokio::test]
async fn a_postgres_that_cannot_start_is_given_up_with_its_own_words() {
    let mut home = Home::new();
    let setting = ("shared_buffers".to_owned(), "a lot".to_owned());
    home.config.settings.push(setting);
    for mode in [guardian(), GuardianMode::InProcess] {
        let refused = embedded::attach(&home.config, mode, &|_| ()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("died 5 times") && error.contains("shared_buffers"), "{error}");
    }
    home.wait_until_unguarded().await;
}

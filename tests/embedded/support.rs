//! A home for one test, client processes that can be killed, and waiting for conditions.
//!
//! A client process is this test binary again, told to run [`client_process`] alone; it talks over
//! its standard streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longhaul::embedded::{self, Attachment, Config, GuardianMode, Status};
use sqlx::{Connection, PgConnection};

/// For what takes milliseconds on an idle machine; tests run on busy ones.
pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// A directory that is deleted at the end, with the configuration of a cluster in it.
pub(crate) struct Home {
    _directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As root, the user that runs Postgres must be able to pass.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let path = directory.path().canonicalize().unwrap();
        let config = Config { idle: IDLE, ..Config::for_home(Some(&path)).unwrap() };
        Home { _directory: directory, path, config }
    }

    pub(crate) fn with_idle(idle: Duration) -> Self {
        let mut home = Home::new();
        home.config.idle = idle;
        home
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.config.root.join("data")
    }

    pub(crate) fn status(&self) -> Status {
        embedded::status(&self.config).unwrap()
    }

    pub(crate) async fn attach(&self) -> Attachment {
        embedded::attach(&self.config, guardian(), &|_| ()).await.unwrap()
    }

    /// Ends what the test has started.
    pub(crate) async fn close(self) {
        embedded::stop(&self.config).await.unwrap();
        self.wait_until_gone().await;
    }

    /// Postgres and its guardian, which still has a last word to write when Postgres is gone.
    pub(crate) async fn wait_until_gone(&self) {
        let gone = || processes_on(&self.data()).is_empty();
        wait_until("no process of Postgres is left", gone).await;
        self.wait_until_unguarded().await;
    }

    pub(crate) async fn wait_until_unguarded(&self) {
        let gone = || self.status().guardian_pid.is_none();
        wait_until("the guardian has ended", gone).await;
    }
}

/// The program's own binary, as in real life.
pub(crate) fn guardian() -> GuardianMode {
    GuardianMode::Process {
        program: PathBuf::from(env!("CARGO_BIN_EXE_longhaul")),
        arguments: vec!["db".to_owned(), "guard".to_owned()],
    }
}

pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// All processes of a Postgres that works in this data directory, backends included.
pub(crate) fn processes_on(data: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let on_data = |pid: &u32| {
        let working_directory = std::fs::read_link(format!("/proc/{pid}/cwd"));
        working_directory.is_ok_and(|directory| directory == data)
    };
    pids.filter(on_data).collect()
}

/// SIGKILL to one process that the test knows by its number. It may have ended by itself.
pub(crate) fn kill(pid: u32) {
    assert!(pid > 1);
    let output = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
    output.unwrap();
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

pub(crate) async fn connect(attachment: &Attachment) -> PgConnection {
    let url = attachment.url(embedded::DATABASE);
    PgConnection::connect(&url).await.unwrap()
}

/// What a client does after a fault: a process that was killed takes a moment to die, and Postgres
/// may answer during that moment.
pub(crate) async fn connect_again(attachment: &Attachment) -> PgConnection {
    let start = Instant::now();
    loop {
        attachment.ensure_running().await.unwrap();
        match PgConnection::connect(&attachment.url(embedded::DATABASE)).await {
            Ok(connection) => return connection,
            Err(error) => assert!(start.elapsed() < SOON, "{error}"),
        }
    }
}

pub(crate) async fn value(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

/// A process that has attached, and stays so until it is told to leave or killed.
pub(crate) struct Client {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Client {
    /// Starts it; `change` may set its user or environment.
    pub(crate) fn start(home: &Home, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        change(&mut command);
        command.args(["--exact", "support::client_process", "--ignored", "--nocapture"]);
        command.env("LONGHAUL_TEST_HOME", &home.path);
        command.env("LONGHAUL_TEST_IDLE_MS", home.config.idle.as_millis().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Client { child, output }
    }

    /// Its first word: `attached`, or what went wrong.
    pub(crate) fn outcome(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended without a word");
            if let Some(outcome) = line.split("outcome: ").nth(1) {
                return outcome.trim().to_owned();
            }
        }
    }

    pub(crate) fn attached(home: &Home) -> Self {
        let mut client = Client::start(home, |_| ());
        assert_eq!(client.outcome(), "attached");
        client
    }

    pub(crate) fn leave(mut self) {
        self.child.stdin.take().unwrap().write_all(b"leave\n").unwrap();
        assert!(self.child.wait().unwrap().success());
        // Ends only when nobody holds the other end of the pipe any more, a guardian included.
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
    }

    pub(crate) fn kill(mut self) {
        kill(self.child.id());
        self.child.wait().unwrap();
    }
}

#[tokio::test]
#[ignore = "not a test: what a client process runs"]
async fn client_process() {
    if std::env::var_os("LONGHAUL_TEST_HOME").is_none() {
        return; // Somebody runs all ignored tests.
    }
    let variable = |name: &str| std::env::var(name).unwrap();
    let mut config = Config::for_home(Some(Path::new(&variable("LONGHAUL_TEST_HOME")))).unwrap();
    config.idle = Duration::from_millis(variable("LONGHAUL_TEST_IDLE_MS").parse().unwrap());
    let mode = match std::env::var_os("LONGHAUL_TEST_IN_PROCESS") {
        Some(_) => GuardianMode::InProcess,
        None => guardian(),
    };
    let attached = embedded::attach(&config, mode, &|_| ()).await;
    match &attached {
        Ok(_) => println!("outcome: attached"),
        Err(error) => println!("outcome: {}", error.to_string().replace('\n', " ")),
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

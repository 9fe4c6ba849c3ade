//! Running the program, and repositories to run it on.

use crate::support::database::TestDatabase;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_longhaul");

/// The program over a database and a home of its own.
pub(crate) struct Program {
    pub(crate) database: TestDatabase,
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The JSON of each line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).expect("a JSON line")).collect()
    }
}

impl Program {
    pub(crate) async fn new() -> Self {
        Program { database: TestDatabase::new().await }
    }

    /// A command, with quick retries and no settings of whoever runs the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_command(self.database.home.path(), arguments);
        command.env("DATABASE_URL", &self.database.url);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().expect("the program runs"))
    }

    /// Starts a worker process and leaves it running.
    pub(crate) fn start_worker(&self) -> Running {
        let mut command = self.command(&["worker"]);
        Running(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a worker"),
        )
    }

    /// Writes a file into the home and says where it is.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.database.home.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.to_string_lossy().into_owned()
    }
}

/// A command with a home, without a database.
pub(crate) fn bare_command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env("LONGHAUL_HOME", home)
        .env("LONGHAUL_HEARTBEAT_MS", "100")
        .env("LONGHAUL_POLL_MS", "10")
        .env("WORKFLOW_RETRY_DELAY", "10")
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG");
    command
}

/// A process that is killed when a test ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// SIGKILL, and the end of it.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        // SAFETY: our own child that has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A git repository whose test passes when `answer` holds 42.
pub(crate) struct Repository {
    pub(crate) directory: tempfile::TempDir,
}

/// An agent that gives the right answer.
pub(crate) const GOOD_AGENT: &str = "sh -c 'echo 42 > answer'";

impl Repository {
    pub(crate) fn new() -> Self {
        let test = "#!/bin/sh\ngrep -qx 42 answer && echo 'ok: the answer' || { echo 'not ok: answer is' $(cat answer); exit 1; }\n";
        Repository::with(&[("answer", "41\n"), ("test.sh", test)])
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let repository = Repository { directory };
        for (name, content) in files {
            let path = repository.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(&path, content).expect("a file");
            if name.ends_with(".sh") {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                    .expect("a mode");
            }
        }
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "--message", "start"]);
        repository
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(crate) fn text(&self) -> String {
        self.path().to_string_lossy().into_owned()
    }

    /// Runs git in it and gives what it printed.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path())
            .args(["-c", "user.name=Test", "-c", "user.email=test@localhost"])
            .args(arguments)
            .output()
            .expect("git runs");
        let ended = Ended::of(&output);
        assert_eq!(ended.code, 0, "git {arguments:?}: {}", ended.stderr);
        ended.stdout.trim().to_owned()
    }

    /// What a file holds on the main branch.
    #[track_caller]
    pub(crate) fn on_main(&self, file: &str) -> String {
        self.git(&["show", &format!("main:{file}")])
    }

    /// How many merge commits the main branch has.
    pub(crate) fn merges(&self) -> usize {
        self.git(&["rev-list", "--merges", "main"]).lines().count()
    }
}

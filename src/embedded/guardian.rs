//! The owner of Postgres: starts it, starts it again when it dies, and stops it when nobody has
//! used it for a while. One guardian per cluster, in a process of its own or on a thread.
//!
//! Does not know who the users are or what they do; it sees a lock. Nobody talks to it: it says
//! what it does in `owner.json` and reads a file that asks it to stop. Never: Postgres started from
//! a thread that may end before it, since the kernel ties the child to the thread.

use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use super::binaries;
use super::cluster;
use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::locks::{NobodyElse, OwnerLock, Users};
use super::patience::{DEATHS_MAX, Deaths, Idle};
use super::pidfile;
use super::privilege::RunAs;
use super::record::{Board, Phase};
use super::server::{Server, Site, trim_log};
use super::sys;

const TICK: Duration = Duration::from_millis(100);
const START_TICK: Duration = Duration::from_millis(20);
/// How long to try for the lock while others ask about it, each for microseconds.
const OWNER_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Guards the cluster until nobody needs it any more, and blocks meanwhile. For a process that does
/// nothing else: it takes over SIGTERM, SIGINT and SIGHUP, each of which stops Postgres in order.
///
/// Returns at once if somebody else guards the cluster.
///
/// # Errors
/// Postgres cannot be found, created, started or kept running. The text is also in `owner.json`,
/// from where the processes that wait for it read it.
pub fn guard(config: &Config) -> Result<()> {
    sys::note_stop_signals();
    let config = config.clone();
    // Not on the caller's thread: it may belong to an async runtime, in which no other may be made.
    let guardian = thread::Builder::new()
        .name("postgres-guardian".to_owned())
        .spawn(move || run(&config))
        .map_err(EmbeddedError::io("start", "a thread".as_ref()))?;
    guardian.join().unwrap_or_else(|_| {
        Err(EmbeddedError::Guardian {
            message: "its thread ended in a panic; Postgres has been stopped".to_owned(),
        })
    })
}

/// The same on the thread of the caller, which must do nothing else.
pub(super) fn run(config: &Config) -> Result<()> {
    config.check()?;
    let layout = Layout::prepare(config)?;
    let Some(_owner) = OwnerLock::acquire(&layout, OWNER_PATIENCE)? else {
        tracing::info!(root = %layout.root().display(), "somebody else guards this cluster");
        return Ok(());
    };
    let guardian = Guardian {
        config,
        layout: &layout,
        users: Users::of(&layout)?,
        board: Board::open(&layout)?,
    };
    let outcome = guardian.supervise_until_asked();
    guardian.last_word(&outcome);
    outcome
}

struct Guardian<'a> {
    config: &'a Config,
    layout: &'a Layout,
    users: Users,
    board: Board<'a>,
}

/// How one attempt to have Postgres ready went.
enum Start<'a> {
    Ready(Server<'a>),
    Died(Server<'a>, ExitStatus),
    Cancelled,
}

impl Guardian<'_> {
    /// An initdb that is cut short by a request to stop has failed, but nothing went wrong.
    fn supervise_until_asked(&self) -> Result<()> {
        match self.supervise() {
            Err(error) if self.asked_to_stop() => {
                tracing::info!(%error, "asked to stop while this happened");
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn supervise(&self) -> Result<()> {
        let site = self.prepare()?;
        let mut deaths = Deaths::default();
        loop {
            let (server, status) = match self.start(&site)? {
                Start::Cancelled => return Ok(()),
                Start::Died(server, status) => (server, status),
                Start::Ready(mut server) => match self.watch(&mut server)? {
                    None => return Ok(()),
                    Some(status) => (server, status),
                },
            };
            let pause = self.mourn(&server, status, &mut deaths)?;
            if self.sleep_through(pause) {
                return Ok(());
            }
        }
    }

    /// All that is done once, before the first start.
    fn prepare(&self) -> Result<Site<'_>> {
        let run_as = RunAs::decide(self.config, self.layout)?;
        run_as.check_reach(self.layout.root())?;
        if let Some(text) = run_as.announcement() {
            tracing::info!("{text}");
            self.board.change(|record| record.notice = Some(text))?;
        }
        let say = |text: &str| self.board.say_slow(text);
        let binaries = binaries::find(self.config, &run_as, self.layout.data_major()?, &say)?;
        let stopped = || self.asked_to_stop();
        let say = |text: &str| self.board.say(text);
        cluster::ensure(self.layout, &binaries, &run_as, &say, &stopped)?;
        let (uid, gid) = run_as.owner();
        let open = run_as.is_somebody_else();
        let socket_dir = self.layout.prepare_socket_dir(uid, gid, open)?;
        cluster::write_settings(self.layout, &run_as)?;
        self.board.change(|record| {
            record.socket_dir.clone_from(&socket_dir);
            record.binaries = Some(binaries.directory.clone());
            record.version = Some(binaries.version.clone());
            record.user = Some(run_as.name().to_owned());
        })?;
        Ok(Site { config: self.config, layout: self.layout, run_as, binaries, socket_dir })
    }

    /// Starts Postgres, again and again while the remains of an earlier one are in the way.
    fn start<'s>(&self, site: &'s Site<'_>) -> Result<Start<'s>> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let say = |text: &str| self.board.say(text);
            let stopped = || self.asked_to_stop();
            pidfile::clear(self.layout, self.config.start_deadline, &say, &stopped)?;
            if stopped() {
                return Ok(Start::Cancelled);
            }
            let started = self.start_once(site)?;
            match &started {
                Start::Died(server, _)
                    if server.met_an_earlier_one()
                        && begun.elapsed() < self.config.start_deadline => {}
                _ => return Ok(started),
            }
            say("waiting for the remains of an earlier Postgres to go away");
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn start_once<'s>(&self, site: &'s Site<'_>) -> Result<Start<'s>> {
        let version = &site.binaries.version;
        self.board.say(&format!("starting PostgreSQL {version}"));
        let mut server = Server::spawn(site)?;
        let pid = server.pid();
        self.board.change(|record| record.postgres_pid = Some(pid))?;
        loop {
            if let Some(status) = server.exited()? {
                return Ok(Start::Died(server, status));
            }
            if self.asked_to_stop() {
                return Ok(Start::Cancelled);
            }
            if server.is_ready() {
                match site.ensure_database() {
                    Ok(()) => {
                        self.board.phase(Phase::Ready, "PostgreSQL is ready")?;
                        return Ok(Start::Ready(server));
                    }
                    // It may have died under the question; the next look shows that.
                    Err(error) if server.exited()?.is_none() => return Err(error),
                    Err(_) => {}
                }
            }
            thread::sleep(START_TICK);
        }
    }

    /// Watches over a running Postgres. None: it was stopped, as it should be. Else how it died.
    fn watch(&self, server: &mut Server<'_>) -> Result<Option<ExitStatus>> {
        let mut idle = Idle::from_now();
        loop {
            if let Some(status) = server.exited()? {
                return Ok(Some(status));
            }
            if self.asked_to_stop() {
                self.stop(server, "asked to stop")?;
                return Ok(None);
            }
            // Held while Postgres stops, so that a newcomer waits and then starts the next
            // guardian.
            if let Some(_shut) = self.nobody_for_long(&mut idle)? {
                self.stop(server, "nobody uses it any more")?;
                return Ok(None);
            }
            trim_log(&self.layout.postgres_log());
            thread::sleep(TICK);
        }
    }

    fn nobody_for_long(&self, idle: &mut Idle) -> Result<Option<NobodyElse<'_>>> {
        let shut = self.users.shut_out()?;
        let quiet = shut.is_some() && !self.layout.keep().exists();
        let long_enough = idle.for_long(quiet, self.users.last_change(), self.config.idle);
        Ok(shut.filter(|_| long_enough))
    }

    fn stop(&self, server: &mut Server<'_>, why: &str) -> Result<()> {
        self.board.phase(Phase::Stopping, &format!("PostgreSQL is stopping: {why}"))?;
        server.stop()
    }

    fn asked_to_stop(&self) -> bool {
        sys::stop_signalled() || self.board.asked_to_stop()
    }

    /// Says that Postgres died, and how long to wait before it is started again.
    fn mourn(
        &self,
        server: &Server<'_>,
        status: ExitStatus,
        deaths: &mut Deaths,
    ) -> Result<Duration> {
        tracing::warn!(pid = server.pid(), %status, "Postgres died");
        self.board.phase(
            Phase::Starting,
            &format!("PostgreSQL ended unexpectedly ({status}); it is started again"),
        )?;
        deaths.pause(Instant::now()).ok_or_else(|| EmbeddedError::Postgres {
            data: self.layout.data(),
            what: format!("died {DEATHS_MAX} times within 5 minutes ({status})"),
            log: self.layout.postgres_log(),
            output: server.said(),
        })
    }

    /// Whether somebody asked us to stop meanwhile.
    fn sleep_through(&self, pause: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < pause && !self.asked_to_stop() {
            thread::sleep(START_TICK);
        }
        self.asked_to_stop()
    }

    fn last_word(&self, outcome: &Result<()>) {
        let said = match outcome {
            Ok(()) => self.board.phase(Phase::Stopped, "PostgreSQL has stopped"),
            Err(error) => self.board.phase(Phase::Failed, &error.to_string()),
        };
        if let Err(error) = said {
            tracing::warn!(%error, "owner.json could not be written");
        }
    }
}

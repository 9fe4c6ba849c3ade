//! Running a program to its end, within its limits.
//!
//! `run` is for programs whose output people read: text, live, bounded. `capture` is for programs
//! whose output we read ourselves: bytes, complete or not at all.

use super::command::{Command, ProcessError};
use super::running::{Intake, Running, Step, Stream};
use super::text::{Decoder, Kept};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Why a program is no longer running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ended by itself.
    Itself,
    /// It ran too long.
    Timeout,
    /// It printed too much.
    OutputLimit,
    /// Nobody wants it any more.
    Cancelled,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit code, if it had one.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why it is no longer running.
    pub ended_by: Ended,
    /// What it printed on both streams in order; the middle is left out when it was too much.
    pub output: String,
    /// What it printed, in bytes.
    pub total_bytes: u64,
    /// How long it ran.
    pub duration: Duration,
}

impl Exit {
    /// Whether it ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        self.ended_by == Ended::Itself && self.code == Some(0)
    }

    /// In words: `exit code 3`, `ended by signal 11`.
    pub fn describe(&self) -> String {
        match (self.ended_by, self.code, self.signal) {
            (Ended::Timeout, ..) => {
                format!("ended after {} s: it ran too long", self.duration.as_secs())
            }
            (Ended::OutputLimit, ..) => {
                format!("ended after {} MB: it printed too much", self.total_bytes / 1_000_000)
            }
            (Ended::Cancelled, ..) => "ended: it was cancelled".to_owned(),
            (Ended::Itself, Some(code), _) => format!("exit code {code}"),
            (Ended::Itself, None, Some(signal)) => format!("ended by signal {signal}"),
            (Ended::Itself, None, None) => "ended in an unknown way".to_owned(),
        }
    }
}

/// Takes what a program prints, as it comes.
pub type Sink<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// Runs a program; `sink` gets all of its output as it comes. Dropping the future ends the program and
/// all its children.
pub async fn run(
    command: Command,
    sink: &Sink<'_>,
    cancelled: &CancellationToken,
) -> Result<Exit, ProcessError> {
    let mut intake = Reading {
        decoder: Decoder::default(),
        kept: Kept::new(command.kept_bytes),
        total_bytes: 0,
        limit_bytes: command.output_limit_bytes,
        sink,
    };
    let driven = drive(command, true, &mut intake, cancelled).await?;
    Ok(Exit {
        code: driven.status.and_then(|s| s.code()),
        signal: driven.status.and_then(|s| s.signal()),
        ended_by: driven.ended_by,
        output: intake.kept.into_text(),
        total_bytes: intake.total_bytes,
        duration: driven.duration,
    })
}

/// How a program ended whose output is read by us.
#[derive(Debug)]
pub struct Captured {
    /// Its exit code, if it had one.
    pub code: Option<i32>,
    /// Why it is no longer running.
    pub ended_by: Ended,
    /// Its standard output; incomplete unless it ended by itself.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: String,
}

/// Runs a program and returns its streams apart. The output limit is for its standard output.
pub async fn capture(command: Command) -> Result<Captured, ProcessError> {
    let mut intake = Catching {
        stdout: Vec::new(),
        stderr: Kept::new(16 * 1024),
        decoder: Decoder::default(),
        limit_bytes: command.output_limit_bytes,
        is_over: false,
    };
    let driven = drive(command, false, &mut intake, &CancellationToken::new()).await?;
    Ok(Captured {
        code: driven.status.and_then(|s| s.code()),
        ended_by: driven.ended_by,
        stdout: intake.stdout,
        stderr: intake.stderr.into_text(),
    })
}

/// An intake that can have had enough.
trait Bounded: Intake {
    fn is_over(&self) -> bool;
}

struct Driven {
    status: Option<ExitStatus>,
    ended_by: Ended,
    duration: Duration,
}

async fn drive(
    command: Command,
    is_merged: bool,
    intake: &mut impl Bounded,
    cancelled: &CancellationToken,
) -> Result<Driven, ProcessError> {
    let program = command.program.to_string_lossy().into_owned();
    let began = Instant::now();
    let timeout = command.timeout;
    let mut running = Running::start(command, is_merged).await?;
    let driven = async {
        let mut ended_by = watch(&mut running, intake, timeout, cancelled).await?;
        if ended_by != Ended::Itself {
            running.end(intake).await?;
        }
        let status = running.leave(intake).await?;
        if ended_by == Ended::Itself && intake.is_over() {
            ended_by = Ended::OutputLimit;
        }
        Ok(Driven { status, ended_by, duration: began.elapsed() })
    };
    driven.await.map_err(|source| ProcessError::System { program, source })
}

/// Until the program ends, or has to be ended.
async fn watch(
    running: &mut Running,
    intake: &mut impl Bounded,
    timeout: Duration,
    cancelled: &CancellationToken,
) -> std::io::Result<Ended> {
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    while !intake.is_over() {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return Ok(Ended::Cancelled),
            () = &mut deadline => return Ok(Ended::Timeout),
            step = running.step(intake) => match step? {
                Step::Went => {}
                Step::Ended => return Ok(Ended::Itself),
            },
        }
    }
    Ok(Ended::OutputLimit)
}

/// Both streams as text, bounded.
struct Reading<'a> {
    decoder: Decoder,
    kept: Kept,
    total_bytes: u64,
    limit_bytes: u64,
    sink: &'a Sink<'a>,
}

impl Intake for Reading<'_> {
    fn take(&mut self, _both: Stream, bytes: &[u8]) {
        self.total_bytes += bytes.len() as u64;
        let text = self.decoder.decode(bytes);
        self.kept.push(&text);
        (self.sink)(&text);
    }
}

impl Bounded for Reading<'_> {
    fn is_over(&self) -> bool {
        self.total_bytes > self.limit_bytes
    }
}

/// Standard output as bytes, standard error as text.
struct Catching {
    stdout: Vec<u8>,
    stderr: Kept,
    decoder: Decoder,
    limit_bytes: u64,
    is_over: bool,
}

impl Intake for Catching {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out if self.stdout.len() as u64 + bytes.len() as u64 > self.limit_bytes => {
                self.is_over = true;
            }
            Stream::Out => self.stdout.extend_from_slice(bytes),
            Stream::Err => self.stderr.push(&self.decoder.decode(bytes)),
        }
    }
}

impl Bounded for Catching {
    fn is_over(&self) -> bool {
        self.is_over
    }
}

//! A program that runs: its streams are read and fed at the same time, so that neither side can
//! block the other.
//!
//! Knows nothing of limits; `run` decides when it is enough.

use super::command::{Command, ProcessError, Stdin};
use super::group::Group;
use super::spawn;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, timeout_at};

/// Size of one read.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a stream may stay open after the program has ended. A grandchild that made itself a
/// daemon still holds it, and would hold us too.
const LINGER: Duration = Duration::from_millis(500);

/// How long we wait for a process to vanish after SIGKILL; one that sleeps in the kernel may not.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Which stream a piece came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output, or both when they share a pipe.
    Out,
    /// Standard error.
    Err,
}

/// Takes what a program prints.
pub(super) trait Intake: Send {
    /// Takes a piece.
    fn take(&mut self, stream: Stream, bytes: &[u8]);
}

/// What a running program did next.
pub(super) enum Step {
    /// It printed, closed a stream or read some input.
    Went,
    /// It ended.
    Ended,
}

/// A running program.
pub(super) struct Running {
    child: Child,
    group: Group,
    out: Option<Receiver>,
    err: Option<Receiver>,
    input: Option<Input>,
    pieces: [Box<[u8]>; 2],
    grace: Duration,
    status: Option<ExitStatus>,
}

struct Input {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    written: usize,
}

impl Running {
    /// Starts `command`. With `is_merged` both streams share one pipe, which keeps their order.
    pub(super) async fn start(command: Command, is_merged: bool) -> Result<Self, ProcessError> {
        match Running::try_start(&command, is_merged).await {
            Ok(unfed) => Ok(unfed.fed(command.stdin)),
            Err(source) => Err(ProcessError::of_spawn(&command, source)),
        }
    }

    async fn try_start(command: &Command, is_merged: bool) -> io::Result<Unfed> {
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = match is_merged {
            true => (None, Stdio::from(out_end.try_clone()?)),
            false => io::pipe().map(|(err, end)| (Some(err), Stdio::from(end)))?,
        };
        let out = Receiver::from_owned_fd(out.into())?;
        let err = err.map(|err| Receiver::from_owned_fd(err.into())).transpose()?;
        let started = spawn::start(command, Stdio::from(out_end), err_end).await?;
        note(command, started.child.id())?;
        Ok(Unfed { started, out, err, grace: command.grace })
    }

    /// Waits for the next thing to happen and hands what was printed to `intake`. Nothing is lost
    /// when the future is dropped.
    pub(super) async fn step(&mut self, intake: &mut impl Intake) -> io::Result<Step> {
        let [out_piece, err_piece] = &mut self.pieces;
        tokio::select! {
            read = read(&mut self.out, out_piece), if self.out.is_some() => {
                take(read?, &mut self.out, out_piece, |bytes| intake.take(Stream::Out, bytes));
            }
            read = read(&mut self.err, err_piece), if self.err.is_some() => {
                take(read?, &mut self.err, err_piece, |bytes| intake.take(Stream::Err, bytes));
            }
            is_fed = feed(&mut self.input), if self.input.is_some() => {
                if is_fed {
                    self.input = None;
                }
            }
            status = self.child.wait(), if self.status.is_none() => {
                self.status = Some(status?);
                return Ok(Step::Ended);
            }
        }
        Ok(Step::Went)
    }

    /// Ends the program: asks, waits for its grace, then insists. Goes on reading meanwhile.
    pub(super) async fn end(&mut self, intake: &mut impl Intake) -> io::Result<()> {
        self.group.terminate();
        if !self.ends_before(Instant::now() + self.grace, intake).await? {
            self.group.kill();
            if !self.ends_before(Instant::now() + KILL_WAIT, intake).await? {
                tracing::warn!(pid = self.child.id(), "a process does not end even by SIGKILL");
            }
        }
        Ok(())
    }

    async fn ends_before(&mut self, at: Instant, intake: &mut impl Intake) -> io::Result<bool> {
        while self.status.is_none() {
            match timeout_at(at, self.step(intake)).await {
                Ok(step) => step?,
                Err(_) => return Ok(false),
            };
        }
        Ok(true)
    }

    /// Ends whatever the program left in its group, and reads what is still in the pipes.
    pub(super) async fn leave(
        mut self,
        intake: &mut impl Intake,
    ) -> io::Result<Option<ExitStatus>> {
        self.group.kill_rest();
        self.input = None;
        let until = Instant::now() + LINGER;
        while self.out.is_some() || self.err.is_some() {
            match timeout_at(until, self.step(intake)).await {
                Ok(step) => step?,
                Err(_) => break,
            };
        }
        Ok(self.status)
    }
}

/// Linux needs no note: the mark in the environment is enough.
#[cfg(target_os = "linux")]
fn note(_command: &Command, _id: Option<u32>) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn note(command: &Command, id: Option<u32>) -> io::Result<()> {
    let (Some(directory), Some(id)) = (&command.mark, id) else { return Ok(()) };
    super::group_note::write(&super::leftovers::note_of(directory), id)
}

/// A started program that has not been given its input.
struct Unfed {
    started: spawn::Started,
    out: Receiver,
    err: Option<Receiver>,
    grace: Duration,
}

impl Unfed {
    fn fed(self, stdin: Stdin) -> Running {
        let spawn::Started { mut child, group } = self.started;
        let input = match (child.stdin.take(), stdin) {
            (Some(pipe), Stdin::Bytes(bytes)) => Some(Input { pipe, bytes, written: 0 }),
            (_, Stdin::Bytes(_) | Stdin::Empty | Stdin::File(_)) => None,
        };
        let piece = || vec![0; PIECE_BYTES].into_boxed_slice();
        Running {
            child,
            group,
            out: Some(self.out),
            err: self.err,
            input,
            pieces: [piece(), piece()],
            grace: self.grace,
            status: None,
        }
    }
}

async fn read(pipe: &mut Option<Receiver>, piece: &mut [u8]) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read(piece).await,
        None => std::future::pending().await,
    }
}

fn take(count: usize, pipe: &mut Option<Receiver>, piece: &[u8], mut give: impl FnMut(&[u8])) {
    match count {
        0 => *pipe = None,
        count => give(&piece[..count]),
    }
}

/// Writes some input; true when nothing is left to write. A program that closed its input early
/// does not want the rest.
async fn feed(input: &mut Option<Input>) -> bool {
    let Some(input) = input else { return std::future::pending().await };
    match input.pipe.write(&input.bytes[input.written..]).await {
        Ok(count) => input.written += count,
        Err(_) => return true,
    }
    input.written == input.bytes.len()
}

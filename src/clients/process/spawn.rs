//! Starting a program so that it dies when this process does.
//!
//! Linux can end a child together with its parent, but "parent" means the *thread* that forked, and
//! the runtime ends idle threads. So one thread that never ends starts all programs that are bound
//! to us. That covers the program itself; its own children are left to `end_leftovers`. Gentle
//! programs (git) are started directly and outlive us, since they end by themselves.

use super::command::{Command, Stdin};
use super::group::Group;
use super::os;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A started program; dropping it ends its group.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) group: Group,
}

struct Request {
    command: tokio::process::Command,
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Started>>,
}

/// Starts `command` with the given standard streams.
pub(super) async fn start(command: &Command, out: Stdio, err: Stdio) -> io::Result<Started> {
    let mut prepared = prepare(command, out, err)?;
    if command.is_gentle {
        return start_here(&mut prepared, true);
    }
    os::die_with_parent(&mut prepared);
    let (reply, answer) = oneshot::channel();
    let request = Request { command: prepared, runtime: Handle::current(), reply };
    spawner().send(request).map_err(|_| io::Error::other("the spawning thread has ended"))?;
    answer.await.map_err(|_| io::Error::other("the spawning thread gave no answer"))?
}

fn prepare(command: &Command, out: Stdio, err: Stdio) -> io::Result<tokio::process::Command> {
    let mut prepared = tokio::process::Command::new(&command.program);
    prepared.args(&command.args).current_dir(&command.cwd).env_clear().envs(command.env.iter());
    prepared.stdin(match &command.stdin {
        Stdin::Empty => Stdio::null(),
        Stdin::Bytes(_) => Stdio::piped(),
        Stdin::File(file) => Stdio::from(file.try_clone()?),
    });
    prepared.stdout(out).stderr(err).process_group(0);
    Ok(prepared)
}

fn start_here(command: &mut tokio::process::Command, is_gentle: bool) -> io::Result<Started> {
    let child = command.spawn()?;
    let group = Group::of(child.id(), is_gentle);
    Ok(Started { child, group })
}

fn spawner() -> &'static Sender<Request> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        let serve = move || requests.into_iter().for_each(answer);
        if let Err(error) = std::thread::Builder::new().name("longhaul-spawn".into()).spawn(serve) {
            tracing::error!(%error, "no thread to start programs from");
        }
        sender
    })
}

fn answer(mut request: Request) {
    let _inside = request.runtime.enter();
    // A runtime that is shutting down panics here; the thread has to survive that, since every other
    // program of this process is started by it, and would die with it.
    let started = catch_unwind(AssertUnwindSafe(|| start_here(&mut request.command, false)));
    let started = started.unwrap_or_else(|_| Err(io::Error::other("the runtime is shutting down")));
    // When nobody waits for the answer any more, it is dropped, and its group ends.
    let _ = request.reply.send(started);
}

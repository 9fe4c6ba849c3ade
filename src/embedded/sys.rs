//! The few calls that only libc offers, each behind a safe function: who we are, who others are,
//! signals, and what a child does between fork and exec.
//!
//! All `unsafe` of the module is here, each with its reason. Does not know Postgres. Never:
//! allocation, locking or logging between fork and exec, where only async-signal-safe calls are
//! allowed because another thread may have held any lock at the fork.

#![allow(unsafe_code, reason = "libc has no safe interface; each block says why it holds")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the kernel can tell a child that its parent died. Elsewhere `leash.rs` does it.
pub(super) const PARENT_DEATH_SIGNAL: bool = cfg!(target_os = "linux");

/// A line of the passwd database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// How a child of ours is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Postgres: roll back, write a checkpoint, end.
    Interrupt,
    /// Postgres: end at once; the next start recovers.
    Quit,
    /// End without a word.
    Kill,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Quit => libc::SIGQUIT,
            Signal::Kill => libc::SIGKILL,
        }
    }
}

/// The uid this process acts with.
pub(super) fn effective_uid() -> u32 {
    // SAFETY: no preconditions, cannot fail.
    unsafe { libc::geteuid() }
}

/// The gid this process acts with.
pub(super) fn effective_gid() -> u32 {
    // SAFETY: no preconditions, cannot fail.
    unsafe { libc::getegid() }
}

/// The account of this name.
pub(super) fn account_by_name(name: &str) -> Option<Account> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string that outlives the call; the rest comes from `look_up`.
    look_up(|entry, buffer, size, found| unsafe {
        libc::getpwnam_r(name.as_ptr(), entry, buffer, size, found)
    })
}

/// The account of this number.
pub(super) fn account_by_uid(uid: u32) -> Option<Account> {
    // SAFETY: all pointers come from `look_up`.
    look_up(|entry, buffer, size, found| unsafe {
        libc::getpwuid_r(uid, entry, buffer, size, found)
    })
}

type PasswdCall<'a> = &'a dyn Fn(
    *mut libc::passwd,
    *mut libc::c_char,
    libc::size_t,
    *mut *mut libc::passwd,
) -> libc::c_int;

fn look_up(
    call: impl Fn(
        *mut libc::passwd,
        *mut libc::c_char,
        libc::size_t,
        *mut *mut libc::passwd,
    ) -> libc::c_int,
) -> Option<Account> {
    let call: PasswdCall<'_> = &call;
    // Directory services can return long lines, so the buffer grows when it is too small.
    [1 << 12, 1 << 16, 1 << 20].into_iter().find_map(|size| look_up_with(call, size))
}

fn look_up_with(call: PasswdCall<'_>, size: usize) -> Option<Account> {
    // SAFETY: `passwd` is plain old data, for which zeroes are a valid value.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut buffer: Vec<libc::c_char> = vec![0; size];
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    let code = call(&mut entry, buffer.as_mut_ptr(), buffer.len(), &mut found);
    if code != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call succeeded, so `pw_name` points to a C string inside `buffer`, still alive.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    Some(Account { name: name.to_str().ok()?.to_owned(), uid: entry.pw_uid, gid: entry.pw_gid })
}

/// Sends a signal to one process. Refuses 0 and 1, which would mean "my whole group" and init.
pub(super) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = single_process(pid)?;
    // SAFETY: no memory is involved.
    match unsafe { libc::kill(pid, signal.number()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a process of this number exists, whoever owns it.
pub(super) fn alive(pid: u32) -> bool {
    let Ok(pid) = single_process(pid) else {
        return pid == 1;
    };
    // SAFETY: signal 0 only asks; no memory is involved.
    let asked = unsafe { libc::kill(pid, 0) };
    asked == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

fn single_process(pid: u32) -> io::Result<libc::pid_t> {
    match libc::pid_t::try_from(pid) {
        Ok(pid) if pid > 1 => Ok(pid),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// Makes the child a session of its own that inherits nothing but its three standard streams, so
/// that it outlives us, our terminal, and any pipe that somebody reads from us.
pub(super) fn detach(command: &mut Command) {
    // SAFETY: the closure calls only async-signal-safe functions and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            close_the_rest_on_exec();
            match libc::setsid() {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
}

/// A one-entry map from a uid and gid inside a user namespace to our own outside.
#[derive(Clone, Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has user namespaces"))]
pub(super) struct Namespace {
    uid_map: CString,
    gid_map: CString,
}

impl Namespace {
    /// `inside` is who the child believes to be.
    pub(super) fn mapping(inside: &Account) -> Option<Self> {
        let uid_map = format!("{} {} 1", inside.uid, effective_uid());
        let gid_map = format!("{} {} 1", inside.gid, effective_gid());
        Some(Namespace {
            uid_map: CString::new(uid_map).ok()?,
            gid_map: CString::new(gid_map).ok()?,
        })
    }
}

/// Ties the child's life to the thread that spawns it: it gets `signal` when that thread ends. The
/// standard library sets uid and gid before it calls this, which matters, since the kernel clears
/// the wish when they change. With a namespace, the child enters it first.
pub(super) fn bind_to_parent(command: &mut Command, signal: Signal, namespace: Option<&Namespace>) {
    let parent = std::process::id();
    let namespace = namespace.cloned();
    // SAFETY: the closure calls only async-signal-safe functions and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            close_the_rest_on_exec();
            if let Some(namespace) = &namespace {
                enter(namespace)?;
            }
            die_with_parent(signal, parent)
        });
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(signal: Signal, parent: u32) -> io::Result<()> {
    // SAFETY: this form of prctl takes a number and touches no memory; getppid cannot fail.
    unsafe {
        let number = signal.number() as libc::c_ulong;
        if libc::prctl(libc::PR_SET_PDEATHSIG, number) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died between fork and the line above; then no signal ever comes.
        if libc::getppid() as u32 != parent {
            libc::_exit(1);
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_signal: Signal, _parent: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn enter(namespace: &Namespace) -> io::Result<()> {
    // SAFETY: called in a child that has one thread, as CLONE_NEWUSER demands; no memory involved.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return Err(io::Error::last_os_error());
    }
    write_to(c"/proc/self/uid_map", &namespace.uid_map)?;
    // The kernel wants groups frozen before an unprivileged process may map its gid.
    write_to(c"/proc/self/setgroups", c"deny")?;
    write_to(c"/proc/self/gid_map", &namespace.gid_map)
}

#[cfg(not(target_os = "linux"))]
fn enter(_namespace: &Namespace) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(target_os = "linux")]
fn write_to(path: &CStr, text: &CStr) -> io::Result<()> {
    // SAFETY: both are C strings that outlive the calls; the descriptor is ours alone.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        let length = text.count_bytes();
        let written = libc::write(file, text.as_ptr().cast(), length);
        let outcome = match usize::try_from(written) {
            Ok(count) if count == length => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        libc::close(file);
        outcome
    }
}

/// Marks every descriptor above the standard streams close-on-exec. Marked rather than closed: the
/// standard library reports a failed exec through one of them.
fn close_the_rest_on_exec() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: close_range with this flag only changes descriptor flags.
        let done = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3 as libc::c_uint,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if done == 0 {
            return;
        }
    }
    // SAFETY: sysconf and fcntl on a number touch no memory; a closed descriptor is an error we
    // ignore.
    unsafe {
        let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 1 << 16);
        for descriptor in 3..limit as libc::c_int {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

static STOP_SIGNALLED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stop_signal(_number: libc::c_int) {
    STOP_SIGNALLED.store(true, Ordering::Relaxed);
}

/// From now on SIGTERM, SIGINT and SIGHUP are only noted. For a process of our own; a program that
/// embeds the library keeps its handlers.
pub(super) fn note_stop_signals() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: the handler stores to an atomic, which is async-signal-safe.
        unsafe {
            let handler = note_stop_signal as extern "C" fn(libc::c_int);
            libc::signal(signal, handler as libc::sighandler_t);
        }
    }
}

/// Whether such a signal came.
pub(super) fn stop_signalled() -> bool {
    STOP_SIGNALLED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_wild_uid_has_none() {
        let root = account_by_uid(0).unwrap();
        assert_eq!(account_by_name(&root.name).unwrap().uid, 0);
        assert_eq!(account_by_uid(2_345_678_901), None);
        assert_eq!(account_by_name("nobody-of-this-name"), None);
    }

    #[test]
    fn signals_go_to_single_processes_only() {
        assert!(alive(std::process::id()));
        for dangerous in [0, 1, u32::MAX] {
            assert!(send(dangerous, Signal::Interrupt).is_err());
        }
    }
}

//! The calls to the operating system that have no safe wrapper: signals to a group, and the request
//! to die with one's parent. All `unsafe` of this folder is here.

/// A process id, as the system counts them.
pub(super) type Pid = libc::pid_t;

/// Sends `signal` to every process of the group `id`; false when there is none any more.
pub(super) fn signal_group(id: Pid, signal: libc::c_int) -> bool {
    // Groups 0 and 1 would mean our own group and, negated, every process there is.
    if id <= 1 {
        return false;
    }
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { libc::kill(-id, signal) == 0 }
}

/// Sends SIGKILL to one process; false when there is none, or it is not ours.
#[cfg(target_os = "linux")]
pub(super) fn kill_process(id: Pid) -> bool {
    // SAFETY: kill takes two integers and touches no memory of ours.
    id > 1 && unsafe { libc::kill(id, libc::SIGKILL) == 0 }
}

/// Our user id.
#[cfg(target_os = "linux")]
pub(super) fn user_id() -> libc::uid_t {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// Makes the child of `command` die when the thread that starts it does. See `spawn` for why that
/// thread must live as long as the process.
#[cfg(target_os = "linux")]
pub(super) fn die_with_parent(command: &mut tokio::process::Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: prctl and getppid are async-signal-safe and take integers only.
        let (done, parent_now) =
            unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        // A parent that died before prctl would never be noticed.
        if done != 0 || parent_now.unsigned_abs() != parent {
            return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are
    // allowed; it makes two of those and allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// Nothing like it exists outside Linux; `end_leftovers` is the net there.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_command: &mut tokio::process::Command) {}

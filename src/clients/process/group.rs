//! A process group, and the promise that it ends.
//!
//! Dropping a `Group` ends it: a worker that gives up an attempt leaves nothing behind.

use super::os::{self, Pid};

/// The group of a program that we started. Its id is the program's process id.
#[derive(Debug)]
pub(super) struct Group {
    id: Option<Pid>,
    is_gentle: bool,
}

impl Group {
    /// The group led by the process `id`. A gentle one gets SIGTERM when it is dropped.
    pub(super) fn of(id: Option<u32>, is_gentle: bool) -> Self {
        Group { id: id.and_then(|id| Pid::try_from(id).ok()), is_gentle }
    }

    /// Asks every member to end.
    pub(super) fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Ends every member.
    pub(super) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Ends what is left once the leader has been waited for. From then on the id may be given to
    /// somebody else, so this is the last signal that we send to it.
    pub(super) fn kill_rest(&mut self) {
        self.kill();
        self.id = None;
    }

    fn signal(&self, signal: libc::c_int) {
        if let Some(id) = self.id {
            os::signal_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_gentle { self.terminate() } else { self.kill() }
    }
}

//! Ends Postgres when its guardian dies on systems where the kernel does not offer to.
//!
//! A small shell waits for a line from the guardian. The line means that all is well; the end of
//! the stream without one means that the guardian is gone, and the shell tells Postgres to stop.
//! Linux has a signal for this, see `sys.rs`. Never: a second supervisor.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::error::{EmbeddedError, Result};

const SHELL: &str = "/bin/sh";
const SCRIPT: &str = "read -r line || kill -INT \"$1\"";

/// Holds one Postgres to this process.
#[derive(Debug)]
pub(super) struct Leash {
    shell: Child,
}

impl Leash {
    pub(super) fn tie(pid: u32) -> Result<Self> {
        let mut command = Command::new(SHELL);
        command.args(["-c", SCRIPT, "longhaul-leash", &pid.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C at the terminal must not take it before us.
        command.process_group(0);
        let shell = command.spawn();
        let shell = shell.map_err(EmbeddedError::io("run", SHELL.as_ref()))?;
        Ok(Leash { shell })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let said = self.shell.stdin.take().map(|mut pipe| pipe.write_all(b"done\n"));
        let waited = self.shell.wait();
        tracing::debug!(?said, ?waited, "untied Postgres");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[test]
    fn the_end_of_the_guardian_ends_it() {
        let mut held = sleeper();
        let mut leash = Leash::tie(held.id()).unwrap();
        // What the kernel does when a process dies: its end of the pipe is closed.
        drop(leash.shell.stdin.take());
        assert!(!held.wait().unwrap().success());
    }

    #[test]
    fn untied_in_order_it_goes_on() {
        let mut held = sleeper();
        drop(Leash::tie(held.id()).unwrap());
        assert!(held.try_wait().unwrap().is_none());
        held.kill().unwrap();
        held.wait().unwrap();
    }
}

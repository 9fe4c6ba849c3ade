//! Makes the cluster with `initdb`, once, and writes the settings that Postgres starts with.
//!
//! A cluster appears under its name only when it is complete: an `initdb` that is killed leaves a
//! draft, which the next start sweeps away. Knows what a good cluster is; does not run servers.
//! Never: a write into existing data.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::binaries::Binaries;
use super::error::{EmbeddedError, Result};
use super::layout::{Layout, sync_directory};
use super::privilege::RunAs;
use super::process;
use super::sys::Signal;

/// The superuser of the database, and the database that is made for the program.
pub(super) const NAME: &str = "longhaul";

const DRAFT: &str = "data.new-";
/// It takes about a second; a disk under heavy load may need far more.
const INITDB: Duration = Duration::from_secs(300);
/// What a child of ours needs of our environment. The rest may hold secrets.
const ENVIRONMENT: [&str; 5] = ["PATH", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Makes the cluster if there is none.
pub(super) fn ensure(
    layout: &Layout,
    binaries: &Binaries,
    run_as: &RunAs,
    say: &dyn Fn(&str),
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    sweep(layout);
    if layout.data_major()?.is_some() {
        return Ok(());
    }
    say(&format!(
        "creating a database cluster of PostgreSQL {} in `{}`",
        binaries.version,
        layout.data().display()
    ));
    let draft = tempfile::Builder::new()
        .prefix(DRAFT)
        .tempdir_in(layout.root())
        .map_err(EmbeddedError::io("create a directory in", layout.root()))?;
    let (uid, gid) = run_as.owner();
    chown(draft.path(), Some(uid), Some(gid))
        .map_err(EmbeddedError::io("hand over", draft.path()))?;
    initdb(layout, binaries, run_as, draft.path(), cancelled)?;
    let data = layout.data();
    fs::rename(draft.path(), &data).map_err(EmbeddedError::io("create", &data))?;
    sync_directory(layout.root())
}

fn initdb(
    layout: &Layout,
    binaries: &Binaries,
    run_as: &RunAs,
    draft: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    let mut command = Command::new(binaries.program("initdb"));
    command.arg("-D").arg(draft).args(["-U", NAME]);
    command.args(["-E", "UTF8", "--locale=C", "--data-checksums"]);
    command.args(["--auth-local=peer", "--auth-host=reject"]);
    plain_environment(&mut command);
    command.current_dir(layout.root());
    // An orphaned initdb would go on writing, so it must not outlive us, and nothing is lost with
    // it.
    run_as.apply(&mut command, Signal::Kill);
    let program = binaries.program("initdb");
    let ended = process::run(&mut command, INITDB, cancelled);
    let ended = ended.map_err(EmbeddedError::io("run", &program))?;
    match ended.succeeded() {
        true => Ok(()),
        false => Err(EmbeddedError::Initdb { path: layout.data(), output: ended.output }),
    }
}

/// Removes drafts of clusters that were never completed. One that is still being written by the
/// remains of a killed initdb may resist; the next start tries again.
fn sweep(layout: &Layout) {
    let entries = fs::read_dir(layout.root()).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(DRAFT)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "an old draft stays");
        }
    }
}

/// Messages in English, whatever the user speaks, because some are looked for; and no `PG…`
/// variable of the user may change what a server does.
pub(super) fn plain_environment(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C");
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// Writes the files that Postgres reads at its start: they follow the program, not the data.
pub(super) fn write_settings(layout: &Layout, run_as: &RunAs) -> Result<()> {
    let write = |path: &Path, text: &str| layout.write_file(path, text.as_bytes(), 0o644);
    write(&layout.settings(), SETTINGS)?;
    write(&layout.access(), ACCESS)?;
    write(&layout.identities(), &identities(layout, run_as))
}

/// Durability settings are not named: they stay what Postgres makes them.
const SETTINGS: &str = "\
# Written by Longhaul at each start. For changes use ALTER SYSTEM, which comes after this.
include 'data/postgresql.conf'
shared_buffers = 128MB
max_connections = 100
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
";

const ACCESS: &str = "\
# Written by Longhaul at each start. No password anywhere: the kernel says who is at the socket.
local all all peer map=longhaul
";

fn identities(layout: &Layout, run_as: &RunAs) -> String {
    let mut text = String::from("# Written by Longhaul at each start.\n");
    for name in run_as.admitted(layout) {
        text.push_str(&format!("longhaul \"{name}\" {NAME}\n"));
    }
    text
}

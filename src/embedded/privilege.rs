//! Which user Postgres runs as, since it refuses to run as root or as a user without a name.
//!
//! Only a child ever changes its uid; this process keeps what it has. Does not know clusters or
//! program files. Never: a guess about somebody else's data; existing data decides who owns it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::config::Config;
use super::error::{EmbeddedError, Result};
use super::layout::Layout;
use super::sys::{self, Account, Namespace, Signal};

/// Unprivileged users that root's Postgres may run as, the best first.
const UNPRIVILEGED: [&str; 3] = ["postgres", "longhaul", "nobody"];

/// Names that a uid without one can be given inside a namespace.
const BORROWED: [&str; 3] = ["nobody", "daemon", "postgres"];

/// The user that Postgres runs as, and how a child becomes it.
#[derive(Clone, Debug)]
pub(super) enum RunAs {
    /// The user we are.
    Ourselves(Account),
    /// We are root, and the child becomes this user.
    Drop(Account),
    /// We have no name; inside a user namespace the child has this one. Its files stay ours.
    Namespace(Account, Namespace),
}

impl RunAs {
    /// Decides by our uid, the configuration and the owner of existing data.
    pub(super) fn decide(config: &Config, layout: &Layout) -> Result<Self> {
        let uid = sys::effective_uid();
        if uid == 0 {
            return unprivileged(config, layout).map(RunAs::Drop);
        }
        let account = sys::account_by_uid(uid);
        if let Some(wanted) = &config.user {
            check_is_us(wanted, uid)?;
        }
        match account {
            Some(account) => Ok(RunAs::Ourselves(account)),
            None => nameless(uid),
        }
    }

    fn account(&self) -> &Account {
        match self {
            RunAs::Ourselves(account) | RunAs::Drop(account) | RunAs::Namespace(account, _) => {
                account
            }
        }
    }

    /// The name by which Postgres knows itself.
    pub(super) fn name(&self) -> &str {
        &self.account().name
    }

    /// The owner of its files, as seen from here.
    pub(super) fn owner(&self) -> (u32, u32) {
        match self {
            RunAs::Drop(account) => (account.uid, account.gid),
            RunAs::Ourselves(_) | RunAs::Namespace(..) => {
                (sys::effective_uid(), sys::effective_gid())
            }
        }
    }

    /// Whether clients come as another user than Postgres.
    pub(super) fn is_somebody_else(&self) -> bool {
        matches!(self, RunAs::Drop(_))
    }

    /// What a person should know about it.
    pub(super) fn announcement(&self) -> Option<String> {
        match self {
            RunAs::Ourselves(_) => None,
            RunAs::Drop(account) if account.name == "nobody" => Some(
                "Postgres runs as user `nobody`, which other services may share: fine for a trial; \
                 for lasting data create a user `postgres` or set LONGHAUL_PG_USER"
                    .to_owned(),
            ),
            RunAs::Drop(account) => Some(format!(
                "Postgres runs as user `{}`, since it refuses to run as root",
                account.name
            )),
            RunAs::Namespace(account, _) => Some(format!(
                "uid {} has no name here; Postgres runs in a user namespace as `{}`",
                sys::effective_uid(),
                account.name
            )),
        }
    }

    /// The users that may come as the database's superuser.
    pub(super) fn admitted(&self, layout: &Layout) -> BTreeSet<String> {
        let uids = [0, sys::effective_uid(), layout.owner()];
        let names = uids.into_iter().filter_map(sys::account_by_uid);
        let mut admitted: BTreeSet<String> = names.map(|account| account.name).collect();
        admitted.insert(self.name().to_owned());
        admitted
    }

    /// Makes `command` run as this user, ending with `signal` when we die.
    pub(super) fn apply(&self, command: &mut Command, signal: Signal) {
        match self {
            RunAs::Ourselves(_) => sys::bind_to_parent(command, signal, None),
            RunAs::Drop(account) => {
                // The standard library clears the supplementary groups as well when root drops.
                command.gid(account.gid).uid(account.uid);
                sys::bind_to_parent(command, signal, None);
            }
            RunAs::Namespace(_, namespace) => {
                sys::bind_to_parent(command, signal, Some(namespace));
            }
        }
    }

    /// Finds out by trying whether this user can work in `directory`.
    pub(super) fn check_reach(&self, directory: &Path) -> Result<()> {
        match self.runs_in(directory) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let (uid, gid) = self.owner();
                Err(EmbeddedError::Unreachable {
                    user: self.name().to_owned(),
                    target: directory.to_path_buf(),
                    directory: first_closed(directory, uid, gid)
                        .unwrap_or_else(|| directory.to_path_buf()),
                })
            }
            Err(error) => Err(EmbeddedError::io("enter", directory)(error)),
            Ok(()) => Ok(()),
        }
    }

    fn runs_in(&self, directory: &Path) -> std::io::Result<()> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ":"]).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut command, Signal::Kill);
        match command.status() {
            // There is no shell here, but all that comes before it went well.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            tried => tried.map(drop),
        }
    }
}

fn check_is_us(wanted: &str, uid: u32) -> Result<()> {
    match sys::account_by_name(wanted) {
        Some(account) if account.uid == uid => Ok(()),
        _ => Err(refused(wanted, "only root can run it as somebody else")),
    }
}

fn refused(user: &str, reason: &str) -> EmbeddedError {
    EmbeddedError::User { user: user.to_owned(), reason: reason.to_owned() }
}

/// For root: the user of the configuration, of the data, of the directory, or a known one.
fn unprivileged(config: &Config, layout: &Layout) -> Result<Account> {
    let owner = std::fs::metadata(layout.data()).ok().map(|about| about.uid());
    if let Some(wanted) = &config.user {
        return wanted_user(wanted, owner, layout);
    }
    let owner = owner.or((layout.owner() != 0).then_some(layout.owner()));
    if let Some(owner) = owner {
        let account = sys::account_by_uid(owner).filter(|account| account.uid != 0);
        return account.ok_or_else(|| {
            refused(&owner.to_string(), "it owns the data, but is root or has no name")
        });
    }
    let known = UNPRIVILEGED.into_iter().find_map(sys::account_by_name);
    known.ok_or_else(|| refused("postgres", "there is no such user, nor `nobody`"))
}

fn wanted_user(wanted: &str, data_owner: Option<u32>, layout: &Layout) -> Result<Account> {
    let account = sys::account_by_name(wanted).ok_or_else(|| refused(wanted, "no such user"))?;
    if account.uid == 0 {
        return Err(refused(wanted, "PostgreSQL refuses to run as root"));
    }
    match data_owner {
        Some(owner) if owner != account.uid => Err(EmbeddedError::Owner {
            path: layout.data(),
            owner,
            expected: account.uid,
            hint: "leave LONGHAUL_PG_USER unset, or hand the data over with `chown -R` while \
                   Postgres is stopped"
                .to_owned(),
        }),
        _ => Ok(account),
    }
}

/// Some container platforms run programs with a uid that nobody knows.
fn nameless(uid: u32) -> Result<RunAs> {
    let complain = |reason: &str| EmbeddedError::Nameless { uid, reason: reason.to_owned() };
    let inside = BORROWED.into_iter().find_map(sys::account_by_name);
    let inside = inside.ok_or_else(|| complain("there is no user `nobody` either"))?;
    let namespace = Namespace::mapping(&inside).ok_or_else(|| complain("its name is odd"))?;
    let run_as = RunAs::Namespace(inside, namespace);
    let tried = run_as.runs_in(Path::new("/"));
    tried.map_err(|error| complain(&error.to_string()))?;
    Ok(run_as)
}

/// The first directory on the way that the mode bits close to this user.
fn first_closed(path: &Path, uid: u32, gid: u32) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let closed = |directory: &&Path| {
        std::fs::metadata(directory).is_ok_and(|about| {
            let shift = match () {
                () if about.uid() == uid => 6,
                () if about.gid() == gid => 3,
                () => 0,
            };
            about.mode() >> shift & 1 == 0
        })
    };
    way.into_iter().find(closed).map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::super::layout::set_mode;
    use super::*;

    #[test]
    fn the_closed_directory_is_named() {
        let base = tempfile::tempdir().unwrap();
        let closed = base.path().join("closed");
        let inner = closed.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        set_mode(base.path(), 0o711).unwrap();
        set_mode(&inner, 0o711).unwrap();
        set_mode(&closed, 0o700).unwrap();
        let stranger = (2_345_678_901, 2_345_678_901);
        assert_eq!(first_closed(&inner, stranger.0, stranger.1), Some(closed.clone()));
        set_mode(&closed, 0o711).unwrap();
        assert_eq!(first_closed(&inner, stranger.0, stranger.1), None);
    }

    #[test]
    fn a_user_that_does_not_exist_is_refused_by_name() {
        let base = tempfile::tempdir().unwrap();
        let mut config = Config::new(base.path(), base.path());
        let layout = Layout::prepare(&config).unwrap();
        config.user = Some("no-such-user".to_owned());
        let error = RunAs::decide(&config, &layout).unwrap_err().to_string();
        assert!(error.contains("no-such-user") && error.contains("LONGHAUL_PG_USER"));
    }
}

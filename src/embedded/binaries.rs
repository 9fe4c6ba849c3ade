//! Finds `postgres` and `initdb`: the first usable ones on a chain of places, fetched ones last.
//!
//! Existing data decides the major version, since another one cannot read it. Knows places and
//! versions; `fetch.rs` knows how files come over the network. Never: program files that were not
//! run once, as the user that will run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::config::{Config, Origin};
use super::error::{EmbeddedError, Result};
use super::fetch;
use super::privilege::RunAs;
use super::sys::Signal;

/// Older servers lack what the schema uses.
const MAJOR_MIN: u32 = 15;

/// Where packages put Postgres, the version standing for `*`.
const INSTALLED: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A directory with program files of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) directory: PathBuf,
    pub(super) major: u32,
    /// For example `15.18`.
    pub(super) version: String,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Finds program files, fetching them if need be. `data_major` is the version of existing data.
pub(super) fn find(
    config: &Config,
    run_as: &RunAs,
    data_major: Option<u32>,
    say: &dyn Fn(&str),
) -> Result<Binaries> {
    let search = Search { run_as, data_major, rejected: Vec::new() };
    match &config.pg_bin {
        Some(directory) => search.explicit(directory),
        None => search.chain(config, say),
    }
}

struct Search<'a> {
    run_as: &'a RunAs,
    data_major: Option<u32>,
    /// What was found and why it does not serve.
    rejected: Vec<String>,
}

impl Search<'_> {
    fn explicit(&self, directory: &Path) -> Result<Binaries> {
        let unusable = |reason| EmbeddedError::BinariesUnusable {
            directory: directory.to_path_buf(),
            reason,
            user: self.run_as.name().to_owned(),
        };
        self.examine(directory).map_err(unusable)
    }

    fn chain(mut self, config: &Config, say: &dyn Fn(&str)) -> Result<Binaries> {
        let mut found = None;
        if matches!(config.origin, None | Some(Origin::System)) {
            found = self.first_of(installed());
        }
        if found.is_none() && config.origin != Some(Origin::System) {
            // The versions of this release first, even if that means to fetch them: a release
            // that pins others may do so for security. Old ones serve when that fails.
            let pinned = fetch::pinned(&config.bin_cache, config.origin);
            found = self.first_of(pinned).or_else(|| self.fetched(config, say)).or_else(|| {
                let cached = fetch::cached(&config.bin_cache, config.origin);
                self.first_of(cached)
            });
        }
        found.ok_or_else(|| self.nothing())
    }

    fn first_of(&mut self, directories: Vec<PathBuf>) -> Option<Binaries> {
        directories.into_iter().find_map(|directory| {
            let found = self.examine(&directory);
            found.map_err(|reason| self.reject(&directory, &reason)).ok()
        })
    }

    fn fetched(&mut self, config: &Config, say: &dyn Fn(&str)) -> Option<Binaries> {
        if config.offline {
            self.note("nothing was fetched: offline (--offline or LONGHAUL_NO_FETCH)");
            return None;
        }
        if self.data_major.is_some_and(|major| major != fetch::MAJOR) {
            let major = fetch::MAJOR;
            self.note(&format!("only version {major} can be fetched"));
            return None;
        }
        for package in fetch::packages(config.origin) {
            let fetched = fetch::fetch(&package, config, say)
                .map_err(|error| error.to_string())
                .and_then(|directory| self.examine(&directory));
            match fetched {
                Ok(found) => return Some(found),
                Err(reason) => self.note(&reason),
            }
        }
        None
    }

    /// Runs it once: the version is known then, and that this user can run it.
    fn examine(&self, directory: &Path) -> std::result::Result<Binaries, String> {
        for program in ["postgres", "initdb"] {
            if !directory.join(program).exists() {
                return Err(format!("no `{program}` there"));
            }
        }
        let version = self.version(directory)?;
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        let major = digits
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("`{version}` is no version"))?;
        self.suits(major)?;
        Ok(Binaries { directory: directory.to_path_buf(), major, version })
    }

    fn version(&self, directory: &Path) -> std::result::Result<String, String> {
        let mut command = Command::new(directory.join("postgres"));
        command.arg("--version").current_dir("/").stdin(Stdio::null());
        self.run_as.apply(&mut command, Signal::Kill);
        let output = command.output().map_err(|error| {
            let user = self.run_as.name();
            format!("user `{user}` cannot run it: {error}")
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let version = text.split("(PostgreSQL)").nth(1).unwrap_or_default();
        match version.split_whitespace().next() {
            Some(version) => Ok(version.to_owned()),
            None => Err(format!(
                "`postgres --version` said: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    }

    fn suits(&self, major: u32) -> std::result::Result<(), String> {
        match self.data_major {
            Some(data) if data != major => {
                Err(format!("it is version {major}, but the data was made with version {data}"))
            }
            None if major < MAJOR_MIN => Err(format!("version {major} is older than {MAJOR_MIN}")),
            _ => Ok(()),
        }
    }

    fn reject(&mut self, directory: &Path, reason: &str) {
        self.note(&format!("`{}`: {reason}", directory.display()));
    }

    fn note(&mut self, line: &str) {
        tracing::debug!("{line}");
        self.rejected.push(format!("  - {line}"));
    }

    fn nothing(self) -> EmbeddedError {
        let suffix = |separator: &str| match self.data_major {
            Some(major) => format!("{separator}{major}"),
            None => String::new(),
        };
        let tried = match self.rejected.is_empty() {
            true => "nothing was found in the usual places or on PATH".to_owned(),
            false => format!("what was tried:\n{}", self.rejected.join("\n")),
        };
        EmbeddedError::NoBinaries {
            wanted: suffix(" "),
            debian_package: format!("postgresql{}", suffix("-")),
            tried,
        }
    }
}

/// Directories of this machine in the order of preference, each once.
fn installed() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = pg_config().into_iter().collect();
    directories.extend(INSTALLED.into_iter().flat_map(expand));
    directories.extend(on_path());
    let mut seen = Vec::new();
    for directory in directories {
        let real = std::fs::canonicalize(&directory).unwrap_or(directory);
        if real.join("postgres").exists() && !seen.contains(&real) {
            seen.push(real);
        }
    }
    seen
}

/// Where the development package says it is.
fn pg_config() -> Option<PathBuf> {
    let mut command = Command::new("pg_config");
    let output = command.arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let directory = PathBuf::from(text.trim());
    directory.is_absolute().then_some(directory)
}

/// Absolute entries only: a relative one depends on where a person happens to stand.
fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let absolute = std::env::split_paths(&path).filter(|entry| entry.is_absolute());
    // A link to `postgres` has its libraries beside the target, not beside the link.
    let targets = absolute.filter_map(|entry| std::fs::canonicalize(entry.join("postgres")).ok());
    targets.filter_map(|program| program.parent().map(Path::to_path_buf)).collect()
}

/// The directories that match, one `*` in one component, highest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return Vec::new();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut matching: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?;
            let directory = PathBuf::from(format!("{parent}/{name}{after}"));
            Some((leading_number(version), directory))
        })
        .collect();
    matching.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    matching.into_iter().map(|(_, directory)| directory).collect()
}

/// `@17` and `17.2` are 17; a name without a number is a link to the current version: first.
fn leading_number(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_tried_from_the_newest_version_down() {
        let base = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-15", "pgsql-17", "other"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        let pattern = format!("{}/pgsql-*/bin", base.path().display());
        let found = expand(&pattern);
        let expected = ["pgsql-17/bin", "pgsql-15/bin", "pgsql-9.6/bin"];
        assert_eq!(found, expected.map(|name| base.path().join(name)));
    }

    #[test]
    fn a_directory_without_postgres_says_so() {
        let base = tempfile::tempdir().unwrap();
        let config = Config {
            pg_bin: Some(base.path().to_path_buf()),
            ..Config::new(base.path(), base.path())
        };
        let layout = super::super::layout::Layout::prepare(&config).unwrap();
        let run_as = RunAs::decide(&config, &layout).unwrap();
        let error = find(&config, &run_as, None, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("no `postgres` there"), "{error}");
    }
}

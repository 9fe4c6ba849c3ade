//! Which environment variables a program gets: named ones and harmless ones, nothing by accident.
//!
//! The worker's own environment holds tokens and the database's password. So nothing is inherited;
//! a variable is passed because it stands on the list below, or because a setting names it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Variables that programs commonly need and that carry no secrets.
const HARMLESS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    // Roots of toolchains.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "GOROOT",
    "GOCACHE",
    "GOMODCACHE",
    "GOFLAGS",
    "JAVA_HOME",
    "MAVEN_HOME",
    "GRADLE_HOME",
    "NVM_DIR",
    "NODE_PATH",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "DOTNET_ROOT",
    "GEM_HOME",
    "ANDROID_HOME",
    // Certificates.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
];

/// Proxies, unless their address carries a password.
const PROXIES: &[&str] =
    &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY", "GOPROXY"];

/// Words that make a name suspicious even where a prefix would let it pass.
const SECRET_WORDS: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY"];

/// The variables of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The harmless variables of this process, and those that `named` names.
    pub fn harmless(named: &[String]) -> Self {
        Environment::from_vars(std::env::vars_os(), named)
    }

    /// The same, from variables that are handed over.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        named: &[String],
    ) -> Self {
        let passes = |(name, value): &(OsString, OsString)| {
            let is_named = named.iter().any(|n| OsStr::new(n) == name);
            is_named || name.to_str().is_some_and(|name| is_harmless(name, value))
        };
        Environment(vars.into_iter().filter(passes).collect())
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }
}

fn is_harmless(name: &str, value: &OsStr) -> bool {
    let upper = name.to_ascii_uppercase();
    if SECRET_WORDS.iter().any(|word| upper.contains(word)) {
        return false;
    }
    // Proxies are the one group that is commonly written in lower case.
    if PROXIES.contains(&upper.as_str()) {
        return !value.to_string_lossy().contains('@');
    }
    HARMLESS.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(vars: &[(&str, &str)], named: &[&str]) -> Vec<String> {
        let vars = vars.iter().map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let named: Vec<String> = named.iter().map(|n| (*n).to_owned()).collect();
        let env = Environment::from_vars(vars, &named);
        env.iter().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn only_harmless_and_named_variables_pass() {
        let vars = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("XDG_CACHE_HOME", "/c"),
            ("XDG_ACCESS_TOKEN", "s"),
            ("DATABASE_URL", "postgres://u:p@h/d"),
            ("GITHUB_TOKEN", "s"),
            ("ANTHROPIC_API_KEY", "s"),
            ("LONGHAUL_CANARY", "s"),
            ("https_proxy", "http://proxy:3128"),
            ("HTTP_PROXY", "http://me:pw@proxy:3128"),
        ];
        assert_eq!(passed(&vars, &[]), ["LC_ALL", "PATH", "XDG_CACHE_HOME", "https_proxy"]);
        let with_named = passed(&vars, &["ANTHROPIC_API_KEY", "NOT_SET"]);
        assert!(with_named.contains(&"ANTHROPIC_API_KEY".to_owned()), "{with_named:?}");
        assert_eq!(with_named.len(), 5);
    }
}

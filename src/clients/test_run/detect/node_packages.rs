//! The package managers of Node, and what each calls its commands.

use serde_json::Value;

use super::tree::Project;

/// The package managers.
#[derive(Clone, Copy)]
pub(super) enum Manager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

impl Manager {
    /// By `packageManager`, else by the lock file, else npm.
    pub(super) fn of(project: &Project<'_>, package: &Value) -> Self {
        let named = package["packageManager"].as_str().unwrap_or("");
        let named = named.split('@').next().unwrap_or("");
        match named {
            "pnpm" => return Self::Pnpm,
            "yarn" => return Self::Yarn,
            "bun" => return Self::Bun,
            "npm" => return Self::Npm,
            _ => {}
        }
        if project.first(&["pnpm-lock.yaml", "pnpm-workspace.yaml"]).is_some() {
            Self::Pnpm
        } else if project.has("yarn.lock") {
            Self::Yarn
        } else if project.first(&["bun.lock", "bun.lockb"]).is_some() {
            Self::Bun
        } else {
            Self::Npm
        }
    }

    /// The program to call.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    /// The test script. `CI=1` keeps runners from watching for changes and from asking questions.
    pub(super) fn test(self) -> &'static str {
        match self {
            Self::Npm => "CI=1 npm test --silent",
            Self::Pnpm => "CI=1 pnpm --silent test",
            Self::Yarn => "CI=1 yarn test",
            Self::Bun => "CI=1 bun run test",
        }
    }

    /// The test scripts of all packages of a workspace.
    pub(super) fn test_all(self) -> &'static str {
        match self {
            Self::Npm => "CI=1 npm test --workspaces --if-present",
            // One at a time, or pnpm would put the name of the package before each line.
            Self::Pnpm => "CI=1 pnpm -r --workspace-concurrency=1 --if-present test",
            Self::Yarn => "CI=1 yarn workspaces run test",
            Self::Bun => "CI=1 bun run --filter '*' test",
        }
    }

    /// Installs what the lock file says, or what `package.json` asks for.
    pub(super) fn install(self, project: &Project<'_>) -> &'static str {
        match self {
            Self::Npm if project.first(&["package-lock.json", "npm-shrinkwrap.json"]).is_some() => {
                "npm ci"
            }
            Self::Npm => "npm install",
            Self::Pnpm => "pnpm install --frozen-lockfile",
            Self::Yarn => "yarn install --frozen-lockfile",
            Self::Bun => "bun install --frozen-lockfile",
        }
    }
}

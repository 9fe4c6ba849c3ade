//! JavaScript and TypeScript: the test script of `package.json`, by the package manager whose lock file
//! is there; else Node's own runner, or Deno.

use serde_json::Value;

use super::node_packages::Manager;
use super::tree::Project;
use super::{TestPlan, Which, missing_program};
use crate::clients::test_run::readers::Framework;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    if let Some(plan) = deno(project, which) {
        return vec![plan];
    }
    let package = project.read("package.json");
    let package: Value = package
        .and_then(|text| serde_json::from_str(text.trim_start_matches('\u{feff}')).ok())
        .unwrap_or_default();
    let manager = Manager::of(project, &package);
    let script = package["scripts"]["test"].as_str().filter(|script| !is_default(script));
    let plan = match script {
        Some(script) => {
            let framework = framework_of(script, &package["scripts"]);
            TestPlan::new("JavaScript", manager.test(), framework, "package.json scripts.test")
                .with_hint(watch_hint(script))
        }
        None if is_workspace(project, &package) => {
            let why = "package.json workspaces";
            TestPlan::new("JavaScript", manager.test_all(), Framework::Unknown, why)
        }
        None => match runner_without_script(project, &package) {
            Some(plan) => plan,
            None => return Vec::new(),
        },
    };
    let hint = plan.hint.clone().or_else(|| install_hint(project, &package, manager, which));
    vec![plan.with_hint(hint)]
}

/// What `npm init` writes.
fn is_default(script: &str) -> bool {
    script.contains("no test specified") || script.trim().is_empty()
}

/// Tests that run without a script.
fn runner_without_script(project: &Project<'_>, package: &Value) -> Option<TestPlan> {
    let tests: Vec<&str> = project.files().filter(|file| is_test_file(file)).collect();
    if tests.is_empty() {
        return None;
    }
    let texts: Vec<String> = tests.iter().take(10).filter_map(|file| project.read(file)).collect();
    let imports = |module: &str| texts.iter().any(|text| text.contains(module));
    let depends = |name: &str| {
        ["dependencies", "devDependencies"].iter().any(|group| package[group].get(name).is_some())
    };
    let (command, framework, why) = if imports("bun:test") {
        ("bun test", Framework::Bun, "tests import bun:test")
    } else if depends("vitest") {
        ("npx vitest run", Framework::Vitest, "package.json depends on vitest")
    } else if depends("jest") {
        ("npx jest", Framework::Jest, "package.json depends on jest")
    } else if depends("mocha") {
        ("npx mocha", Framework::Mocha, "package.json depends on mocha")
    } else if imports("node:test") {
        ("node --test", Framework::NodeTest, "tests import node:test")
    } else if tests.iter().any(|file| runs_in_node(file)) {
        ("node --test", Framework::NodeTest, "files named *.test.js")
    } else {
        return None;
    };
    Some(TestPlan::new("JavaScript", format!("CI=1 {command}"), framework, why))
}

fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_test =
        path.starts_with("test/") || path.starts_with("tests/") || path.contains("/test/");
    let stem = [".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx", ".jsx"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    stem.is_some_and(|stem| {
        stem.ends_with(".test")
            || stem.ends_with(".spec")
            || stem.ends_with("_test")
            || stem.starts_with("test-")
            || in_test
    })
}

/// What `node --test` finds and runs by itself.
fn runs_in_node(path: &str) -> bool {
    [".test.js", ".test.mjs", ".test.cjs"].iter().any(|ending| path.ends_with(ending))
}

/// The framework that a script calls, looking into the scripts that it runs. `Unknown` when there are
/// several: then the output is searched for all of them.
fn framework_of(script: &str, scripts: &Value) -> Framework {
    let mut found = Vec::new();
    frameworks_in(script, scripts, 2, &mut found);
    found.dedup();
    match found[..] {
        [only] if !prints_other_format(script) => only,
        _ => Framework::Unknown,
    }
}

fn words(script: &str) -> Vec<&str> {
    let end = |c: char| c.is_whitespace() || "&|;()'\"".contains(c);
    script.split(end).filter(|word| !word.is_empty()).collect()
}

fn frameworks_in(script: &str, scripts: &Value, depth: usize, found: &mut Vec<Framework>) {
    const PROGRAMS: &[(&str, Framework)] = &[
        ("vitest", Framework::Vitest),
        ("jest", Framework::Jest),
        ("react-scripts", Framework::Jest),
        ("mocha", Framework::Mocha),
        ("mochapack", Framework::Mocha),
        ("cypress", Framework::Mocha),
        ("tape", Framework::Tap),
    ];
    let words = words(script);
    for (position, word) in words.iter().enumerate() {
        let program = word.rsplit('/').next().unwrap_or(word);
        let next = words.get(position + 1).copied().unwrap_or("");
        let known = PROGRAMS.iter().find(|(name, _)| *name == program);
        found.extend(known.map(|(_, framework)| *framework));
        match program {
            "--test" => found.push(Framework::NodeTest),
            "playwright" if next == "test" => found.push(Framework::Playwright),
            "bun" if next == "test" => found.push(Framework::Bun),
            "deno" if next == "test" => found.push(Framework::Deno),
            "run" if depth > 0 => {
                if let Some(inner) = scripts[next].as_str() {
                    frameworks_in(inner, scripts, depth - 1, found);
                }
            }
            _ => {}
        }
    }
}

/// A reporter of another format, or a program behind a pipe, hides the framework's own lines.
fn prints_other_format(script: &str) -> bool {
    script.replace("||", "").contains('|')
        || ["json", "tap", "xunit", "junit"].iter().any(|format| {
            words(script).iter().any(|word| {
                word == format
                    || *word == format!("--{format}")
                    || word.ends_with(&format!("reporter={format}"))
            })
        })
}

fn watch_hint(script: &str) -> Option<String> {
    let watches = script.split_whitespace().any(|word| word.starts_with("--watch"));
    watches
        .then(|| "scripts.test watches for changes and never ends: set `test.command`".to_owned())
}

fn is_workspace(project: &Project<'_>, package: &Value) -> bool {
    package.get("workspaces").is_some() || project.has("pnpm-workspace.yaml")
}

fn install_hint(
    project: &Project<'_>,
    package: &Value,
    manager: Manager,
    which: Which<'_>,
) -> Option<String> {
    let missing = missing_program(manager.program(), which);
    let needs = ["dependencies", "devDependencies"]
        .iter()
        .any(|group| package[group].as_object().is_some_and(|group| !group.is_empty()));
    // Yarn's plug'n'play has no such folder.
    let installed = project.exists("node_modules") || project.exists(".pnp.cjs");
    missing.or_else(|| {
        let install = manager.install(project);
        (needs && !installed)
            .then(|| format!("node_modules is missing: set `test.setup = \"{install}\"`"))
    })
}

/// A project of Deno's has its own configuration; one with a `package.json` is Node's.
fn deno(project: &Project<'_>, which: Which<'_>) -> Option<TestPlan> {
    let config = project.first(&["deno.json", "deno.jsonc"])?;
    if project.has("package.json") {
        return None;
    }
    let task = project.read(config)?;
    let (command, framework) = if task.contains("\"test\":") {
        ("deno task test", Framework::Unknown)
    } else {
        ("deno test -A", Framework::Deno)
    };
    let plan = TestPlan::new("JavaScript", command, framework, config);
    Some(plan.with_hint(missing_program("deno", which)))
}

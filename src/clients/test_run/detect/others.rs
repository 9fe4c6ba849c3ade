//! Languages whose test command follows from one file, or nearly so.

use super::tree::Project;
use super::{TestPlan, Which, missing_program, quoted};
use crate::clients::test_run::readers::Framework;

/// File at the root, language, program, command, framework.
type Simple = (&'static str, &'static str, &'static str, &'static str, Framework);

const SIMPLE: &[Simple] = &[
    ("mix.exs", "Elixir", "mix", "mix test", Framework::Exunit),
    ("Package.swift", "Swift", "swift", "swift test", Framework::Unknown),
    ("pubspec.yaml", "Dart", "dart", "dart test", Framework::Unknown),
    ("build.zig", "Zig", "zig", "zig build test --summary all", Framework::Unknown),
    ("dune-project", "OCaml", "dune", "dune test", Framework::Unknown),
    ("stack.yaml", "Haskell", "stack", "stack test", Framework::Unknown),
    ("cabal.project", "Haskell", "cabal", "cabal test all", Framework::Unknown),
    ("project.clj", "Clojure", "lein", "lein test", Framework::Unknown),
    ("rebar.config", "Erlang", "rebar3", "rebar3 eunit", Framework::Unknown),
];

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let mut plans: Vec<TestPlan> = SIMPLE
        .iter()
        .filter(|(file, ..)| project.has(file))
        .map(|(file, language, program, command, framework)| {
            TestPlan::new(language, *command, *framework, file)
                .with_hint(missing_program(program, which))
        })
        .collect();
    let more = [go(project, which), dotnet(project, which), perl(project)];
    plans.extend(more.into_iter().flatten());
    plans
}

/// `-json`, because without it Go names no passing test.
fn go(project: &Project<'_>, which: Which<'_>) -> Option<TestPlan> {
    let hint = missing_program("go", which);
    if project.has("go.mod") {
        let plan = TestPlan::new("Go", "go test -json ./...", Framework::GoTest, "go.mod");
        return Some(plan.with_hint(hint));
    }
    // A workspace has no module at its root: each of its modules is named.
    let text = project.read("go.work")?;
    let modules: Vec<String> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("use").trim())
        .filter(|line| line.starts_with("./"))
        .map(|module| quoted(&format!("{}/...", module.trim_end_matches('/'))))
        .collect();
    if modules.is_empty() {
        return None;
    }
    let command = format!("go test -json {}", modules.join(" "));
    Some(TestPlan::new("Go", command, Framework::GoTest, "go.work").with_hint(hint))
}

fn dotnet(project: &Project<'_>, which: Which<'_>) -> Option<TestPlan> {
    let ending = |ending: &str| {
        let mut top = project.files().filter(|file| !file.contains('/'));
        top.find(|file| file.ends_with(ending)).map(str::to_owned)
    };
    let file = [".sln", ".slnx", ".csproj", ".fsproj", ".vbproj"].iter().find_map(|e| ending(e))?;
    let language = if file.ends_with(".fsproj") { "F#" } else { "C#" };
    let plan = TestPlan::new(language, "dotnet test", Framework::Dotnet, &file);
    Some(plan.with_hint(missing_program("dotnet", which)))
}

fn perl(project: &Project<'_>) -> Option<TestPlan> {
    let tests = project.files().any(|file| file.starts_with("t/") && file.ends_with(".t"));
    tests.then(|| TestPlan::new("Perl", "prove -lr t", Framework::Tap, "t/"))
}

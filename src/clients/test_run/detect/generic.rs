//! Build systems and scripts that have a target for tests: CMake, Meson, Make, just, Task, a script.

use super::tree::Project;
use super::{TestPlan, Which, missing_program};
use crate::clients::test_run::readers::Framework;
use crate::clients::test_run::text::patterns;

patterns! {
    MAKE_TARGET = r"(?m)^(test|tests|check)\s*:(?:[^=]|$)";
    JUST_RECIPE = r"(?m)^@?(test|tests|check)(?:[ \t][^:\n]*)?:(?:[^=]|$)";
    TASK = r"(?m)^  (test|tests|check):";
    CMAKE_TESTS = r"(?mi)^\s*(?:enable_testing\s*\(|add_test\s*\(|include\s*\(\s*CTest)";
    MESON_TESTS = r"(?m)^\s*test\s*\(";
}

/// Plans of build systems that have tests of their own. They build outside of the repository, so that
/// nothing they write can end up in a commit.
pub(super) fn native(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let mut plans = Vec::new();
    let says = |file: &str, pattern: &regex::Regex| {
        project.read(file).is_some_and(|text| pattern.is_match(&text))
    };
    if says("CMakeLists.txt", &CMAKE_TESTS) {
        let steps = "cmake -S . -B \"$d\" && cmake --build \"$d\" --parallel && \
                     ctest --test-dir \"$d\" --output-on-failure";
        let plan =
            TestPlan::new(c_or_cpp(project), outside(steps), Framework::Ctest, "CMakeLists.txt");
        plans.push(plan.with_hint(missing_program("cmake", which)));
    }
    let meson = project.files().filter(|file| file.ends_with("meson.build")).take(30);
    if project.has("meson.build") && meson.into_iter().any(|file| says(file, &MESON_TESTS)) {
        let steps = "meson setup \"$d\" . && meson test -C \"$d\" --print-errorlogs";
        let plan =
            TestPlan::new(c_or_cpp(project), outside(steps), Framework::Meson, "meson.build");
        plans.push(plan.with_hint(missing_program("meson", which)));
    }
    plans
}

/// Runs steps with a folder `$d` of their own, and keeps their exit code.
fn outside(steps: &str) -> String {
    format!("d=$(mktemp -d) && ({steps}); r=$?; rm -rf \"$d\"; exit $r")
}

fn c_or_cpp(project: &Project<'_>) -> &'static str {
    let cpp =
        |file: &str| [".cpp", ".cc", ".cxx", ".hpp"].iter().any(|ending| file.ends_with(ending));
    if project.files().any(cpp) { "C++" } else { "C" }
}

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let targets = [
        (&["GNUmakefile", "makefile", "Makefile"][..], &*MAKE_TARGET, "make"),
        (&["justfile", "Justfile", ".justfile"][..], &*JUST_RECIPE, "just"),
        (&["Taskfile.yml", "Taskfile.yaml"][..], &*TASK, "task"),
    ];
    let mut plans: Vec<TestPlan> = targets
        .into_iter()
        .filter_map(|(files, pattern, program)| {
            let file = project.first(files)?;
            let text = project.read(file)?;
            let target = best_target(&text, pattern)?;
            let plan = TestPlan::new("", format!("{program} {target}"), Framework::Unknown, file);
            Some(plan.with_hint(missing_program(program, which)))
        })
        .collect();
    const SCRIPTS: &[&str] = &[
        "test.sh",
        "run_tests.sh",
        "run-tests.sh",
        "runtests.sh",
        "script/test",
        "scripts/test",
        "scripts/test.sh",
        "bin/test",
        "tests/run.sh",
    ];
    plans.extend(
        project
            .first(SCRIPTS)
            .map(|script| TestPlan::new("", project.runnable(script), Framework::Unknown, script)),
    );
    plans
}

/// `test` rather than `check`, whichever stands first.
fn best_target<'t>(text: &'t str, pattern: &regex::Regex) -> Option<&'t str> {
    let targets = pattern.captures_iter(text).filter_map(|found| found.get(1));
    let names = targets.map(|target| target.as_str());
    names.min_by_key(|name| ["test", "tests", "check"].iter().position(|known| known == name))
}

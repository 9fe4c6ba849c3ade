//! Python: pytest where anything speaks for it, else Django's runner, else unittest.

use super::tree::Project;
use super::{TestPlan, Which, quoted};
use crate::clients::test_run::readers::Framework;

/// How many test files are opened to see which framework they use.
const TEST_FILES_READ: usize = 40;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let tests: Vec<&str> = project.files().filter(|file| is_test_file(file)).collect();
    let has_tests = !tests.is_empty();
    let texts: Vec<String> =
        tests.iter().take(TEST_FILES_READ).filter_map(|file| project.read(file)).collect();
    if let Some(why) = pytest_reason(project, &texts) {
        return vec![pytest(project, which, &why)];
    }
    if project.read("manage.py").is_some_and(|text| text.contains("django")) {
        let command = format!("{} manage.py test", python(project));
        let plan = TestPlan::new("Python", command, Framework::Unittest, "manage.py");
        return vec![plan.with_hint(dependencies_hint(project, which, ""))];
    }
    if has_tests && texts.iter().any(|text| text.contains("unittest")) {
        return vec![unittest(project, which, &tests)];
    }
    Vec::new()
}

fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".py").is_some_and(|name| {
        name.starts_with("test_") || name.ends_with("_test") || name == "tests" || name == "test"
    })
}

/// The file that speaks for pytest.
fn pytest_reason(project: &Project<'_>, tests: &[String]) -> Option<String> {
    let says = |file: &str, words: &[&str]| {
        let text = project.read(file).unwrap_or_default();
        words.iter().any(|word| text.contains(word))
    };
    if let Some(file) = project.first(&["pytest.ini", ".pytest.ini", "pytest.toml"]) {
        return Some(file.to_owned());
    }
    if says("pyproject.toml", &["[tool.pytest"]) {
        return Some("pyproject.toml".to_owned());
    }
    if says("setup.cfg", &["[tool:pytest]"]) {
        return Some("setup.cfg".to_owned());
    }
    if says("tox.ini", &["[pytest]"]) {
        return Some("tox.ini".to_owned());
    }
    let conftest = project.files().find(|file| file.rsplit('/').next() == Some("conftest.py"));
    if let Some(file) = conftest {
        return Some(file.to_owned());
    }
    if tests.iter().any(|text| text.contains("import pytest") || text.contains("from pytest")) {
        return Some("tests import pytest".to_owned());
    }
    // unittest does not run functions outside of classes.
    if tests.iter().any(|text| text.lines().any(is_bare_test)) {
        return Some("tests are plain functions".to_owned());
    }
    None
}

fn is_bare_test(line: &str) -> bool {
    line.starts_with("def test_") || line.starts_with("async def test_")
}

fn pytest(project: &Project<'_>, which: Which<'_>, why: &str) -> TestPlan {
    let managed = manager(project, which);
    let command = match managed {
        Some((_, manager)) => format!("{manager} run pytest"),
        None => format!("{}{} -m pytest", source_path(project), python(project)),
    };
    let hint = match managed {
        Some(_) => None,
        None => dependencies_hint(project, which, "pytest"),
    };
    TestPlan::new("Python", command, Framework::Pytest, why).with_hint(hint)
}

/// The manager whose lock file lies there and which can be called.
fn manager(project: &Project<'_>, which: Which<'_>) -> Option<(&'static str, &'static str)> {
    const MANAGERS: &[(&str, &str)] = &[
        ("uv.lock", "uv"),
        ("poetry.lock", "poetry"),
        ("pdm.lock", "pdm"),
        ("Pipfile.lock", "pipenv"),
    ];
    let found = MANAGERS.iter().find(|(lock, manager)| project.has(lock) && which(manager));
    found.copied()
}

/// The interpreter of the project's own environment, else the one on the path.
fn python(project: &Project<'_>) -> &'static str {
    const OWN: &[&str] = &[".venv/bin/python", "venv/bin/python", "env/bin/python"];
    OWN.iter().copied().find(|path| project.exists(path)).unwrap_or("python3")
}

/// With a `src` layout the package is importable only once it is installed, or by this.
fn source_path(project: &Project<'_>) -> &'static str {
    let in_src = project.files().any(|file| {
        let inner = file.strip_prefix("src/").filter(|inner| inner.ends_with(".py"));
        inner.is_some_and(|inner| !inner.contains('/') || inner.ends_with("/__init__.py"))
    });
    if in_src && !project.has("src/__init__.py") { "PYTHONPATH=src " } else { "" }
}

fn dependencies_hint(project: &Project<'_>, which: Which<'_>, tool: &str) -> Option<String> {
    if python(project) != "python3" {
        return None;
    }
    if let Some((lock, manager)) =
        [("uv.lock", "uv"), ("poetry.lock", "poetry"), ("pdm.lock", "pdm")]
            .into_iter()
            .find(|(lock, manager)| project.has(lock) && !which(manager))
    {
        return Some(format!("{lock} is there, but `{manager}` is not on the path"));
    }
    let requirements = project.first(&[
        "requirements-dev.txt",
        "requirements-test.txt",
        "test-requirements.txt",
        "dev-requirements.txt",
        "requirements/dev.txt",
        "requirements.txt",
    ]);
    if let Some(file) = requirements {
        return Some(format!(
            "there is no virtual environment; if packages are missing: set `test.setup = \"python3 -m pip install -r {file}\"`"
        ));
    }
    (!tool.is_empty() && !which(tool)).then(|| {
        format!("`{tool}` is not on the path: set `test.setup = \"python3 -m pip install {tool}\"`")
    })
}

/// unittest looks only into packages: each folder of test files that is not part of one is searched by
/// itself.
fn unittest(project: &Project<'_>, which: Which<'_>, tests: &[&str]) -> TestPlan {
    let mut starts: Vec<(String, bool)> = Vec::new();
    for file in tests {
        let name = file.rsplit('/').next().unwrap_or(file);
        let start = (start_folder(project, file), !name.starts_with("test"));
        if !starts.contains(&start) {
            starts.push(start);
        }
    }
    // The root's own search goes first, and also finds what lies in packages below it.
    starts.sort();
    starts.truncate(8);
    let python = format!("{}{} -m unittest discover", source_path(project), python(project));
    let commands: Vec<String> = starts
        .iter()
        .map(|(folder, suffixed)| {
            let pattern = if *suffixed { " -p '*_test.py'" } else { "" };
            match folder.as_str() {
                "" => format!("{python}{pattern}"),
                folder => format!("{python} -s {}{pattern}", quoted(folder)),
            }
        })
        .collect();
    let why = starts.first().map_or("", |(folder, _)| folder);
    let why = if why.is_empty() { "tests import unittest".to_owned() } else { format!("{why}/") };
    TestPlan::new("Python", commands.join(" && "), Framework::Unittest, &why)
        .with_hint(dependencies_hint(project, which, ""))
}

/// The folder above the outermost package that a test file belongs to.
fn start_folder(project: &Project<'_>, file: &str) -> String {
    let mut folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    while !folder.is_empty() && project.has(&format!("{folder}/__init__.py")) {
        folder = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
    }
    folder.to_owned()
}

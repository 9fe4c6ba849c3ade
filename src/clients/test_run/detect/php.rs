//! PHP: PHPUnit, or Pest on top of it.

use super::tree::Project;
use super::{TestPlan, Which};
use crate::clients::test_run::readers::Framework;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let composer = project.read("composer.json").unwrap_or_default();
    let config = project.first(&["phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml"]);
    let pest = project.has("tests/Pest.php") || composer.contains("\"pestphp/pest\"");
    let wanted = pest || config.is_some() || composer.contains("\"phpunit/phpunit\"");
    let tests =
        project.files().any(|file| file.starts_with("tests/") && file.ends_with("Test.php"));
    if !wanted && !tests {
        return Vec::new();
    }
    let local = if pest { "vendor/bin/pest" } else { "vendor/bin/phpunit" };
    let installed = project.exists(local);
    let global = !installed && !pest && which("phpunit");
    let program = if global { "phpunit" } else { local };
    // Without a configuration PHPUnit does not know where the tests are; Pest does.
    let folder = if config.is_none() && !pest && tests { " tests" } else { "" };
    let hint = (!installed && !global)
        .then(|| format!("{local} is missing: set `test.setup = \"composer install\"`"));
    let why = match config {
        Some(config) => config,
        None if wanted => "composer.json",
        None => "tests/",
    };
    let plan = TestPlan::new("PHP", format!("{program}{folder}"), Framework::Phpunit, why);
    vec![plan.with_hint(hint)]
}

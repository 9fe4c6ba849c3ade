//! Java, Kotlin and Scala: Maven, Gradle and sbt, by their wrapper where the repository has one. Their
//! consoles say little of passing tests, so the plans name the XML reports.

use super::tree::Project;
use super::{TestPlan, Which, missing_program};
use crate::clients::test_run::readers::Framework;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let mut plans = Vec::new();
    if project.has("pom.xml") {
        let (program, hint) = program(project, "mvnw", "mvn", which);
        // `-fae`: the other modules are tested as well, and all failures known at once.
        let command = format!("{program} -B -ntp -fae test");
        let plan = TestPlan::new(language(project), command, Framework::Maven, "pom.xml");
        plans.push(plan.with_junit("**/target/surefire-reports/TEST-*.xml").with_hint(hint));
    }
    let gradle = ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];
    if let Some(file) = project.first(&gradle) {
        let (program, hint) = program(project, "gradlew", "gradle", which);
        // A daemon would outlive the run.
        let command = format!("{program} test --continue --no-daemon --console=plain");
        let plan = TestPlan::new(language(project), command, Framework::Gradle, file);
        plans.push(plan.with_junit("**/build/test-results/**/TEST-*.xml").with_hint(hint));
    }
    if project.has("build.sbt") {
        let plan = TestPlan::new("Scala", "sbt -batch test", Framework::Unknown, "build.sbt")
            .with_junit("**/target/test-reports/TEST-*.xml");
        plans.push(plan.with_hint(missing_program("sbt", which)));
    }
    plans
}

/// The wrapper of the repository, else the installed program.
fn program(
    project: &Project<'_>,
    wrapper: &str,
    installed: &str,
    which: Which<'_>,
) -> (String, Option<String>) {
    if project.has(wrapper) {
        (project.runnable(wrapper), missing_program("java", which))
    } else {
        (installed.to_owned(), missing_program(installed, which))
    }
}

fn language(project: &Project<'_>) -> &'static str {
    let count = |ending: &str| project.files().filter(|file| file.ends_with(ending)).count();
    if count(".kt") > count(".java") { "Kotlin" } else { "Java" }
}

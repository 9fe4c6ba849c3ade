//! Ruby: RSpec and Minitest, through bundler where there is a Gemfile. A repository may have both.

use super::tree::Project;
use super::{TestPlan, Which, missing_program};
use crate::clients::test_run::readers::Framework;

/// See [`super::Detector`].
pub(super) fn detect(project: &Project<'_>, which: Which<'_>) -> Vec<TestPlan> {
    let bundled = project.has("Gemfile");
    let bundle = if bundled { "bundle exec " } else { "" };
    let hint = missing_program(if bundled { "bundle" } else { "ruby" }, which);
    [rspec(project, bundle), minitest(project, bundle)]
        .into_iter()
        .flatten()
        .map(|plan| plan.with_hint(hint.clone()))
        .collect()
}

fn has_any(project: &Project<'_>, start: &str, end: &str) -> bool {
    project.files().any(|file| file.starts_with(start) && file.ends_with(end))
}

fn rspec(project: &Project<'_>, bundle: &str) -> Option<TestPlan> {
    let why = match project.first(&[".rspec"]) {
        Some(file) => file,
        None if has_any(project, "spec/", "_spec.rb") => "spec/",
        None => return None,
    };
    Some(TestPlan::new("Ruby", format!("{bundle}rspec"), Framework::Rspec, why))
}

fn minitest(project: &Project<'_>, bundle: &str) -> Option<TestPlan> {
    let plan =
        |command: String, why| Some(TestPlan::new("Ruby", command, Framework::Minitest, why));
    if project.has("bin/rails") && has_any(project, "test/", ".rb") {
        return plan("bin/rails test".to_owned(), "bin/rails");
    }
    let rakefile = project.read("Rakefile").unwrap_or_default();
    if rakefile.contains("TestTask") || rakefile.contains("task :test") {
        return plan(format!("{bundle}rake test"), "Rakefile");
    }
    if has_any(project, "test/", "_test.rb") || has_any(project, "test/test_", ".rb") {
        let load = r#"Dir["test/**/{test_*,*_test}.rb"].sort.each { |file| require "./#{file}" }"#;
        return plan(format!("{bundle}ruby -Ilib -Itest -e '{load}'"), "test/");
    }
    None
}

//! Tables of the README that are made from the code, so that they cannot be wrong.

use super::source::root;
use longhaul::config::settings::Settings;
use longhaul::workflow::catalog;
use longhaul::workflow::condition::Condition;
use longhaul::workflow::definition::{Definition, StageDefinition};
use serde_json::Value;

/// The six workflows, as the README shows them.
fn workflows_table() -> String {
    let head = "| workflow | for | stages in order | deadline |\n|---|---|---|---|\n";
    let rows = catalog::all().into_iter().map(|d| workflow_row(&d));
    head.to_owned() + &rows.collect::<String>()
}

fn workflow_row(definition: &Definition) -> String {
    let stages: Vec<String> = definition.stages.iter().map(stage).collect();
    let priority = definition.min_priority.map(|p| format!("; priority at least {p}"));
    let about = format!("{}{}", definition.description, priority.unwrap_or_default());
    let deadline = definition.deadline_ms.map_or_else(String::new, |ms| (ms / 1_000).to_string());
    format!("| `{}` | {about} | {} | {deadline} |\n", definition.name, stages.join(", "))
}

fn stage(stage: &StageDefinition) -> String {
    let seconds = stage.timeout_ms.map(|ms| format!(" {}", ms / 1_000));
    let optional = if stage.required { "" } else { " *o*" };
    let when = stage.when.as_ref().map(|c| format!(" (if `{}`)", condition(c)));
    format!("{}{}{optional}{}", stage.name, seconds.unwrap_or_default(), when.unwrap_or_default())
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Equals { path, equals } => format!("{path} = {equals}"),
        other => serde_json::to_string(other).expect("JSON"),
    }
}

/// Every setting of the program with its default.
fn settings_table() -> String {
    let settings = Settings::read(&|_| None, None, &[]).expect("the defaults are right");
    let head = "| variable | default | what it is |\n|---|---|---|\n";
    head.to_owned() + &settings.explain().iter().map(setting_row).collect::<String>()
}

fn setting_row(setting: &Value) -> String {
    let text = |key: &str| setting[key].as_str().unwrap_or_default().to_owned();
    let value = [text("default"), text("unit")].join(" ");
    let value = if text("default").is_empty() { "none" } else { value.trim() };
    let about = text("about").replace('|', "\\|");
    format!("| `{}` | {} | {about} |\n", text("name"), value)
}

/// What stands between two markers, or why nothing does.
fn between<'a>(readme: &'a str, name: &str) -> Result<&'a str, String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let missing = |what: &str| format!("README.md has no line `{}`", what.trim());
    let (_, after) = readme.split_once(&open).ok_or_else(|| missing(&open))?;
    let (inside, _) = after.split_once(&close).ok_or_else(|| missing(&close))?;
    Ok(inside)
}

fn check(name: &str, expected: &str) {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md");
    let mend = format!(
        "put this between the lines `<!-- {name} -->` and `<!-- /{name} -->` of README.md, or run \
         `LONGHAUL_UPDATE=1 cargo test --test it readme`:\n\n{expected}"
    );
    match between(&readme, name) {
        Ok(inside) if inside == expected => {}
        Ok(inside) if std::env::var_os("LONGHAUL_UPDATE").is_some() => {
            let open = format!("<!-- {name} -->\n");
            let (old, new) = (format!("{open}{inside}"), format!("{open}{expected}"));
            std::fs::write(&path, readme.replacen(&old, &new, 1)).expect("README.md");
        }
        Ok(_) => panic!("the table of {name} is not what the code says; {mend}"),
        Err(missing) => panic!("{missing}; {mend}"),
    }
}

#[test]
fn the_table_of_workflows_is_the_catalog() {
    check("workflows", &workflows_table());
}

#[test]
fn the_table_of_settings_is_complete() {
    check("settings", &settings_table());
}

#[test]
fn markers_are_found_or_named() {
    assert_eq!(between("a\n<!-- x -->\nb\n<!-- /x -->\n", "x"), Ok("b\n"));
    assert_eq!(between("a\n", "x"), Err("README.md has no line `<!-- x -->`".to_owned()));
    let open = "<!-- x -->\nb";
    assert_eq!(between(open, "x"), Err("README.md has no line `<!-- /x -->`".to_owned()));
}

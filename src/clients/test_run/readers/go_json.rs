//! Turns the event stream of `go test -json` back into the text of `go test -v`, package by package,
//! so that there is one reader of Go's results. Packages run side by side and their events are mixed;
//! here each package's lines come together again.

use std::collections::HashMap;

use serde::Deserialize;

use crate::clients::test_run::text::Lines;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'a> {
    #[serde(borrow)]
    action: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    package: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    import_path: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    output: std::borrow::Cow<'a, str>,
}

/// The text that the events stand for, or `None` when there are none; takes their lines.
pub(super) fn unfold(lines: &mut Lines<'_>) -> Option<String> {
    let mut taken = Vec::new();
    let mut packages: Vec<String> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (index, line) in lines.free() {
        let Some(event) = event(line) else { continue };
        taken.push(index);
        if !matches!(event.action.as_ref(), "output" | "build-output") {
            continue;
        }
        // What the compiler says of a package comes under its import path, before its tests.
        let package = if event.package.is_empty() { event.import_path } else { event.package };
        let position = *positions.entry(package.into_owned()).or_insert_with(|| {
            packages.push(String::new());
            packages.len() - 1
        });
        if let Some(text) = packages.get_mut(position) {
            text.push_str(&event.output);
        }
    }
    for index in &taken {
        lines.take(*index..=*index);
    }
    (!taken.is_empty()).then(|| {
        let mut text = String::new();
        for package in packages {
            text.push_str(&package);
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    })
}

fn event(line: &str) -> Option<Event<'_>> {
    let likely = line.starts_with('{') && line.ends_with('}') && line.contains("\"Action\":");
    if !likely {
        return None;
    }
    let event: Event<'_> = serde_json::from_str(line).ok()?;
    let of_a_test = !event.package.is_empty() || !event.import_path.is_empty();
    of_a_test.then_some(event)
}

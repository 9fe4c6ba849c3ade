//! Recognises what the author has filed already: `fix(parser): ...`, `[BUG] ...`, `Feature request: ...`.

use super::names::TaskType;

/// The type named by a prefix and how much it says. `folded` is the text in lower case.
pub(crate) fn filed_as(folded: &str) -> Option<(TaskType, f32)> {
    let start = folded.trim_start_matches([' ', '#', '*']);
    let head: String = start.chars().take(60).collect();
    let convention = conventional(&head).map(|kind| (kind, 6.0));
    convention.or_else(|| label(&head).map(|kind| (kind, 3.0)))
}

fn conventional(head: &str) -> Option<TaskType> {
    let (prefix, rest) = head.split_once(": ").or_else(|| head.split_once(':'))?;
    let word = prefix.trim_end_matches('!').split('(').next().unwrap_or("");
    let scoped = prefix.contains('(') && prefix.trim_end_matches('!').ends_with(')');
    if rest.trim().is_empty() || (word.len() != prefix.trim_end_matches('!').len() && !scoped) {
        return None;
    }
    Some(match word {
        "feat" => TaskType::Feature,
        "fix" | "bugfix" | "hotfix" | "revert" => TaskType::Bugfix,
        "docs" | "doc" => TaskType::Docs,
        "test" | "tests" => TaskType::Test,
        "chore" | "build" | "ci" | "deps" | "release" => TaskType::Chore,
        "refactor" | "perf" | "style" => TaskType::Refactor,
        "spike" | "poc" | "experiment" => TaskType::Experimental,
        _ => return None,
    })
}

fn label(head: &str) -> Option<TaskType> {
    let name = match head.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => head.split_once([':', '：'])?.0,
    };
    Some(match name.trim() {
        "bug" | "bug report" | "defect" | "regression" | "fehler" | "bogue" | "バグ" | "不具合"
        | "버그" | "缺陷" => TaskType::Bugfix,
        "feature" | "feature request" | "user story" | "enhancement" | "wish" | "wunsch"
        | "request" | "要望" => TaskType::Feature,
        "documentation" | "doku" | "文档" | "ドキュメント" | "문서" => TaskType::Docs,
        "refactoring" | "cleanup" | "tech debt" => TaskType::Refactor,
        "research" | "prototype" | "investigation" => TaskType::Experimental,
        "maintenance" | "dependencies" => TaskType::Chore,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_look_alikes_are_not() {
        let kind = |text: &str| filed_as(text).map(|(kind, _)| kind);
        assert_eq!(kind("feat(api)!: return totals"), Some(TaskType::Feature));
        assert_eq!(kind("perf: avoid clones"), Some(TaskType::Refactor));
        assert_eq!(kind("[bug] dropdown stays open"), Some(TaskType::Bugfix));
        assert_eq!(kind("feature request: dark mode"), Some(TaskType::Feature));
        assert_eq!(kind("fix the crash: it hurts"), None);
        assert_eq!(kind("note: docs: are old"), None);
        assert_eq!(kind(""), None);
    }
}

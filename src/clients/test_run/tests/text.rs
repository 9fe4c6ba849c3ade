//! Terminals: colours, progress bars, cut-off outputs.

use super::samples::sample;
use crate::clients::test_run::text::{clean, is_omission};
use crate::clients::test_run::{Outcome, read};

#[test]
fn a_terminal_shows_the_last_state_of_a_line() {
    assert_eq!(clean("10%\r50%\r100%\r\nnext\n"), "100%\nnext\n\n");
    assert_eq!(clean("one\r\n"), "one\n\n");
    assert_eq!(clean("\u{1b}[1m\u{1b}[32mok\u{1b}[0m\tx\n"), "ok\tx\n\n");
}

#[test]
fn an_escape_sequence_without_an_end_does_not_swallow_the_next_line() {
    assert_eq!(clean("a\u{1b}]0;title\nb\n"), "a\nb\n\n");
    assert_eq!(clean("a\u{1b}Pxyz\nb\u{1b}[\nc"), "a\nb\nc\n");
}

#[test]
fn line_ends_and_colours_change_nothing() {
    for name in ["cargo_failing.txt", "pytest_failing.txt", "go_failing.txt", "maven_failing.txt"] {
        let plain = sample(name);
        let coloured: String =
            plain.lines().map(|line| format!("\u{1b}[31m{line}\u{1b}[0m\r\n")).collect();
        let (plain, coloured) = (read(&plain, Some(1), None), read(&coloured, Some(1), None));
        assert_eq!(plain, coloured, "{name}");
    }
}

#[test]
fn the_name_of_a_package_before_each_line_does_not_matter() {
    let plain = sample("vitest_failing.txt");
    for task in ["web:test: ", "packages/web test: ", "@shop/web test:unit: "] {
        let prefixed: String = plain.lines().map(|line| format!("{task}{line}\n")).collect();
        let (plain, prefixed) = (read(&plain, Some(1), None), read(&prefixed, Some(1), None));
        assert_eq!(plain.summary, prefixed.summary, "{task}");
    }
}

#[test]
fn markers_of_omission_are_known_from_other_lines() {
    for marker in [
        "[12,345 bytes omitted]",
        "... 40 lines truncated ...",
        "< truncated lines 3-9 >",
        "… 2 MB left out",
    ] {
        assert!(is_omission(marker), "{marker}");
    }
    for other in ["3 tests skipped", "test truncated ... ok", "[INFO] nothing", "omitted"] {
        assert!(!is_omission(other), "{other}");
    }
}

/// The first and the last quarter, with a marker in between, in the midst of lines.
fn with_its_middle_left_out(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let quarter = chars.len() / 4;
    let head: String = chars[..quarter].iter().collect();
    let tail: String = chars[chars.len() - quarter..].iter().collect();
    format!("{head}\n... {} bytes left out ...\n{tail}", text.len() - head.len() - tail.len())
}

#[test]
fn the_figures_at_the_end_of_a_cut_output_count() {
    for name in
        ["pytest_failing.txt", "jest_failing.txt", "rspec_failing.txt", "nextest_failing.txt"]
    {
        let whole = read(&sample(name), Some(1), None).summary;
        let cut = read(&with_its_middle_left_out(&sample(name)), Some(1), None);
        assert_eq!(cut.outcome, Outcome::Failed);
        let figures = (cut.summary.passed, cut.summary.failed, cut.summary.skipped);
        assert_eq!(figures, (whole.passed, whole.failed, whole.skipped), "{name}");
        assert!(cut.notes.iter().any(|note| note.contains("left out")), "{name}");
    }
}

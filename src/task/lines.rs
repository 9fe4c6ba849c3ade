//! Cuts a text into lines and tells what each line is: item, checkbox, heading, fence, log, prose.
//!
//! One pass, no look at meaning beyond the marks a person types. Never: backtracking, so that 100 KB of one
//! letter costs no more than 100 KB of prose.

use super::fold::Span;

/// What a line is, judged by its marks alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Blank,
    /// Opens or closes a block of code; true when the block holds a scenario.
    Fence {
        scenario: bool,
    },
    /// Line of a log or a stack trace.
    Trace,
    /// `# ...` or a line that is bold as a whole.
    Heading,
    Item,
    Checkbox {
        ticked: bool,
    },
    /// `---` and its like.
    Rule,
    Prose,
}

/// One line of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line without its end.
    pub(crate) whole: Span,
    /// What remains without bullets, `#`, `>` and white space around it.
    pub(crate) body: Span,
    pub(crate) mark: Mark,
    /// Columns of white space in front.
    pub(crate) indent: usize,
}

/// All lines of the text, in order.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let mut out = Vec::new();
    let mut start = 0;
    for piece in text.split('\n') {
        out.push(line(text, Span::new(start, start + piece.len())));
        start += piece.len() + 1;
    }
    out
}

fn line(text: &str, whole: Span) -> Line {
    let indent = whole.of(text).chars().take_while(|c| c.is_whitespace()).count();
    let mut body = whole.trimmed(text, &[]);
    while body.of(text).starts_with('>') {
        body = Span::new(body.start + 1, body.end).trimmed(text, &[]);
    }
    let (mark, body) = classify(text, body);
    Line { whole, body, mark, indent }
}

fn classify(text: &str, body: Span) -> (Mark, Span) {
    let content = body.of(text);
    if content.is_empty() {
        return (Mark::Blank, body);
    }
    if let Some(info) = content.strip_prefix("```").or_else(|| content.strip_prefix("~~~")) {
        let info = info.trim().to_ascii_lowercase();
        return (
            Mark::Fence { scenario: info.starts_with("gherkin") || info.starts_with("feature") },
            body,
        );
    }
    if is_rule(content) {
        return (Mark::Rule, body);
    }
    if content.starts_with('#') {
        return heading(text, body);
    }
    if let Some(found) = checkbox(text, body).or_else(|| item(text, body)) {
        return found;
    }
    if is_trace(content) {
        return (Mark::Trace, body);
    }
    bold(text, body).unwrap_or((Mark::Prose, body))
}

fn is_rule(content: &str) -> bool {
    content.len() >= 3
        && ["-", "=", "*", "_"]
            .iter()
            .any(|one| content.trim_matches(|c| one.contains(c)).is_empty())
}

fn heading(text: &str, body: Span) -> (Mark, Span) {
    let inner = body.of(text).trim_start_matches('#');
    let rest = Span::new(body.end - inner.len(), body.end);
    // `#42 fails` names an issue; a heading has a space.
    if inner.starts_with(char::is_whitespace) && rest.len() > 1 {
        (Mark::Heading, rest.trimmed(text, &['#']))
    } else {
        (Mark::Prose, body)
    }
}

fn bold(text: &str, body: Span) -> Option<(Mark, Span)> {
    let content = body.of(text);
    let bare = content.strip_suffix(':').unwrap_or(content);
    let wrapped =
        |mark: &str| bare.len() > 2 * mark.len() && bare.starts_with(mark) && bare.ends_with(mark);
    (wrapped("**") || wrapped("__")).then(|| (Mark::Heading, body.trimmed(text, &['*', '_', ':'])))
}

const OPEN_BOXES: [&str; 5] = ["[ ]", "[]", "☐", "□", "[　]"];
const TICKED_BOXES: [&str; 9] = ["[x]", "[X]", "[✓]", "[✔]", "☑", "☒", "✅", "✔", "[*]"];

fn checkbox(text: &str, body: Span) -> Option<(Mark, Span)> {
    let inner = without_bullet(text, body).unwrap_or(body);
    let content = inner.of(text);
    let found =
        |boxes: &[&str]| boxes.iter().find(|one| content.starts_with(**one)).map(|one| one.len());
    let (ticked, length) = match (found(&OPEN_BOXES), found(&TICKED_BOXES)) {
        (Some(length), _) => (false, length),
        (None, Some(length)) => (true, length),
        (None, None) => return None,
    };
    let rest = Span::new(inner.start + length, inner.end).trimmed(text, &['\u{fe0f}']);
    (!rest.is_empty()).then_some((Mark::Checkbox { ticked }, rest))
}

fn item(text: &str, body: Span) -> Option<(Mark, Span)> {
    let rest = without_bullet(text, body).or_else(|| without_number(text, body))?;
    (!rest.is_empty()).then_some((Mark::Item, rest))
}

fn without_bullet(text: &str, body: Span) -> Option<Span> {
    let content = body.of(text);
    let first = content.chars().next()?;
    let rest = Span::new(body.start + first.len_utf8(), body.end);
    let spaced = rest.of(text).starts_with(char::is_whitespace);
    let bullet = match first {
        '-' | '*' | '+' | '–' | '—' | '→' | 'o' => spaced,
        '•' | '‣' | '◦' | '▪' | '●' | '○' | '■' | '・' | '·' | '※' => true,
        _ => false,
    };
    bullet.then(|| rest.trimmed(text, &[]))
}

/// `1.`, `12)`, `(3)`, `a)`, `1、`, `①`.
fn without_number(text: &str, body: Span) -> Option<Span> {
    let content = body.of(text);
    if let Some(first) = content.chars().next().filter(|c| ('①'..='⑳').contains(c)) {
        return Some(Span::new(body.start + first.len_utf8(), body.end).trimmed(text, &[]));
    }
    let opened = content.strip_prefix('(').unwrap_or(content);
    let digits = opened.chars().take_while(char::is_ascii_digit).count();
    let letter = digits == 0
        && opened.chars().nth(1) == Some(')')
        && opened.starts_with(|c: char| c.is_ascii_lowercase());
    let width = if letter { 1 } else { digits };
    if width == 0 || width > 3 {
        return None;
    }
    let after = opened.get(width..)?;
    let sign = after.chars().next().filter(|c| matches!(c, '.' | ')' | '、' | '．' | '）'))?;
    let rest = after.get(sign.len_utf8()..)?;
    let wide = !sign.is_ascii();
    // "1.5 seconds" and "2.Juli" are no items; "1) foo" and "1. foo" are.
    if !wide && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    Some(Span::new(body.end - rest.len(), body.end).trimmed(text, &[]))
}

/// Lines that programs write: stack frames, exceptions, log lines with a time in front.
fn is_trace(content: &str) -> bool {
    let starts = |prefix: &str| content.starts_with(prefix);
    let frame =
        starts("at ") && content.contains('(') && content.contains(':') && content.ends_with(')');
    let python =
        starts("Traceback (most recent") || (starts("File \"") && content.contains("line "));
    let java = starts("Caused by:") || starts("Exception in thread") || starts("... ");
    let other = starts("goroutine ")
        || content.contains("panicked at ")
        || starts("panic: ")
        || starts("stack backtrace");
    frame || python || java || other || names_exception(content) || is_log(content)
}

/// `json.decoder.JSONDecodeError: Expecting value`, `java.lang.NullPointerException`.
fn names_exception(content: &str) -> bool {
    let name = content.split([':', ' ']).next().unwrap_or("");
    let after = content.get(name.len()..).unwrap_or("");
    let named = name.ends_with("Error") || name.ends_with("Exception");
    named
        && name.len() > 5
        && name.chars().all(|c| c.is_alphanumeric() || "._$".contains(c))
        && (after.is_empty() || after.starts_with(':'))
}

/// `2024-05-01T12:00:00 ERROR ...`, `[12:00:01] warn ...`.
fn is_log(content: &str) -> bool {
    let head: String = content.chars().take(24).collect();
    let digits = head.chars().filter(char::is_ascii_digit).count();
    let timed = digits >= 6
        && head.contains(':')
        && head.starts_with(|c: char| c.is_ascii_digit() || c == '[');
    timed
        && ["ERROR", "WARN", "INFO", "DEBUG", "FATAL", "TRACE", "error", "warn"]
            .iter()
            .any(|level| content.contains(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, mark: Mark, body: &str) {
        let all = lines(text);
        let first = all[0];
        assert_eq!((first.mark, first.body.of(text)), (mark, body), "{text}");
    }

    #[test]
    fn marks_are_recognised_and_removed() {
        check("- a thing", Mark::Item, "a thing");
        check("  * a thing", Mark::Item, "a thing");
        check("・ログイン", Mark::Item, "ログイン");
        check("12) a thing", Mark::Item, "a thing");
        check("1、一个", Mark::Item, "一个");
        check("- [ ] open", Mark::Checkbox { ticked: false }, "open");
        check("* [x] done", Mark::Checkbox { ticked: true }, "done");
        check("☐ open", Mark::Checkbox { ticked: false }, "open");
        check("## Steps ##", Mark::Heading, "Steps");
        check("**Steps:**", Mark::Heading, "Steps");
        check("> quoted", Mark::Prose, "quoted");
        check("---", Mark::Rule, "---");
        check("```rust", Mark::Fence { scenario: false }, "```rust");
        check("    at Foo.bar(Foo.java:12)", Mark::Trace, "at Foo.bar(Foo.java:12)");
        check("TypeError: x is undefined", Mark::Trace, "TypeError: x is undefined");
        check("\t\r", Mark::Blank, "");
    }

    #[test]
    fn look_alikes_stay_prose() {
        for text in [
            "1.5 seconds are too long",
            "#42 fails",
            "-5 degrees",
            "at noon we met",
            "Error: we made one",
            "2024 was a good year",
        ] {
            check(text, Mark::Prose, text);
        }
    }
}

//! Cuts a sentence into clauses, so that a condition can be told from the request it hangs on.

use super::fold::{Span, is_cjk};

/// Clauses at semicolons, colons and dashes, in Chinese at commas too. None is empty.
pub(crate) fn clauses(text: &str, span: Span) -> Vec<Span> {
    let content = span.of(text);
    let chinese = content.chars().any(is_cjk);
    let mut out = Vec::new();
    let mut start = 0;
    let mut before = ' ';
    let mut chars = content.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let spaced = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        let cut = match c {
            ';' | '；' | '：' => true,
            ':' => spaced,
            '，' => chinese,
            '–' | '—' | '-' => spaced && before.is_whitespace(),
            _ => false,
        };
        if cut {
            push(&mut out, text, Span::new(span.start + start, span.start + at));
            start = at + c.len_utf8();
        }
        before = c;
    }
    push(&mut out, text, Span::new(span.start + start, span.end));
    out
}

/// Parts of a clause between commas. None is empty.
pub(crate) fn comma_segments(text: &str, clause: Span) -> Vec<Span> {
    let mut out = Vec::new();
    let mut start = clause.start;
    for part in clause.of(text).split_inclusive(", ") {
        let end = start + part.len();
        push(&mut out, text, Span::new(start, end).trimmed(text, &[',']));
        start = end;
    }
    out
}

fn push(out: &mut Vec<Span>, text: &str, span: Span) {
    let span = span.trimmed(text, &[]);
    if !span.is_empty() {
        out.push(span);
    }
}

/// Words that tie a condition to what stands before it.
const JOINERS: [&str; 14] = [
    "and ", "but ", "but, ", "und ", "aber ", "et ", "mais ", "y ", "pero ", "e ", "ma ", "mas ",
    "so ", "then ",
];

/// The span without "and" in front.
pub(crate) fn without_joiner(text: &str, span: Span) -> Span {
    let content = span.of(text);
    let joiner = JOINERS
        .iter()
        .find(|word| content.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    Span::new(span.start + joiner.map_or(0, |word| word.len()), span.end)
}

/// Words in front of the last part of a list.
const LIST_JOINERS: [&str; 7] = ["and ", "und ", "et ", "y ", "e ", "sowie ", "ainsi que "];

/// The parts of "a, b, and c."; parts of one or two words are no conditions, then the sentence is one.
pub(crate) fn list_parts(text: &str, sentence: Span) -> Vec<Span> {
    let content = sentence.of(text);
    let mut parts = Vec::new();
    let mut start = sentence.start;
    for part in content.split_inclusive([',', ';', '，', '；', '、']) {
        let end = start + part.len();
        let mut span =
            Span::new(start, end).trimmed(text, &[',', ';', '，', '；', '、', '.', '。']);
        if let Some(joiner) = LIST_JOINERS.iter().find(|joiner| span.of(text).starts_with(**joiner))
        {
            span.start += joiner.len();
        }
        parts.push(span);
        start = end;
    }
    let whole_conditions = parts.iter().all(|part| {
        part.of(text).split_whitespace().count() >= 3 || part.of(text).chars().any(is_cjk)
    });
    if whole_conditions {
        parts.into_iter().filter(|part| !part.is_empty()).collect()
    } else {
        vec![sentence]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = clauses(text, Span::new(0, text.len()));
        assert_eq!(found.iter().map(|span| span.of(text)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn clauses_end_at_semicolons_colons_and_dashes() {
        check("Drop TLS 1.1; clients get an error.", &["Drop TLS 1.1", "clients get an error."]);
        check(
            "Cookie banner: nothing at 10:30 - nothing",
            &["Cookie banner", "nothing at 10:30", "nothing"],
        );
        check("新增：用户可以导出，文件必须完整。", &["新增", "用户可以导出", "文件必须完整。"]);
        check("re-use the well-known one", &["re-use the well-known one"]);
    }

    #[test]
    fn segments_lose_their_joiner() {
        let text = "Migrate it, and keep releasing weekly";
        let segments = comma_segments(text, Span::new(0, text.len()));
        assert_eq!(segments.len(), 2);
        assert_eq!(without_joiner(text, segments[1]).of(text), "keep releasing weekly");
    }
}

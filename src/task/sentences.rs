//! Cuts a stretch of prose into sentences, keeping byte offsets.
//!
//! A full stop inside a token (`login.js`, `v1.2`, `example.com`) or after an abbreviation ends nothing.

use super::calendar::is_month;
use super::fold::{Span, floor_boundary, is_cjk};

/// Tokens whose full stop does not end a sentence, in lower case and without the last stop.
const ABBREVIATIONS: [&str; 37] = [
    "e.g", "i.e", "eg", "ie", "etc", "vs", "approx", "incl", "excl", "resp", "max", "min", "no",
    "nr", "dr", "mr", "mrs", "ms", "st", "z.b", "d.h", "u.a", "bzw", "ca", "ggf", "evtl", "inkl",
    "usw", "vgl", "s", "p.ej", "ej", "p.ex", "ex", "sr", "sra", "art",
];

/// The sentences of `span`, trimmed, none of them empty.
pub(crate) fn sentences(text: &str, folded: &str, span: Span) -> Vec<Span> {
    let mut out = Vec::new();
    let mut start = span.start;
    let mut chars = span.of(text).char_indices().peekable();
    while let Some((offset, c)) = chars.next() {
        let end = span.start + offset + c.len_utf8();
        let next = chars.peek().map(|(_, next)| *next);
        if ends_sentence(folded, Span::new(start, end), c, next) {
            push(&mut out, text, Span::new(start, end));
            start = end;
        }
    }
    push(&mut out, text, Span::new(start, span.end));
    out
}

fn push(out: &mut Vec<Span>, text: &str, span: Span) {
    let trimmed = span.trimmed(text, &[]);
    if trimmed.of(text).contains(char::is_alphanumeric) {
        out.push(trimmed);
    } else if let (Some(last), false) = (out.last_mut(), trimmed.is_empty()) {
        // A lonely "!" or ")" belongs to the sentence before it.
        last.end = trimmed.end;
    }
}

fn ends_sentence(folded: &str, so_far: Span, c: char, next: Option<char>) -> bool {
    match c {
        '。' | '！' | '？' => {
            !next.is_some_and(|n| matches!(n, '。' | '！' | '？' | '」' | '）' | '”'))
        }
        '!' | '?' => next.is_none_or(|n| n.is_whitespace() || is_cjk(n)),
        '.' => next.is_none_or(char::is_whitespace) && !is_abbreviation(folded, so_far),
        _ => false,
    }
}

fn is_abbreviation(folded: &str, so_far: Span) -> bool {
    // Abbreviations are short: looking at a few bytes keeps the work linear for a text of full stops.
    let from = floor_boundary(folded, so_far.end.saturating_sub(12)).max(so_far.start);
    let tail = Span::new(from, so_far.end.saturating_sub(1)).of(folded);
    let token = tail.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    // "30. Juni" and "im 2. Schritt", "J. Doe", a stop on its own; but "... the number 7. Zeros ..." ends.
    let ordinal = token.is_empty()
        || (token.len() <= 2
            && token.chars().all(|c| c.is_ascii_digit())
            && goes_on(folded, so_far.end));
    let initial = token.chars().count() == 1 && token.chars().all(char::is_alphabetic);
    ordinal || initial || ABBREVIATIONS.contains(&token)
}

/// Whether the word behind a number with a full stop is a month, as after an ordinal.
fn goes_on(folded: &str, at: usize) -> bool {
    let end = floor_boundary(folded, at + 16);
    let word = Span::new(at, end)
        .of(folded)
        .trim_start()
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or("");
    is_month(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::fold::fold;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = sentences(text, &fold(text), Span::new(0, text.len()));
        assert_eq!(found.iter().map(|span| span.of(text)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        check("One. Two! Three?", &["One.", "Two!", "Three?"]);
        check(
            "Fix src/auth/login.js now. Then v1.2 of example.com.",
            &["Fix src/auth/login.js now.", "Then v1.2 of example.com."],
        );
        check("Some, e.g. this one. Next", &["Some, e.g. this one.", "Next"]);
        check("Read as the number 7. Zeros stay.", &["Read as the number 7.", "Zeros stay."]);
        check("Bis zum 30. Juni fertig. Danke.", &["Bis zum 30. Juni fertig.", "Danke."]);
        check("停止しています。至急！", &["停止しています。", "至急！"]);
        check("Really?! (yes) ", &["Really?!", "(yes)"]);
        check("...", &[]);
    }
}

//! Text in the form that is searched: lower case, one space for any white space, and as long as the original.
//!
//! Every byte keeps its place, so that an offset found in the folded text holds in the description too.
//! Characters whose lower case has another length (İ, ẞ, the Kelvin sign) are left alone.

/// A stretch of bytes: `start` inclusive, `end` exclusive, both on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    pub(crate) const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(crate) const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The bytes of `text`; empty should the span not fit, which keeps a slip from becoming a crash.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or("")
    }

    /// The span without white space (and the given characters) at both ends.
    pub(crate) fn trimmed(self, text: &str, extra: &[char]) -> Self {
        let part = self.of(text);
        let strip = |c: char| c.is_whitespace() || c.is_control() || extra.contains(&c);
        let front = part.trim_start_matches(strip);
        let start = self.end - front.len();
        Self::new(start, start + front.trim_end_matches(strip).len())
    }
}

/// Lower case, white space as spaces, same length in bytes, same character boundaries.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(fold_char(c));
    }
    out
}

fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return if c.is_ascii_whitespace() { ' ' } else { c.to_ascii_lowercase() };
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
        (Some(_) | None, _) => c,
    }
}

/// Writing systems without spaces between words: there, a word has no border to check.
pub(crate) const fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{2e80}'..='\u{2fdf}' | '\u{3001}'..='\u{30ff}' | '\u{3130}'..='\u{318f}' | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}')
}

/// A character that continues a word of a language with spaces. `_` does not: `test_login` are two words.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() && !is_cjk(c)
}

/// The largest character boundary at or below `at`.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

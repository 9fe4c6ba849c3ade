//! What a test run printed, made fit for reading: no colours, no carriage returns, cut into lines,
//! with a mark on each line that some reader has already understood.
//!
//! Knows terminals, and nothing of test frameworks. Never: looks at a line more than a fixed number
//! of times, so that ten megabytes of output cost ten times one megabyte.

use std::ops::RangeInclusive;

use regex::Regex;

/// The longest message kept for one failure, in characters.
pub(super) const MESSAGE_CHARS_MAX: usize = 2_000;

/// Builds a pattern that is written in this program.
///
/// The only place where a pattern may panic: its text is a constant, so a wrong one is a mistake in
/// the source, and the first test that reaches it says so.
#[expect(clippy::expect_used, reason = "the source of the pattern is a constant of this program")]
pub(super) fn pattern(source: &'static str) -> Regex {
    Regex::new(source).expect("a pattern written in the program is valid")
}

/// Declares patterns that are compiled on first use.
macro_rules! patterns {
    ($($name:ident = $source:expr;)+) => {
        $(static $name: std::sync::LazyLock<regex::Regex> =
            std::sync::LazyLock::new(|| $crate::clients::test_run::text::pattern($source));)+
    };
}
pub(super) use patterns;

patterns! {
    // Runners of many packages put `web:test: ` (turbo) or `packages/web test: ` (pnpm, bun) before lines.
    TASK = r"^@?[\w./-]+[: ](?:test|unit|check)[\w:.-]*:(?: |$)";
    OMITTED = r"(?i)^\s*(?:\[|<|\(|\.{3}|…|-{2}|={2}).*\b(?:omitted|truncated|left out|elided)\b";
}

/// Takes out escape sequences and carriage returns.
///
/// Each line is cleaned by itself: an escape sequence that never ends (a cut-off one, or one printed
/// on purpose) cannot swallow the lines after it. Of a progress bar, which writes one line many times
/// over with `\r`, the last state stays, as on a terminal.
pub(super) fn clean(output: &str) -> String {
    let mut text = String::with_capacity(output.len());
    for line in output.split('\n') {
        let visible = line
            .trim_end_matches('\r')
            .rsplit('\r')
            .find(|part| !part.trim().is_empty())
            .unwrap_or("");
        for part in anstream::adapter::strip_str(visible) {
            text.push_str(part);
        }
        text.push('\n');
    }
    text
}

/// The lines of an output, and which of them were understood.
pub(super) struct Lines<'a> {
    lines: Vec<&'a str>,
    taken: Vec<bool>,
}

impl<'a> Lines<'a> {
    /// Cuts a cleaned text into lines, all of them free.
    pub(super) fn new(text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().map(without_task).collect();
        let taken = vec![false; lines.len()];
        Self { lines, taken }
    }

    /// Number of lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The line at `index`, or an empty one past the end.
    pub(super) fn at(&self, index: usize) -> &'a str {
        self.lines.get(index).copied().unwrap_or("")
    }

    /// Lines that no reader has taken yet, with their indices.
    pub(super) fn free(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.lines
            .iter()
            .zip(&self.taken)
            .enumerate()
            .filter(|(_, (_, taken))| !**taken)
            .map(|(index, (line, _))| (index, *line))
    }

    /// All lines from `start` on, with their indices.
    pub(super) fn from(&self, start: usize) -> impl Iterator<Item = (usize, &'a str)> {
        self.lines.iter().copied().enumerate().skip(start)
    }

    /// The lines `start..end` with their indices.
    pub(super) fn between(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = (usize, &'a str)> {
        self.from(start).take(end.saturating_sub(start))
    }

    /// The lines `start..end`, an `end` before `start` giving none.
    pub(super) fn slice(&self, start: usize, end: usize) -> &[&'a str] {
        let end = end.min(self.lines.len());
        self.lines.get(start..end).unwrap_or(&[])
    }

    /// Marks lines as understood, so that no later reader counts them again.
    pub(super) fn take(&mut self, range: RangeInclusive<usize>) {
        let end = (*range.end()).min(self.taken.len().saturating_sub(1));
        if let Some(part) = self.taken.get_mut(*range.start()..=end) {
            part.fill(true);
        }
    }

    /// The line that stands for an omitted middle, if there is one.
    pub(super) fn omission(&self) -> Option<usize> {
        self.lines.iter().position(|line| is_omission(line))
    }

    /// The last lines that say something, oldest first: what is shown when nothing was understood.
    pub(super) fn last_useful(&self, count: usize) -> Vec<&'a str> {
        let mut last: Vec<&str> = self
            .lines
            .iter()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(count)
            .copied()
            .collect();
        last.reverse();
        last
    }
}

/// The line without the name of the task that printed it.
fn without_task(line: &str) -> &str {
    // Most lines do not even have the words.
    let head = &line[..boundary(line, 120)];
    if !["test", "unit", "check"].iter().any(|word| head.contains(word)) {
        return line;
    }
    TASK.find(line).map_or(line, |task| &line[task.end()..])
}

/// Whether a line says that a part of the output was left out: `[12,345 bytes omitted]`,
/// `... 40 bytes left out ...`, `--- truncated ---` and the like.
pub(super) fn is_omission(line: &str) -> bool {
    line.len() <= 120 && OMITTED.is_match(line)
}

/// The last place at or before `index` where a character begins.
fn boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Shortens a text to `chars_max` characters; its middle goes, because messages say what is wrong at
/// their beginning and logs at their end.
pub(super) fn bounded(text: &str, chars_max: usize) -> String {
    // No text has more characters than bytes, so most are answered without counting.
    if text.len() <= chars_max {
        return text.to_owned();
    }
    let count = text.chars().count();
    if count <= chars_max {
        return text.to_owned();
    }
    const GAP: &str = "\n[...]\n";
    let room = chars_max.saturating_sub(GAP.len());
    if room < 40 {
        return text.chars().take(chars_max).collect();
    }
    let head: String = text.chars().take(room * 2 / 3).collect();
    let tail: String = text.chars().skip(count - (room - room * 2 / 3)).collect();
    format!("{head}{GAP}{tail}")
}

/// A message from the lines of a report: empty lines at both ends and the common indent are taken
/// off, and it is bounded.
pub(super) fn message<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    // Far more than a message can hold, so that a huge section is not copied whole.
    let lines: Vec<&str> = lines.into_iter().take(2_000).collect();
    let first = lines.iter().position(|line| !line.trim().is_empty());
    let last = lines.iter().rposition(|line| !line.trim().is_empty());
    let (Some(first), Some(last)) = (first, last) else {
        return String::new();
    };
    let lines = &lines[first..=last];
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start_matches(' ').len())
        .min()
        .unwrap_or(0);
    let text: Vec<&str> =
        lines.iter().map(|line| line.get(indent..).unwrap_or("").trim_end()).collect();
    bounded(&text.join("\n"), MESSAGE_CHARS_MAX)
}

/// A count in digits; anything else is 0, and nobody has more than a thousand million tests. Sums of
/// counts so never come near the end of 64 bits.
pub(super) fn number(digits: &str) -> u64 {
    let count: u64 = digits.trim().replace(',', "").parse().unwrap_or(0);
    count.min(1_000_000_000)
}

/// Whether a line is drawn of one character only, at least `least` of it.
pub(super) fn is_rule(line: &str, character: char, least: usize) -> bool {
    let line = line.trim_end();
    line.len() >= least && line.chars().all(|c| c == character)
}

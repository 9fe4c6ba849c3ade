//! A source file taken apart: code without comments and text, the texts, and what is only test.
//!
//! A lexer of the few tokens that matter (comments, strings, characters), not a parser.

use std::path::{Path, PathBuf};

/// A Rust file of the repository.
pub(crate) struct Source {
    /// Its path below the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Lines with comments and the insides of strings blanked out.
    pub(crate) code: Vec<String>,
    /// Strings, each with the line it begins on (from 1).
    pub(crate) strings: Vec<(usize, String)>,
    /// The first line (from 1) of the test module at the end; one past the last if there is none.
    pub(crate) tests_from: usize,
}

impl Source {
    /// Lines of code that are part of the program, with their numbers from 1.
    pub(crate) fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()));
        lines.filter(|(number, _)| *number < self.tests_from)
    }

    /// Strings that are part of the program.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        let strings = self.strings.iter().map(|(number, text)| (*number, text.as_str()));
        strings.filter(|(number, _)| *number < self.tests_from)
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository, sorted.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A path below the repository, with `/`.
pub(crate) fn shown(path: &Path) -> String {
    let root = root();
    let parts = path.strip_prefix(&root).unwrap_or(path).components();
    parts.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// Every Rust file below `src`.
pub(crate) fn sources() -> Vec<Source> {
    let rust = files("src").into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        source(&shown(&path), text)
    })
    .collect()
}

/// Takes a file apart.
pub(crate) fn source(path: &str, text: String) -> Source {
    let (code, strings) = lex(&text);
    let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
    let module = code.iter().position(|l| l.trim_start().starts_with("#[cfg(test)]"));
    let tests_from = if is_test { 0 } else { module.unwrap_or(code.len()) + 1 };
    Source { path: path.to_owned(), text, code, strings, tests_from }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    code: String,
    strings: Vec<(usize, String)>,
}

fn lex(text: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let mut lexer = Lexer { rest: text, line: 1, code: String::new(), strings: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.token();
    }
    (lexer.code.lines().map(str::to_owned).collect(), lexer.strings)
}

impl Lexer<'_> {
    fn token(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            return self.blank(end);
        }
        if self.rest.starts_with("/*") {
            let end = self.rest.find("*/").map_or(self.rest.len(), |at| at + 2);
            return self.blank(end);
        }
        if let Some((open, close)) = self.raw() {
            return self.string(open, &close, false);
        }
        if self.rest.starts_with('"') {
            return self.string(1, "\"", true);
        }
        if let Some(length) = self.character() {
            return self.blank(length);
        }
        // A word as a whole, so that the `r` of `for"` does not begin a raw string.
        let word =
            self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let length = word.max(self.rest.chars().next().map_or(1, char::len_utf8));
        self.keep(length);
    }

    /// The length of `r##"` and what closes it.
    fn raw(&self) -> Option<(usize, String)> {
        let after = self.rest.strip_prefix("br").or_else(|| self.rest.strip_prefix('r'))?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        let open = self.rest.len() - after.len() + hashes + 1;
        after[hashes..].starts_with('"').then(|| (open, format!("\"{}", "#".repeat(hashes))))
    }

    /// The length of `'x'` or `'\n'`; a lifetime is none.
    fn character(&self) -> Option<usize> {
        let inside = self.rest.strip_prefix('\'')?;
        let is_escaped = inside.starts_with('\\');
        let from = if is_escaped { 2 } else { inside.chars().next()?.len_utf8() };
        let end = inside.get(from..)?.find('\'')? + from;
        (is_escaped || end == from).then_some(end + 2)
    }

    fn string(&mut self, open: usize, close: &str, has_escapes: bool) {
        let inside = &self.rest[open..];
        let mut end = 0;
        while end < inside.len() && !inside[end..].starts_with(close) {
            let is_escape = has_escapes && inside[end..].starts_with('\\');
            let step = |from: usize| inside[from..].chars().next().map_or(1, char::len_utf8);
            end += step(end);
            if is_escape && end < inside.len() {
                end += step(end);
            }
        }
        self.strings.push((self.line, inside[..end].to_owned()));
        let length = (open + end + close.len()).min(self.rest.len());
        self.code.push_str("\"\"");
        self.blank(length);
    }

    fn keep(&mut self, length: usize) {
        let (token, rest) = self.rest.split_at(length);
        self.code.push_str(token);
        self.line += token.matches('\n').count();
        self.rest = rest;
    }

    /// Leaves out what is not code, but keeps its lines.
    fn blank(&mut self, length: usize) {
        let (token, rest) = self.rest.split_at(length);
        let lines = token.matches('\n').count();
        self.code.push_str(&"\n".repeat(lines));
        self.line += lines;
        self.rest = rest;
    }
}

//! Picks up what a text says in passing: deadline, dependencies, assignee, repository.
//!
//! Each needs a word that announces it ("by", "depends on", "assignee:", "repo:"); a bare date or `#12` means
//! nothing on its own.

use chrono::{DateTime, NaiveDate, Utc};

use super::calendar::{day, end_of};
use super::cue::{Cue, Section};
use super::fold::{Span, floor_boundary};
use super::lexicon::Hit;
use super::pieces::Zone;
use super::reading::Reading;

/// Announcements of a date that are looked at.
const DATES_MAX: usize = 200;
/// Dependencies kept, at most.
const DEPENDENCIES_MAX: usize = 50;
/// Bytes of a dependency that is not a reference.
const DEPENDENCY_BYTES_MAX: usize = 80;

/// When it has to be done: the earliest date that a word like "by" or "deadline" announces.
pub(crate) fn deadline(reading: &Reading, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let today = now.date_naive();
    announced(reading, Cue::Due)
        .take(DATES_MAX)
        .filter_map(|(span, hit)| date_near(reading, span, hit, today))
        .min()
        .and_then(end_of)
}

/// Hits of `cue` in text that speaks of the work, each with the span of its piece.
fn announced<'a>(reading: &'a Reading, cue: Cue) -> impl Iterator<Item = (Span, &'a Hit)> {
    let speaks = |zone: Zone| matches!(zone, Zone::In(Section::Request | Section::Other));
    reading.parts.iter().filter(move |part| speaks(part.piece.zone)).flat_map(move |part| {
        part.hits.iter().filter(move |hit| hit.cue == cue).map(move |hit| (part.piece.whole, hit))
    })
}

fn date_near(reading: &Reading, piece: Span, hit: &Hit, today: NaiveDate) -> Option<NaiveDate> {
    const AFTER_BYTES: usize = 40;
    let end = floor_boundary(reading.text, (hit.span.end + AFTER_BYTES).min(piece.end));
    let after = reading
        .folded(Span::new(hit.span.end, end))
        .trim_start_matches([' ', ':', '：', '*', '(', '-']);
    let skipped = [
        "the ", "next ", "end of ", "on ", "zum ", "am ", "den ", "dem ", "der ", "le ", "el ",
        "il ", "is ", "ist ", "は", "为", "是",
    ];
    let bare = skipped.iter().find_map(|word| after.strip_prefix(word)).unwrap_or(after);
    day(after, today).or_else(|| day(bare, today))
}

/// Tasks, pull requests or things it waits for.
pub(crate) fn dependencies(reading: &Reading) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for (piece, hit) in announced(reading, Cue::WaitsFor).take(2 * DEPENDENCIES_MAX) {
        for one in named_after(reading, piece, hit) {
            if out.len() < DEPENDENCIES_MAX && !out.contains(&one) {
                out.push(one);
            }
        }
    }
    out
}

fn named_after(reading: &Reading, piece: Span, hit: &Hit) -> Vec<String> {
    // A phrase that ends in `#` has taken the first sign of the reference with it.
    let from =
        if hit.span.of(reading.text).ends_with('#') { hit.span.end - 1 } else { hit.span.end };
    let limit = floor_boundary(reading.text, (from + 4 * DEPENDENCY_BYTES_MAX).min(piece.end));
    let clause = Span::new(from, limit).of(reading.text);
    let clause = clause.split([';', '。', '\n']).next().unwrap_or("");
    let clause = clause.split(". ").next().unwrap_or("");
    let references: Vec<String> = clause
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')'))
        .filter_map(reference)
        .collect();
    if !references.is_empty() {
        return references;
    }
    let first = clause
        .split([',', '，'])
        .next()
        .unwrap_or("")
        .trim_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '.' | '：'));
    let short = first.get(..floor_boundary(first, DEPENDENCY_BYTES_MAX)).unwrap_or("");
    let named = short.chars().any(char::is_alphanumeric) && short.len() == first.len();
    if named { vec![short.to_owned()] } else { Vec::new() }
}

/// `#12`, `owner/name#12`, `ABC-123` or a URL.
fn reference(token: &str) -> Option<String> {
    let bare = token.trim_matches(|c: char| matches!(c, '.' | ':' | '!' | '?' | '"' | '\'' | '`'));
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
    };
    let issue = bare.split_once('#').is_some_and(|(_, number)| digits(number));
    let key = bare.split_once('-').is_some_and(|(project, number)| {
        digits(number)
            && project.len() >= 2
            && project.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && !project.starts_with(|c: char| c.is_ascii_digit())
    });
    let url = bare.starts_with("https://") || bare.starts_with("http://");
    (issue || (key && !bare.starts_with("UTF-") && !bare.starts_with("ISO-")) || url)
        .then(|| bare.to_owned())
}

/// Who should do it, without `@`.
pub(crate) fn assignee(reading: &Reading) -> Option<String> {
    announced(reading, Cue::AssignedTo).find_map(|(piece, hit)| {
        let after = Span::new(hit.span.end, piece.end)
            .of(reading.text)
            .trim_start_matches([' ', '*', ':', '：', '@']);
        let name: String = after
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
            .take(60)
            .collect();
        let name = name.trim_end_matches(['.', '-']).to_owned();
        (!name.is_empty()).then_some(name)
    })
}

/// `owner/name` or a URL of a forge, if the text names one.
pub(crate) fn repository(reading: &Reading) -> Option<String> {
    let named = announced(reading, Cue::RepositoryField).find_map(|(piece, hit)| {
        let after = Span::new(hit.span.end, piece.end)
            .of(reading.text)
            .trim_start_matches([' ', '*', '`', '"']);
        let token = after
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '`' | '"' | ')'))
            .next()?
            .trim_end_matches(['.', ':', ';']);
        is_repository(token).then(|| token.to_owned())
    });
    named.or_else(|| forge_url(reading.text))
}

fn is_repository(token: &str) -> bool {
    let parts: Vec<&str> = token.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    token.starts_with("https://")
        || token.starts_with("git@")
        || (parts.len() == 2 && parts.iter().all(plain))
}

/// `https://github.com/owner/name`, cut before whatever follows the name.
fn forge_url(text: &str) -> Option<String> {
    const FORGES: [&str; 4] = [
        "https://github.com/",
        "https://gitlab.com/",
        "https://codeberg.org/",
        "https://bitbucket.org/",
    ];
    FORGES.iter().find_map(|forge| {
        let after = text.split_once(forge)?.1;
        let mut parts = after.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let (owner, name) = (parts.next()?, parts.next()?.trim_end_matches('.'));
        let name = name.strip_suffix(".git").unwrap_or(name);
        (!owner.is_empty() && !name.is_empty()).then(|| format!("{forge}{owner}/{name}"))
    })
}

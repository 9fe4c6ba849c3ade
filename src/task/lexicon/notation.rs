//! Reads the notation of the lexicon files. Lines it cannot read are left out; a test keeps that from happening.

use crate::task::cue::Cue;
use crate::task::language::Tongue;

/// One meaning of one phrase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) cue: Cue,
    pub(super) weight: f32,
    pub(super) tongue: Tongue,
    /// The word may go on to the left.
    pub(super) open_left: bool,
    /// The word may go on to the right.
    pub(super) open_right: bool,
}

/// Every spelling of every phrase with its meaning, in the order of the files.
pub(super) fn entries(sources: &[&str]) -> Vec<(String, Entry)> {
    let mut out = Vec::with_capacity(20_000);
    for (phrase, entry) in sources.iter().flat_map(|source| read(source)) {
        out.extend(spellings(phrase, entry.tongue).into_iter().map(|spelling| (spelling, entry)));
    }
    out
}

fn read(source: &str) -> Vec<(String, Entry)> {
    let mut cue = None;
    let mut out = Vec::new();
    for line in
        source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cue = Cue::named(name);
        } else if let (Some(cue), Some((tongue, list))) = (cue, tongue_and_list(line)) {
            out.extend(items(list).into_iter().filter_map(|item| entry(&item, cue, tongue)));
        }
    }
    out
}

fn tongue_and_list(line: &str) -> Option<(Tongue, &str)> {
    let (tag, list) = line.split_once(": ")?;
    Some((Tongue::tagged(tag)?, list))
}

fn items(list: &str) -> Vec<String> {
    if list.contains('\\') {
        return list
            .replace("\\,", "\u{1}")
            .split(',')
            .map(|item| item.trim().replace('\u{1}', ","))
            .collect();
    }
    list.split(',').map(|item| item.trim().to_owned()).collect()
}

fn entry(item: &str, cue: Cue, tongue: Tongue) -> Option<(String, Entry)> {
    let (phrase, weight) = match item.rsplit_once(" ^") {
        Some((phrase, number)) => (phrase.trim(), number.parse().ok()?),
        None => (item, 1.0),
    };
    let open_left = phrase.starts_with('*');
    let open_right = phrase.ends_with('*');
    let bare = phrase.trim_matches('*');
    if bare.is_empty() || bare.contains('*') {
        return None;
    }
    Some((bare.to_owned(), Entry { cue, weight, tongue, open_left, open_right }))
}

/// The phrase as people also write it.
fn spellings(phrase: String, tongue: Tongue) -> Vec<String> {
    let mut others: Vec<String> = Vec::new();
    if phrase.contains('\'') {
        others.push(phrase.replace('\'', "’"));
    }
    if phrase.contains('-') && phrase.len() > 3 {
        others.push(phrase.replace('-', " "));
    }
    if !phrase.is_ascii() && !tongue.has_own_script() {
        if phrase.chars().count() > 3 {
            others.push(phrase.chars().map(without_accent).collect());
        }
        if tongue == Tongue::German {
            others.push(
                phrase.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue").replace('ß', "ss"),
            );
        }
    }
    others.retain(|other| *other != phrase);
    others.push(phrase);
    others
}

const fn without_accent(c: char) -> char {
    match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' => 'a',
        'ç' => 'c',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        other => other,
    }
}

/// Items and sections of a source that `read` would leave out, for the test that keeps the lists clean.
#[cfg(test)]
pub(super) fn unreadable(source: &str) -> Vec<String> {
    let mut bad = Vec::new();
    let mut cue = None;
    for line in
        source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cue = Cue::named(name);
            if cue.is_none() {
                bad.push(line.to_owned());
            }
        } else if let (Some(cue), Some((tongue, list))) = (cue, tongue_and_list(line)) {
            let lower = |item: &str| item == item.to_lowercase();
            bad.extend(
                items(list)
                    .into_iter()
                    .filter(|item| entry(item, cue, tongue).is_none() || !lower(item)),
            );
        } else {
            bad.push(line.to_owned());
        }
    }
    bad
}

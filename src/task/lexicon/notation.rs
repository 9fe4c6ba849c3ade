//! Reads the notation of the lexicon files. Lines it cannot read are left out; a test keeps that from happening.

use std::collections::HashMap;

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

/// All phrases and, at the same index, their meanings.
pub(super) fn entries(sources: &[&str]) -> (Vec<String>, Vec<Vec<Entry>>) {
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut phrases: Vec<String> = Vec::new();
    let mut meanings: Vec<Vec<Entry>> = Vec::new();
    for (phrase, entry) in sources.iter().flat_map(|source| read(source)) {
        for spelling in spellings(&phrase, entry.tongue) {
            let at = *index.entry(spelling.clone()).or_insert_with(|| {
                phrases.push(spelling);
                meanings.push(Vec::new());
                phrases.len() - 1
            });
            let Some(list) = meanings.get_mut(at) else { continue };
            if !list.iter().any(|one| one.cue == entry.cue && one.tongue == entry.tongue) {
                list.push(entry);
            }
        }
    }
    (phrases, meanings)
}

fn read(source: &str) -> Vec<(String, Entry)> {
    let mut cue = None;
    let mut out = Vec::new();
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
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
    list.replace("\\,", "\u{1}").split(',').map(|item| item.trim().replace('\u{1}', ",")).collect()
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
fn spellings(phrase: &str, tongue: Tongue) -> Vec<String> {
    let mut all = vec![phrase.to_owned()];
    let mut also = |spelling: String| {
        if !all.contains(&spelling) {
            all.push(spelling);
        }
    };
    if phrase.contains('\'') {
        also(phrase.replace('\'', "’"));
    }
    if phrase.contains('-') && phrase.len() > 3 {
        also(phrase.replace('-', " "));
    }
    let plain: String = phrase.chars().map(without_accent).collect();
    if phrase.chars().count() > 3 {
        also(plain);
    }
    if tongue == Tongue::German {
        also(phrase.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue").replace('ß', "ss"));
    }
    all
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
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cue = Cue::named(name);
            if cue.is_none() {
                bad.push(line.to_owned());
            }
        } else if let (Some(cue), Some((tongue, list))) = (cue, tongue_and_list(line)) {
            let lower = |item: &str| item == item.to_lowercase();
            bad.extend(items(list).into_iter().filter(|item| entry(item, cue, tongue).is_none() || !lower(item)));
        } else {
            bad.push(line.to_owned());
        }
    }
    bad
}

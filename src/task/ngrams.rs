//! Words and pairs of words as numbers: what the trained model sees of a text.
//!
//! Features are hashed into a fixed number of buckets, so no word list is stored and unknown words cost
//! nothing. Trainer and parser share this file; a change here needs a new `assets/type.bin`.

use super::fold::is_cjk;

/// Buckets the features are hashed into.
pub const BUCKETS: usize = 1 << 15;

/// Bytes looked at from the beginning and the end of a text: enough for a label, and a bound on the work.
const HEAD_BYTES: usize = 6 * 1024;
const TAIL_BYTES: usize = 3 * 1024;
/// Longest word that is kept; longer ones are data.
const WORD_CHARS_MAX: usize = 30;
/// Words of the body count this much of a word of the first line.
const BODY_WEIGHT: f32 = 1.0;

/// The features of a text: bucket and value, sorted by bucket, with length one in the Euclidean sense.
#[must_use]
pub fn features(text: &str) -> Vec<(usize, f32)> {
    let sample = sample(text);
    let (title, body) = sample.split_once('\n').unwrap_or((&sample, ""));
    let mut found: Vec<(usize, f32)> = Vec::new();
    collect(title, 1.0, true, &mut found);
    collect(body, BODY_WEIGHT, false, &mut found);
    normalised(found)
}

fn sample(text: &str) -> String {
    let head_end = super::fold::floor_boundary(text, HEAD_BYTES);
    let tail_start =
        super::fold::floor_boundary(text, text.len().saturating_sub(TAIL_BYTES)).max(head_end);
    let mut out = String::with_capacity(HEAD_BYTES + TAIL_BYTES);
    out.push_str(text.get(..head_end).unwrap_or("").trim_start());
    out.push_str(text.get(tail_start..).unwrap_or(""));
    out
}

fn collect(text: &str, weight: f32, title: bool, out: &mut Vec<(usize, f32)>) {
    let words = words(text);
    if let (Some(first), true) = (words.first(), title) {
        out.push((bucket("^", first), weight));
    }
    for word in &words {
        out.push((bucket("", word), weight));
    }
    for pair in words.windows(2) {
        if let [left, right] = pair {
            out.push((bucket(left, right), weight));
        }
    }
}

/// Lower-case words; digits become 0, `camelCase` and `snake_case` fall apart, Han and Hangul stand alone.
fn words(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut lower_before = false;
    let mut close = |word: &mut String| {
        if !word.is_empty() && word.chars().count() <= WORD_CHARS_MAX {
            out.push(std::mem::take(word));
        }
        word.clear();
    };
    for c in text.chars() {
        if is_cjk(c) {
            close(&mut word);
            if c.is_alphanumeric() {
                word.push(c);
                close(&mut word);
            }
        } else if c.is_alphanumeric() || (c == '\'' && !word.is_empty()) {
            if c.is_uppercase() && lower_before {
                close(&mut word);
            }
            push_folded(&mut word, c);
        } else {
            close(&mut word);
        }
        lower_before = c.is_lowercase();
    }
    close(&mut word);
    out
}

fn push_folded(word: &mut String, c: char) {
    if c.is_ascii_digit() {
        if !word.ends_with('0') {
            word.push('0');
        }
    } else {
        word.extend(c.to_lowercase());
    }
}

/// FNV-1a over both parts with a separator between.
fn bucket(left: &str, right: &str) -> usize {
    let bytes = left.bytes().chain(std::iter::once(0x1f)).chain(right.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The upper bits are mixed better than the lower ones.
    ((hash ^ (hash >> 32)) % (BUCKETS as u64)) as usize
}

fn normalised(mut found: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    found.sort_by_key(|(bucket, _)| *bucket);
    found.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    // The square root keeps a word that is repeated fifty times from drowning the others.
    for (_, value) in &mut found {
        *value = value.sqrt();
    }
    let norm = found.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        for (_, value) in &mut found {
            *value /= norm;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fall_apart_where_programmers_join_them() {
        assert_eq!(
            words("Fix parseHeader in http_client2 v1.25!"),
            ["fix", "parse", "header", "in", "http", "client0", "v0", "0"]
        );
        assert_eq!(words("修正README"), ["修", "正", "readme"]);
    }

    #[test]
    fn features_are_sorted_unique_and_of_length_one() {
        let found = features("add a button\nadd another button to the page");
        assert!(found.is_sorted_by(|a, b| a.0 < b.0));
        let norm: f32 = found.iter().map(|(_, value)| value * value).sum();
        assert!((norm - 1.0).abs() < 1e-4);
        assert!(features("").is_empty());
    }
}

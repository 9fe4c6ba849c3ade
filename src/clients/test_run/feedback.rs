//! Tells a coding agent what to mend: which tests failed, where and why, within a bounded text.
//!
//! Knows only a verdict. The most useful stands first, since a reader (or a model with a full context)
//! may stop anywhere: what does not compile, then failures that name a place, then the others.

use std::fmt::Write as _;

use super::summary::{Failure, Summary};
use super::text::bounded;
use super::verdict::{Outcome, Verdict};

/// Fewer characters of a message than this say nothing.
const MESSAGE_CHARS_MIN: usize = 120;

/// What a coding agent should be told about a test run, in at most `chars_max` characters.
///
/// One paragraph of figures and remarks, then one numbered entry per failure. Failures with the same
/// message share an entry. When room is short, messages are shortened before names are left out.
pub fn feedback(verdict: &Verdict, chars_max: usize) -> String {
    let head = head(verdict);
    let groups = groups(&verdict.summary);
    let entries: Vec<String> = groups.iter().map(entry_head).collect();
    let fixed: usize =
        head.chars().count() + entries.iter().map(|e| e.chars().count() + 8).sum::<usize>();
    let shares = shares(&groups, chars_max.saturating_sub(fixed));
    let mut text = head;
    let mut told = 0;
    for (position, entry) in entries.iter().enumerate() {
        let message = message(groups[position].0, shares[position]);
        let gap = if message.is_empty() { "" } else { "\n" };
        let block = format!("{gap}{}. {entry}{message}", position + 1);
        // Room for the closing remark is kept.
        if text.chars().count() + block.chars().count() + 40 > chars_max {
            break;
        }
        text.push_str(&block);
        told = position + 1;
    }
    let untold: usize = groups[told..].iter().map(|(_, names)| names.len()).sum();
    let listed: usize = groups[..told].iter().map(|(_, names)| names.len()).sum();
    let more = untold
        + usize::try_from(verdict.summary.failed)
            .unwrap_or(usize::MAX)
            .saturating_sub(listed + untold);
    if more > 0 && told > 0 {
        let _ = write!(text, "\nand {more} more");
    }
    text.chars().take(chars_max).collect()
}

fn head(verdict: &Verdict) -> String {
    let summary = &verdict.summary;
    let mut head = match &verdict.outcome {
        Outcome::Passed => "The tests passed".to_owned(),
        Outcome::Failed => "The tests failed".to_owned(),
        Outcome::NoTests => "No tests ran".to_owned(),
        Outcome::Inconclusive(reason) => format!("The test run says nothing: {reason}"),
    };
    if summary.executed() + summary.skipped > 0 {
        let (failed, passed, skipped) = (summary.failed, summary.passed, summary.skipped);
        let name = summary.framework.name();
        let _ = write!(head, ": {failed} failed, {passed} passed, {skipped} skipped ({name})");
    }
    head.push_str(".\n");
    for note in &verdict.notes {
        let _ = writeln!(head, "Note: {note}.");
    }
    head
}

/// Failures that say the same, with the names of all of them, most useful first.
fn groups(summary: &Summary) -> Vec<(&Failure, Vec<&str>)> {
    let mut groups: Vec<(&Failure, Vec<&str>)> = Vec::new();
    let mut positions = std::collections::HashMap::new();
    for failure in &summary.failures {
        let position = *positions.entry(failure.message.as_str()).or_insert(groups.len());
        match groups.get_mut(position) {
            // Without a message nothing says that they have the same cause.
            Some((_, names)) if !failure.message.is_empty() => names.push(&failure.name),
            _ => groups.push((failure, vec![&failure.name])),
        }
    }
    groups.sort_by_key(|(failure, _)| usefulness(failure));
    groups
}

/// Lower is better: what keeps everything from running, then what names a place.
fn usefulness(failure: &Failure) -> u8 {
    let blocks = ["does not compile", "does not build", "cannot be loaded"];
    match failure {
        _ if blocks.iter().any(|start| failure.name.starts_with(start)) => 0,
        Failure { line: Some(_), message, .. } if !message.is_empty() => 1,
        Failure { message, .. } if !message.is_empty() => 2,
        _ => 3,
    }
}

fn entry_head((failure, names): &(&Failure, Vec<&str>)) -> String {
    let mut text = failure.name.clone();
    match (&failure.file, failure.line) {
        (Some(file), Some(line)) => {
            let _ = write!(text, " ({file}:{line})");
        }
        (Some(file), None) if !failure.name.contains(file.as_str()) => {
            let _ = write!(text, " ({file})");
        }
        _ => {}
    }
    text.push('\n');
    if names.len() > 1 {
        let others: Vec<&str> = names.iter().skip(1).take(5).copied().collect();
        let more = names.len() - 1 - others.len();
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "   the same in: {}{rest}", others.join(", "));
    }
    text
}

/// How many characters each message may take. Short messages give what they do not need to the long
/// ones; earlier entries are served first when there is too little for all.
fn shares(groups: &[(&Failure, Vec<&str>)], room: usize) -> Vec<usize> {
    let wanted: Vec<usize> = groups
        .iter()
        // Each line is indented by three and ends with a line break.
        .map(|(failure, _)| failure.message.chars().count() + 4 * failure.message.lines().count())
        .collect();
    let mut room = room;
    let mut shares = Vec::with_capacity(wanted.len());
    for (position, want) in wanted.iter().enumerate() {
        let fair = (room / (wanted.len() - position)).max(MESSAGE_CHARS_MIN.min(room));
        let later: usize = wanted[position + 1..].iter().sum();
        let share = (*want).min(fair.max(room.saturating_sub(later)));
        shares.push(share);
        room -= share.min(room);
    }
    shares
}

fn message(failure: &Failure, share: usize) -> String {
    let indents = 4 * failure.message.lines().count();
    let text = if failure.message.chars().count() + indents <= share {
        failure.message.clone()
    } else {
        // Of a shortened message some lines go, and their indents with them.
        bounded(&failure.message, share * 9 / 10)
    };
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", format!("   {line}").trim_end());
        all
    })
}

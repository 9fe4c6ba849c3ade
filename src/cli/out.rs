//! Printing: the only file that writes to stdout.

use super::args::Color;
use owo_colors::{OwoColorize, Stream, Style};
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Decides about colours for the whole process.
pub(super) fn set_color(color: Color) {
    match color {
        Color::Auto => {}
        Color::Always => owo_colors::set_override(true),
        Color::Never => owo_colors::set_override(false),
    }
}

/// A line of a result.
pub(super) fn line(text: impl AsRef<str>) {
    written(writeln!(std::io::stdout(), "{}", text.as_ref()));
}

/// Text of a result, as it is.
pub(super) fn raw(text: &str) {
    let mut stdout = std::io::stdout();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// A reader that went away (`| head`) is no error, but there is nothing left to do for it either.
fn written(result: std::io::Result<()>) {
    if result.is_err_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

/// A JSON document.
pub(super) fn json<T: Serialize>(value: &T) {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    line(text.unwrap_or_else(|e| format!("{{\"error\": \"not JSON: {e}\"}}")));
}

/// A JSON document on one line.
pub(super) fn json_line<T: Serialize>(value: &T) {
    line(serde_json::to_string(value).unwrap_or_default());
}

/// A remark beside the result.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// An error.
pub(super) fn error(text: &str) {
    let label = "error:";
    let label = label.if_supports_color(Stream::Stderr, |t| t.style(Style::new().red().bold()));
    let _ = writeln!(std::io::stderr(), "{label} {text}");
}

/// A status word in its colour.
pub(super) fn status(word: &str) -> String {
    let style = match word {
        "completed" | "succeeded" => Style::new().green(),
        "failed" | "cancelled" => Style::new().red(),
        "running" => Style::new().cyan(),
        "waiting" | "paused" | "interrupted" => Style::new().yellow(),
        _ => Style::new().dimmed(),
    };
    word.if_supports_color(Stream::Stdout, |t| t.style(style)).to_string()
}

/// Rows under headings, columns as wide as they must be. The status column is coloured last, so
/// that colours do not count as width.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|r| r.get(column).map_or(0, |c| c.chars().count()));
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let pad = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = pad(headings.to_vec());
    line(head.if_supports_color(Stream::Stdout, |t| t.dimmed()).to_string());
    for row in rows {
        let mut text = pad(row.iter().map(String::as_str).collect());
        if let Some(column) = headings.iter().position(|h| *h == "STATUS") {
            text = text.replacen(&row[column], &status(&row[column]), 1);
        }
        line(text);
    }
}

/// The first characters of an id: enough to give back to a command.
pub(super) fn short(id: uuid::Uuid) -> String {
    // The beginning of a version 7 id is its time, which neighbours share; the end is random.
    let text = id.to_string();
    text[text.len() - 12..].to_owned()
}

/// The first line of a text, cut where a row of a table has to end.
pub(super) fn clipped(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(88) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// How long something took, for people.
pub(super) fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

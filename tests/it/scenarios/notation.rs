//! Events and commands as lines that people read and write:
//! `StageFailed build #1 error="transient: refused" final=false`.
//!
//! A bare word is the stage, `#1` the attempt, `key=value` any other field; dots nest. A value is
//! JSON or a word. Instead of a line of fields, the JSON of `longhaul history` may stand. Shorthands:
//! `{a}` is an id by name, `+30s` a time since the story began, `delay=30s` is `delay_ms=30000`,
//! `error="kind: message"`, `motive="reason"`, `cost=0.25` (US dollars), and, of a wait,
//! `reason="kind: detail"`. What is shown here can be read here.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use longhaul::config::run::merge;
use longhaul::workflow::command::Command;
use longhaul::workflow::event::{Event, Request};
use serde_json::{Map, Value, json};
use uuid::Uuid;

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// When every story begins.
pub(crate) fn beginning() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2030, 1, 1, 0, 0, 0).single().expect("a date")
}

/// The id that `{name}` stands for.
pub(crate) fn id(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Uuid::from_bytes(bytes)
}

fn name_of(id: Uuid) -> Option<String> {
    let text = String::from_utf8(id.into_bytes().to_vec()).ok()?;
    let name = text.trim_end_matches('\0');
    is_name(name).then(|| name.to_owned())
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=16).contains(&name.len()) && name.chars().all(allowed)
}

/// `{a}` becomes an id.
fn with_ids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, behind)) if is_name(name) => {
                out.push_str(&id(name).to_string());
                rest = behind;
            }
            _ => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

/// An id becomes `{a}`.
pub(crate) fn with_names(text: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        let id = text.get(at..at + 36).and_then(|t| Uuid::parse_str(t).ok());
        if let Some(name) = id.and_then(name_of) {
            out.push_str(&format!("{{{name}}}"));
            at += 36;
        } else {
            let c = text[at..].chars().next().expect("a character");
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Milliseconds of `1h30m`, `15s`, `250ms`.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut ms = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
        rest = &rest[unit..];
        ms += number * factor;
    }
    (!text.is_empty()).then_some(ms)
}

/// `1h30m` of milliseconds.
pub(crate) fn show_duration(ms: u64) -> String {
    let mut out = String::new();
    let mut left = ms;
    for (name, factor) in UNITS {
        if left >= factor {
            out.push_str(&format!("{}{name}", left / factor));
            left %= factor;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// A time of `+30s`.
pub(crate) fn time(text: &str) -> Option<DateTime<Utc>> {
    let ms = duration(text.strip_prefix('+')?)?;
    Some(beginning() + TimeDelta::milliseconds(i64::try_from(ms).ok()?))
}

/// `+30s` of a time.
pub(crate) fn show_time(at: DateTime<Utc>) -> String {
    let since = at - beginning();
    match u64::try_from(since.num_milliseconds()) {
        Ok(ms) if since == TimeDelta::milliseconds(ms as i64) => format!("+{}", show_duration(ms)),
        _ => at.to_rfc3339(),
    }
}

/// The fields of a line, as the JSON object they stand for. `name` is what they belong to.
pub(crate) fn fields(name: &str, text: &str) -> Result<Value, String> {
    let text = with_ids(text);
    let mut rest = text.trim();
    if rest.starts_with('{') {
        return serde_json::from_str(rest).map_err(|e| format!("`{rest}` is not JSON: {e}"));
    }
    let mut out = json!({});
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let (key, value, behind) = if let Some(given) = after.strip_prefix('=') {
            let (value, behind) = value(given)?;
            let (key, value) = with_unit(word, value);
            (key, value, behind)
        } else if let Some(number) = word.strip_prefix('#') {
            let attempt: u32 = number.parse().map_err(|_| format!("`{word}` is no attempt"))?;
            ("attempt".to_owned(), json!(attempt), after)
        } else {
            ("stage".to_owned(), json!(word), after)
        };
        merge(&mut out, &nested(&key, expanded(name, &key, value)));
        rest = behind.trim_start();
    }
    Ok(out)
}

fn value(text: &str) -> Result<(Value, &str), String> {
    if text.starts_with(['"', '{', '[']) {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let read = stream.next().unwrap_or(Ok(Value::Null));
        let value = read.map_err(|e| format!("`{text}` does not begin with JSON: {e}"))?;
        let end = stream.byte_offset();
        return Ok((value, &text[end..]));
    }
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    if let Some(at) = time(word) {
        return Ok((json!(at), rest));
    }
    Ok((serde_json::from_str(word).unwrap_or_else(|_| json!(word)), rest))
}

/// `delay=30s` is `delay_ms=30000`.
fn with_unit(key: &str, value: Value) -> (String, Value) {
    match value.as_str().and_then(duration) {
        Some(ms) => (format!("{key}_ms"), json!(ms)),
        None => (key.to_owned(), value),
    }
}

/// Text where an object belongs.
fn expanded(name: &str, key: &str, value: Value) -> Value {
    let pair = |text: &str| {
        let (head, rest) = text.split_once(": ").unwrap_or((text, ""));
        (head.to_owned(), rest.to_owned())
    };
    match (key, &value) {
        ("error", Value::String(text)) => {
            let (kind, message) = pair(text);
            json!({"kind": kind, "message": message})
        }
        ("reason", Value::String(text)) if matches!(name, "Wait" | "StageWaiting") => {
            let (kind, detail) = pair(text);
            json!({"kind": kind, "detail": detail})
        }
        ("motive", Value::String(_)) => json!({"reason": value}),
        ("cost", Value::Number(_)) => {
            json!({"usd": value, "input_tokens": 0, "output_tokens": 0})
        }
        _ => value,
    }
}

fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |inner, name| json!({name: inner}))
}

fn read<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, String> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut value = json!({"type": name});
    merge(&mut value, &fields(name, rest)?);
    serde_json::from_value(value).map_err(|e| format!("`{line}`: {e}"))
}

/// The event of a line; a bare `ExecutionRequested` is the story's own.
pub(crate) fn event(line: &str, request: &Request) -> Result<Event, String> {
    match line {
        "ExecutionRequested" => Ok(Event::ExecutionRequested(std::sync::Arc::new(request.clone()))),
        _ => read(line),
    }
}

/// The command of a line; a bare `Request` is the story's own.
pub(crate) fn command(line: &str, request: &Request) -> Result<Command, String> {
    match line {
        "Request" => Ok(Command::Request(Box::new(request.clone()))),
        _ => read(line),
    }
}

/// The line of an event.
pub(crate) fn show_event(event: &Event, request: &Request) -> String {
    if matches!(event, Event::ExecutionRequested(r) if **r == *request) {
        return "ExecutionRequested".to_owned();
    }
    let mut data = to_object(event);
    data.shift_remove("type");
    let mut words = vec![event.name().to_owned()];
    words.extend(data.shift_remove("stage").and_then(|s| s.as_str().map(str::to_owned)));
    words.extend(data.shift_remove("attempt").map(|n| format!("#{n}")));
    for (key, value) in &data {
        words.extend(show_field(key, value));
    }
    with_names(&words.join(" "))
}

fn to_object(event: &Event) -> Map<String, Value> {
    match serde_json::to_value(event) {
        Ok(Value::Object(map)) => map,
        other => panic!("an event is a JSON object, not {other:?}"),
    }
}

fn show_field(key: &str, value: &Value) -> Vec<String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let more = |shown: &[&str]| {
        let rest = value.as_object().into_iter().flatten();
        let rest = rest.filter(|(name, _)| !shown.contains(&name.as_str()));
        rest.map(|(name, v)| show_plain(&format!("{key}.{name}"), v)).collect::<Vec<_>>()
    };
    match key {
        "error" => {
            let both = format!("{}: {}", text("kind"), text("message"));
            [vec![format!("error={}", json!(both))], more(&["kind", "message"])].concat()
        }
        "reason" if value.is_object() => {
            vec![format!("reason={}", json!(format!("{}: {}", text("kind"), text("detail"))))]
        }
        "motive" if value.get("reason").is_some() => {
            [vec![format!("motive={}", json!(text("reason")))], more(&["reason"])].concat()
        }
        "motive" => more(&[]),
        "cost" if value["input_tokens"] == 0 && value["output_tokens"] == 0 => {
            vec![format!("cost={}", value["usd"])]
        }
        _ => vec![show_plain(key, value)],
    }
}

fn show_plain(key: &str, value: &Value) -> String {
    if let (Some(name), Some(ms)) = (key.strip_suffix("_ms"), value.as_u64()) {
        return format!("{name}={}", show_duration(ms));
    }
    let Some(text) = value.as_str() else { return format!("{key}={value}") };
    if let Ok(at) = text.parse::<DateTime<Utc>>() {
        return format!("{key}={}", show_time(at));
    }
    let is_word = !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || "_-./{}".contains(c))
        && !text.starts_with('{')
        && duration(text).is_none()
        && serde_json::from_str::<Value>(text).is_err();
    if is_word { format!("{key}={text}") } else { format!("{key}={value}") }
}

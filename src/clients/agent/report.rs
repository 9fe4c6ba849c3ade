//! What an agent may leave about its turn, in the file LONGHAUL_RESULT_FILE.
//!
//! Everything in it is optional, and none of it is trusted: what cannot be read is a warning.

use crate::workflow::event::Cost;
use serde_json::Value;
use std::path::Path;

/// Beyond this a report is not read.
const BYTES_MAX: u64 = 1_000_000;
const SUMMARY_CHARS_MAX: usize = 4_000;
const SESSION_CHARS_MAX: usize = 1_000;

/// What an agent said about its turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In its own words.
    pub summary: Option<String>,
    /// What to call the session by, for the next turn.
    pub session: Option<String>,
    /// What it used up.
    pub cost: Cost,
    /// What in the report could not be understood.
    pub warnings: Vec<String>,
}

impl Report {
    /// Reads the report at `path`; a missing one is an empty one.
    pub(super) fn read(path: &Path) -> Report {
        match std::fs::metadata(path) {
            Err(_) => Report::default(),
            Ok(meta) if meta.len() > BYTES_MAX => {
                let size = meta.len();
                Report::unreadable(&format!("it has {size} bytes; at most {BYTES_MAX} are read"))
            }
            Ok(_) => std::fs::read(path)
                .map_or_else(|e| Report::unreadable(&e.to_string()), |bytes| Report::parse(&bytes)),
        }
    }

    fn parse(bytes: &[u8]) -> Report {
        let text = String::from_utf8_lossy(bytes);
        if text.trim().is_empty() {
            return Report::default();
        }
        match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(fields)) => Reader { fields, warnings: Vec::new() }.report(),
            Ok(_) => Report::unreadable("it is not a JSON object"),
            Err(error) => Report::unreadable(&error.to_string()),
        }
    }

    fn unreadable(why: &str) -> Report {
        let warning = format!("the agent's report in LONGHAUL_RESULT_FILE was left out: {why}");
        Report { warnings: vec![warning], ..Report::default() }
    }
}

struct Reader {
    fields: serde_json::Map<String, Value>,
    warnings: Vec<String>,
}

impl Reader {
    fn report(mut self) -> Report {
        let summary = self.text("summary", SUMMARY_CHARS_MAX);
        // It becomes an environment variable.
        let session =
            self.text("session", SESSION_CHARS_MAX).map(|s| s.replace(char::is_control, ""));
        let cost = Cost {
            usd: self.number("cost_usd").unwrap_or(0.0),
            input_tokens: self.number("input_tokens").unwrap_or(0.0) as u64,
            output_tokens: self.number("output_tokens").unwrap_or(0.0) as u64,
        };
        Report { summary, session, cost, warnings: self.warnings }
    }

    fn text(&mut self, name: &str, chars_max: usize) -> Option<String> {
        match self.fields.remove(name)? {
            Value::Null => None,
            Value::String(text) => {
                let text: String = text.replace('\0', "").trim().chars().take(chars_max).collect();
                Some(text).filter(|text| !text.is_empty())
            }
            other => self.warn(name, "text", &other),
        }
    }

    /// A number of at least 0; a cost below it would give money back.
    fn number(&mut self, name: &str) -> Option<f64> {
        let value = self.fields.remove(name)?;
        match value.as_f64().filter(|n| n.is_finite() && *n >= 0.0 && *n < 1e15) {
            Some(number) => Some(number),
            None if value.is_null() => None,
            None => self.warn(name, "a number from 0", &value),
        }
    }

    fn warn<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        let found: String = found.to_string().chars().take(60).collect();
        let said =
            format!("`{name}` in the agent's report is {found}, not {wanted}; it was left out");
        self.warnings.push(said);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_leniently() {
        let whole = r#"{"summary": " Done. ", "session": "s\n1", "cost_usd": 0.25,
            "input_tokens": 1200, "output_tokens": 7, "more": [1]}"#;
        let report = Report::parse(whole.as_bytes());
        let cost = Cost { usd: 0.25, input_tokens: 1_200, output_tokens: 7 };
        assert_eq!(
            (report.summary.as_deref(), report.session.as_deref()),
            (Some("Done."), Some("s1"))
        );
        assert_eq!((report.cost, report.warnings.len()), (cost, 0));

        let cases: [(&[u8], usize); 8] = [
            (b"", 0),
            (b"{}", 0),
            (b"not json", 1),
            (b"[1, 2]", 1),
            (b"\xff\xfe", 1),
            (b"{\"summary\": 7, \"session\": {}, \"cost_usd\": \"a lot\"}", 3),
            (b"{\"cost_usd\": -3, \"input_tokens\": 1e300}", 2),
            (b"{\"summary\": null, \"cost_usd\": null}", 0),
        ];
        for (bytes, warnings) in cases {
            let report = Report::parse(bytes);
            assert_eq!(report.warnings.len(), warnings, "{report:?}");
            assert_eq!(Report { warnings: Vec::new(), ..report }, Report::default());
        }
    }
}

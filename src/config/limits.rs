//! Limits of the settings file that hold across all workers: `[limits.keys]` and
//! `[limits.services]`.
//!
//! Pure reading; what they limit is in `workflow::resources`, where they are kept in `store`.

use serde_json::Value;

/// Pattern and how many may hold such a key at once.
pub fn key_limits(table: &Value) -> Result<Vec<(String, u32)>, String> {
    let example = "for example \"agent:*\" = 4";
    let Some(table) = table.as_object() else {
        return Err(format!("[limits.keys] must be a table, {example}"));
    };
    let limit = |(pattern, value): (&String, &Value)| {
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        let number = number.filter(|n| (1..=1_000_000).contains(n)).ok_or_else(|| {
            format!("[limits.keys]: `{pattern}` must be 1 to 1000000, not {value}, {example}")
        })?;
        let is_pattern = !pattern.is_empty() && !pattern.trim_end_matches('*').contains('*');
        if !is_pattern || pattern.ends_with("**") {
            let said = "is a key, or the beginning of keys and one `*`";
            return Err(format!("[limits.keys]: a pattern {said}, not `{pattern}`"));
        }
        Ok((pattern.clone(), number))
    };
    table.iter().map(limit).collect()
}

/// A service, tokens per second, and how many are kept.
pub fn rates(table: &Value) -> Result<Vec<(String, f64, f64)>, String> {
    let example = "for example github = \"60/min burst 10\"";
    let Some(table) = table.as_object() else {
        return Err(format!("[limits.services] must be a table, {example}"));
    };
    let rate = |(service, value): (&String, &Value)| {
        let read = value.as_str().and_then(rate);
        let (per_second, burst) = read.ok_or_else(|| {
            let said = "must be NUMBER/s, /min or /h, and may end in `burst NUMBER`";
            format!("[limits.services]: `{service}` {said}, not {value}, {example}")
        })?;
        Ok((service.clone(), per_second, burst))
    };
    table.iter().map(rate).collect()
}

fn rate(text: &str) -> Option<(f64, f64)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (speed, burst) = match words.as_slice() {
        [speed] => (*speed, None),
        [speed, "burst", burst] => (*speed, Some(burst.parse::<u32>().ok()?)),
        _ => return None,
    };
    let (number, unit) = speed.split_once('/')?;
    let seconds = match unit {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    let burst = burst.unwrap_or(1);
    (number > 0 && burst > 0).then(|| (f64::from(number) / seconds, f64::from(burst)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rate_is_read() {
        let read = rates(&json!({"github": "60/min burst 10", "ci": "2/s"})).expect("rates");
        assert_eq!(read, [("github".to_owned(), 1.0, 10.0), ("ci".to_owned(), 2.0, 1.0)]);
        for wrong in ["", "60", "60/day", "0/s", "1/s burst", "1/s burst 0", "-1/s", "1/s 3"] {
            assert!(rates(&json!({"x": wrong})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_a_pattern_and_a_number() {
        let read = key_limits(&json!({"agent:*": 4, "deploy:a:b": 2})).expect("limits");
        assert_eq!(read, [("agent:*".to_owned(), 4), ("deploy:a:b".to_owned(), 2)]);
        for wrong in
            [json!(3), json!({"a": 0}), json!({"a": "4"}), json!({"a*b": 1}), json!({"": 1})]
        {
            assert!(key_limits(&wrong).is_err(), "{wrong}");
        }
    }
}

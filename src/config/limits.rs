//! Limits of the settings file that hold across all workers: `[limits.keys]`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

//! Durations of many operations, and what is said about them. Pure arithmetic.

use std::time::Duration;

/// Collected durations.
#[derive(Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn extend(&mut self, other: Times) {
        self.0.extend(other.0);
    }

    /// The duration that `share` of them do not exceed, in ms; 0 without any.
    pub(super) fn percentile_ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        self.0.get(index).map_or(0.0, |took| round(took.as_secs_f64() * 1_000.0))
    }
}

/// To a thousandth: more digits say nothing.
pub(super) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_durations() {
        let mut times = Times::default();
        (1..=101).rev().for_each(|ms| times.add(Duration::from_millis(ms)));
        assert_eq!((times.percentile_ms(0.5), times.percentile_ms(0.99)), (51.0, 100.0));
        assert_eq!(Times::default().percentile_ms(0.5), 0.0);
    }
}

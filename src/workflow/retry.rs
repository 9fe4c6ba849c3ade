//! When a failed attempt is tried again: per kind of failure, exponential, with full jitter.
//!
//! Pure arithmetic. The randomness of the jitter comes in as a number between 0 and 1, drawn by
//! whoever reports the failure, so that the same history always gives the same delays.
//! Full jitter: see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use super::failure::{ErrorKind, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Delays between the tries of a stage, and per kind of failure whether there is another try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Upper bound of the first delay, in ms. Default `WORKFLOW_RETRY_DELAY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Each further bound is this many times the one before. Default 2.
    pub factor: f64,
    /// No bound grows beyond this, in ms. Default 5 minutes.
    pub cap_ms: u64,
    /// Whether the delay is drawn between 0 and its bound (true) or is the bound itself.
    pub jitter: bool,
    /// Exceptions per kind: `true` retries it, `false` does not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<ErrorKind, bool>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            delay_ms: None,
            factor: 2.0,
            cap_ms: 300_000,
            jitter: true,
            on: BTreeMap::new(),
        }
    }
}

impl RetryPolicy {
    /// Whether a failure of this kind is worth another try.
    pub fn retries(&self, kind: ErrorKind) -> bool {
        let default = match kind {
            ErrorKind::Transient | ErrorKind::RateLimited | ErrorKind::Timeout => true,
            ErrorKind::Interrupted => true,
            ErrorKind::Permanent | ErrorKind::Rejected | ErrorKind::NeedsPerson => false,
        };
        self.on.get(&kind).copied().unwrap_or(default)
    }

    /// Milliseconds until the next try, after `tries` tries have failed (from 1).
    /// `jitter` lies between 0 and 1. What a service asked for is never undercut.
    pub fn delay_ms(&self, failure: &Failure, tries: u32, jitter: f64) -> u64 {
        // Nothing outside has to recover before work that was sent back is done again.
        if matches!(failure.kind, ErrorKind::Rejected | ErrorKind::Interrupted) {
            return failure.retry_after_ms.unwrap_or(0);
        }
        let first = self.delay_ms.unwrap_or(30_000) as f64;
        let exponent = tries.saturating_sub(1).min(64) as i32;
        let bound = (first * self.factor.max(1.0).powi(exponent)).min(self.cap_ms as f64);
        let drawn = if self.jitter { bound * jitter.clamp(0.0, 1.0) } else { bound };
        (drawn as u64).max(failure.retry_after_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { delay_ms: Some(1_000), ..RetryPolicy::default() }
    }

    #[test]
    fn bounds_grow_to_the_cap() {
        let failure = Failure::new(ErrorKind::Transient, "away");
        let bounds: Vec<u64> =
            [1, 2, 3, 9, 10, 1_000].map(|tries| policy().delay_ms(&failure, tries, 1.0)).into();
        assert_eq!(bounds, [1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
    }

    #[test]
    fn jitter_is_full_and_bounded() {
        let failure = Failure::new(ErrorKind::Transient, "away");
        assert_eq!(policy().delay_ms(&failure, 1, 0.0), 0);
        assert_eq!(policy().delay_ms(&failure, 1, 0.5), 500);
        assert_eq!(policy().delay_ms(&failure, 1, 7.0), 1_000);
    }

    #[test]
    fn a_service_is_never_asked_sooner_than_it_said() {
        let mut failure = Failure::new(ErrorKind::RateLimited, "slow down");
        failure.retry_after_ms = Some(900_000);
        assert_eq!(policy().delay_ms(&failure, 1, 0.1), 900_000);
    }

    #[test]
    fn kinds_can_be_excepted() {
        let mut policy = policy();
        assert!(policy.retries(ErrorKind::Timeout) && !policy.retries(ErrorKind::Rejected));
        policy.on = BTreeMap::from([(ErrorKind::Timeout, false), (ErrorKind::Rejected, true)]);
        assert!(!policy.retries(ErrorKind::Timeout) && policy.retries(ErrorKind::Rejected));
    }
}

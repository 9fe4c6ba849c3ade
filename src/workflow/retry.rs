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
    /// What is different after a failure of this kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<ErrorKind, KindPolicy>,
}

/// What is different for one kind of failure; what is left out is as for the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KindPolicy {
    /// Tries of the stage in all, of which the last one failed in this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Upper bound of the first delay, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Each further bound is this many times the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// No bound grows beyond this, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_ms: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            delay_ms: None,
            factor: 2.0,
            cap_ms: 300_000,
            jitter: true,
            on: BTreeMap::new(),
            kinds: BTreeMap::new(),
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

    /// Tries in all, when the last one failed in this way; `attempts` are the stage's.
    pub fn attempts(&self, kind: ErrorKind, attempts: u32) -> u32 {
        self.kinds.get(&kind).and_then(|k| k.attempts).unwrap_or(attempts)
    }

    /// Milliseconds until the next try, after `tries` tries have failed (from 1).
    /// `jitter` lies between 0 and 1. What a service asked for is never undercut.
    pub fn delay_ms(&self, failure: &Failure, tries: u32, jitter: f64) -> u64 {
        // Nothing outside has to recover before work that was sent back is done again.
        let own = self.kinds.get(&failure.kind).cloned().unwrap_or_default();
        let is_at_once = matches!(failure.kind, ErrorKind::Rejected | ErrorKind::Interrupted);
        if is_at_once && own.delay_ms.is_none() {
            return failure.retry_after_ms.unwrap_or(0);
        }
        let first = own.delay_ms.or(self.delay_ms).unwrap_or(30_000) as f64;
        let (factor, cap) = (own.factor.unwrap_or(self.factor), own.cap_ms.unwrap_or(self.cap_ms));
        let exponent = tries.saturating_sub(1).min(64) as i32;
        let bound = (first * factor.max(1.0).powi(exponent)).min(cap as f64);
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

    #[test]
    fn a_kind_may_have_a_policy_of_its_own() {
        let mut policy = policy();
        let own = KindPolicy { attempts: Some(9), delay_ms: Some(5_000), ..KindPolicy::default() };
        policy.kinds = BTreeMap::from([(ErrorKind::RateLimited, own.clone())]);
        policy.kinds.insert(ErrorKind::Rejected, KindPolicy { cap_ms: Some(6_000), ..own });
        let delay = |kind, tries| policy.delay_ms(&Failure::new(kind, "no"), tries, 1.0);
        assert_eq!(
            (delay(ErrorKind::RateLimited, 2), delay(ErrorKind::Timeout, 2)),
            (10_000, 2_000)
        );
        assert_eq!((delay(ErrorKind::Rejected, 2), delay(ErrorKind::Interrupted, 2)), (6_000, 0));
        let attempts = [ErrorKind::RateLimited, ErrorKind::Timeout].map(|k| policy.attempts(k, 3));
        assert_eq!(attempts, [9, 3]);
    }
}

//! How long the guardian puts up with things: with nobody using the cluster, and with a Postgres
//! that dies again and again.
//!
//! Counts and compares times, nothing else; looking and acting are the guardian's. Never: a wall
//! clock compared with anything but itself, since it may be set back.

use std::time::{Duration, Instant, SystemTime};

/// So many deaths within so long mean that starting it again does not help.
pub(super) const DEATHS_MAX: usize = 5;
const DEATHS_WINDOW: Duration = Duration::from_secs(300);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Since when nobody has used the cluster.
pub(super) struct Idle {
    since: Instant,
    last_change: Option<SystemTime>,
}

impl Idle {
    pub(super) fn from_now() -> Self {
        Idle { since: Instant::now(), last_change: None }
    }

    /// A visit between two looks shows in the time of the last change alone.
    pub(super) fn for_long(
        &mut self,
        quiet: bool,
        change: Option<SystemTime>,
        limit: Duration,
    ) -> bool {
        if !quiet || change != self.last_change {
            self.since = Instant::now();
            self.last_change = change;
        }
        quiet && self.since.elapsed() >= limit
    }
}

/// When Postgres died of late.
#[derive(Default)]
pub(super) struct Deaths {
    times: Vec<Instant>,
}

impl Deaths {
    /// The pause before the next start: longer each time, and none when it is enough.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        self.times.retain(|time| now.duration_since(*time) < DEATHS_WINDOW);
        self.times.push(now);
        let doublings = u32::try_from(self.times.len() - 1).ok()?;
        let pause = (PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX);
        (self.times.len() < DEATHS_MAX).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_is_enough() {
        let mut deaths = Deaths::default();
        let start = Instant::now();
        let pauses: Vec<_> = (0..5).map(|_| deaths.pause(start)).collect();
        let expected = [100, 200, 400, 800].map(|ms| Some(Duration::from_millis(ms)));
        assert_eq!(pauses[..4], expected);
        assert_eq!(pauses[4], None);
        let later = start + DEATHS_WINDOW * 2;
        assert_eq!(deaths.pause(later), Some(PAUSE_MIN), "old deaths are forgotten");
    }

    #[test]
    fn a_visit_between_two_looks_starts_the_clock_again() {
        let mut idle = Idle::from_now();
        let first = Some(SystemTime::UNIX_EPOCH);
        let second = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        let limit = Duration::from_secs(60);
        idle.last_change = first;
        idle.since = Instant::now() - limit * 2;
        assert!(!idle.for_long(true, second, limit));
        idle.since = Instant::now() - limit * 2;
        assert!(idle.for_long(true, second, limit));
        assert!(!idle.for_long(false, second, limit));
    }
}

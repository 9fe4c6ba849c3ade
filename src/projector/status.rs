//! How read models stand: lag, state, and why one cannot go on.

use super::generation::{self, Generation, distance};
use super::{Projector, deadline, tail};
use crate::store::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// A read model as `projections list` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ProjectionStatus {
    /// Its name; `projections.NAME` is where to read it.
    pub name: String,
    /// `live`, `behind`, `stalled`, or `building` while it has no live generation.
    pub state: &'static str,
    /// The generation that readers see; none before there is one.
    pub generation: Option<i32>,
    /// Events that are in the log and not in it.
    pub lag_events: i64,
    /// How long ago the first of these happened, in seconds; 0 for none.
    pub lag_seconds: f64,
    /// Events folded so far.
    pub events: i64,
    /// When it took events last.
    pub advanced_at: Option<DateTime<Utc>>,
    /// Why it cannot go on.
    pub stalled: Option<Stall>,
    /// The generation that is built beside it.
    pub building: Option<Building>,
}

/// Why a read model cannot go on.
#[derive(Clone, Debug, Serialize)]
pub struct Stall {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

/// A generation that is built beside the live one.
#[derive(Clone, Debug, Serialize)]
pub struct Building {
    /// Its number.
    pub generation: i32,
    /// Events folded so far.
    pub events: i64,
    /// Events in the log.
    pub of: i64,
    /// Why it cannot go on.
    pub stalled: Option<Stall>,
}

impl Projector {
    /// Every read model, by name.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, StoreError> {
        deadline(60, self.status_here()).await
    }

    async fn status_here(&self) -> Result<Vec<ProjectionStatus>, StoreError> {
        let mut connection = self.connection().await?;
        let known = generation::all(&mut connection).await?;
        let heads = generation::heads(&mut connection).await?;
        let now = self.clock.now();
        let mut names: Vec<&str> = known.iter().map(|g| g.name.as_str()).collect();
        names.dedup();
        let mut list = Vec::new();
        let mut seen: Option<(Vec<i64>, Option<DateTime<Utc>>)> = None;
        for name in names {
            let of = |state: &str| known.iter().find(|g| g.name == name && g.state == state);
            let (live, building) = (of("live"), of("building"));
            if live.is_none() && building.is_none() {
                continue;
            }
            let lag = live.map_or(0, |g| lag_of(g, &heads));
            let oldest = match live.filter(|_| lag > 0) {
                None => None,
                Some(g) if seen.as_ref().is_some_and(|(applied, _)| *applied == g.applied) => {
                    seen.as_ref().and_then(|(_, oldest)| *oldest)
                }
                Some(g) => {
                    let oldest = tail::read(&mut connection, &g.applied, &heads).await?.oldest;
                    seen = Some((g.applied.clone(), oldest));
                    oldest
                }
            };
            list.push(ProjectionStatus {
                name: name.to_owned(),
                state: match live {
                    None => "building",
                    Some(g) if g.stalled_since.is_some() => "stalled",
                    Some(_) if lag > 0 => "behind",
                    Some(_) => "live",
                },
                generation: live.map(|g| g.generation),
                lag_events: lag,
                lag_seconds: oldest
                    .map_or(0.0, |at| (now - at).num_milliseconds().max(0) as f64 / 1_000.0),
                events: live.map_or(0, |g| g.events),
                advanced_at: live.and_then(|g| g.advanced_at),
                stalled: live.and_then(stall),
                building: building.map(|g| Building {
                    generation: g.generation,
                    events: g.events,
                    of: distance(&[], &heads),
                    stalled: stall(g),
                }),
            });
        }
        Ok(list)
    }
}

/// On the way to a target in pieces, what was taken is not in the position yet.
fn lag_of(generation: &Generation, heads: &[i64]) -> i64 {
    match &generation.target {
        None => distance(&generation.applied, heads),
        Some(_) => (distance(&[], heads) - generation.events).max(0),
    }
}

fn stall(generation: &Generation) -> Option<Stall> {
    let reason = generation.stall_reason.clone()?;
    // The server's word for "not again" has no place in a calendar.
    let is_final = generation
        .retry_at
        .is_some_and(|at| at > generation.stalled_since.unwrap_or(at) + chrono::Duration::days(1));
    Some(Stall {
        since: generation.stalled_since?,
        reason,
        retry_at: generation.retry_at.filter(|_| !is_final),
    })
}

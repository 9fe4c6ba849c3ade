//! Looking back: the state at any moment, and what changed between two.

use super::Longhaul;
use crate::replay::{Change, changes};
use crate::store::StoreError;
use crate::workflow::evolve::evolve;
use crate::workflow::state::Execution;
use chrono::{DateTime, Utc};
use std::str::FromStr;
use uuid::Uuid;

/// A moment in the life of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the event with this sequence.
    Sequence(u64),
    /// After everything that had happened by then.
    Time(DateTime<Utc>),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(sequence) = text.parse() {
            return Ok(Moment::Sequence(sequence));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| {
            format!(
                "`{text}` is no moment; give a sequence such as 17, or a time such as \
                 2026-01-31T12:00:00Z"
            )
        })?;
        Ok(Moment::Time(time.with_timezone(&Utc)))
    }
}

/// An execution as it stood.
#[derive(Clone, Debug)]
pub struct StateAt {
    /// The execution.
    pub execution_id: Uuid,
    /// When its last event of then happened.
    pub at: DateTime<Utc>,
    /// The state after that event; its `version` is the sequence.
    pub state: Execution,
}

/// Why nothing can be shown of the past.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There was nothing then, or not yet.
    #[error("{0}")]
    NoSuchMoment(String),
    /// The database, or no such execution.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Events that are read at once.
const PAGE: u64 = 2_000;

impl Longhaul {
    /// The state of an execution at a moment; now if none is given. Reads only the events up to
    /// there.
    pub async fn state_at(&self, id: Uuid, at: Option<Moment>) -> Result<StateAt, HistoryError> {
        let upto = match at {
            Some(Moment::Sequence(sequence)) => sequence,
            Some(Moment::Time(_)) | None => u64::MAX,
        };
        let mut state = Execution::default();
        let mut last = None;
        'pages: while state.version < upto {
            let page = PAGE.min(upto - state.version);
            let events = self.store.events(id, state.version, page as i64).await?;
            for stored in &events {
                if matches!(at, Some(Moment::Time(time)) if stored.at > time) {
                    last.get_or_insert((stored.at, false));
                    break 'pages;
                }
                evolve(&mut state, &stored.happened()?);
                last = Some((stored.at, true));
            }
            if (events.len() as u64) < page {
                break;
            }
        }
        match (last, at) {
            (Some((at, true)), _) if upto == u64::MAX || state.version == upto => {
                Ok(StateAt { execution_id: id, at, state })
            }
            (Some((first, false)), _) => Err(HistoryError::NoSuchMoment(format!(
                "execution {id} did not exist yet; it was requested at {}",
                first.to_rfc3339()
            ))),
            (None, Some(Moment::Sequence(0))) => Err(HistoryError::NoSuchMoment(
                "sequences count from 1; before its first event there is no execution".to_owned(),
            )),
            (None, _) => Err(not_found(id)),
            (Some(_), _) => Err(HistoryError::NoSuchMoment(format!(
                "execution {id} has {} events, not {upto}",
                state.version
            ))),
        }
    }

    /// What differs in the state between two moments of an execution.
    pub async fn changes_between(
        &self,
        id: Uuid,
        from: Moment,
        to: Option<Moment>,
    ) -> Result<(StateAt, StateAt, Vec<Change>), HistoryError> {
        let (from, to) = (self.state_at(id, Some(from)).await?, self.state_at(id, to).await?);
        let json = |state: &Execution| serde_json::to_value(state).unwrap_or_default();
        let found = changes(&json(&from.state), &json(&to.state));
        Ok((from, to, found))
    }
}

fn not_found(id: Uuid) -> HistoryError {
    StoreError::NotFound { what: "execution", id: id.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_sequence_or_a_time() {
        assert_eq!("17".parse(), Ok(Moment::Sequence(17)));
        let time = DateTime::from_timestamp(1_769_860_800, 0).expect("a time");
        assert_eq!("2026-01-31T13:00:00+01:00".parse(), Ok(Moment::Time(time)));
        let said = "yesterday".parse::<Moment>().expect_err("no moment");
        assert!(said.starts_with("`yesterday` is no moment; give a sequence"), "{said}");
    }
}

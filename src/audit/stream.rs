//! Checks one stream, event by event, and remembers the first thing that is wrong with it.

use super::{Head, Kind};
use crate::store::{AuditEvent, EventHeader, GENESIS, link};
use serde::Deserialize;
use std::fmt;
use uuid::Uuid;

/// What is wrong at a place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What is stored is not what was hashed.
    Altered,
    /// There is no event with this sequence, although later ones or the head speak of it.
    Missing,
    /// The sequence stands there twice, or out of order.
    Repeated,
    /// The type beside the payload is not the one in it.
    Mislabelled {
        /// The column.
        column: String,
    },
    /// It stands before its predecessor in the lane.
    OutOfLane,
    /// The events go on behind the version that the head names, or the head has another hash.
    Head {
        /// The version that the head names.
        version: u64,
    },
    /// There are events and no head.
    NoHead,
    /// A head without a single event.
    NoEvents,
    /// Another event stands where the checkpoint saw one: the stream was replaced.
    Replaced,
    /// The checkpoint saw an event here that is gone: the end was cut off, or the whole stream.
    Truncated {
        /// The last event that is left; 0 if there is none.
        last: u64,
    },
}

impl Fault {
    /// One word for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Altered => "altered",
            Fault::Missing => "missing",
            Fault::Repeated => "repeated",
            Fault::Mislabelled { .. } => "mislabelled",
            Fault::OutOfLane => "out_of_lane",
            Fault::Head { .. } => "head",
            Fault::NoHead => "no_head",
            Fault::NoEvents => "no_events",
            Fault::Replaced => "replaced",
            Fault::Truncated { .. } => "truncated",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Altered => f.write_str("it is not what was hashed when it was appended"),
            Fault::Missing => f.write_str("it is missing"),
            Fault::Repeated => f.write_str("its number stands there twice or out of order"),
            Fault::Mislabelled { column } => {
                write!(f, "the column `type` says `{column}`, the payload something else")
            }
            Fault::OutOfLane => f.write_str("it stands before its predecessor in the lane"),
            Fault::Head { version } => {
                write!(f, "the head (version {version}) does not lead to it")
            }
            Fault::NoHead => f.write_str("the stream has events and no head"),
            Fault::NoEvents => f.write_str("the stream has a head and no events"),
            Fault::Replaced => f.write_str("it is not the event that the checkpoint saw here"),
            Fault::Truncated { last: 0 } => {
                f.write_str("the checkpoint saw it; the whole stream is gone")
            }
            Fault::Truncated { last } => {
                write!(f, "the checkpoint saw it; the stream ends at event {last} now")
            }
        }
    }
}

/// The first fault of a stream, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Of what kind the stream is.
    pub kind: Kind,
    /// The stream.
    pub stream: Uuid,
    /// The event.
    pub sequence: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// A stream that is being checked.
#[derive(Debug)]
pub struct StreamCheck {
    kind: Kind,
    stream: Uuid,
    /// What a checkpoint saw of it.
    seen: Option<Head>,
    last: u64,
    before: [u8; 32],
    place: Option<(i16, i64)>,
    first: Option<(u64, Fault)>,
}

impl StreamCheck {
    /// Begins with its first event. `seen` is its head in a checkpoint, if there is one.
    pub fn new(kind: Kind, stream: Uuid, seen: Option<Head>) -> Self {
        StreamCheck { kind, stream, seen, last: 0, before: GENESIS, place: None, first: None }
    }

    /// The stream.
    pub fn stream(&self) -> Uuid {
        self.stream
    }

    /// Looks at the next event. After the first fault nothing that follows is judged.
    pub fn event(&mut self, event: &AuditEvent) {
        if self.first.is_none()
            && let Err((sequence, fault)) = self.judge(event)
        {
            self.first = Some((sequence, fault));
        }
        self.last = event.sequence;
        self.before = event.hash;
        self.place = event.place;
    }

    fn judge(&self, event: &AuditEvent) -> Result<(), (u64, Fault)> {
        let expected = self.last + 1;
        if event.sequence > expected {
            return Err((expected, Fault::Missing));
        }
        let wrong = |fault| Err((event.sequence, fault));
        if event.sequence < expected {
            return wrong(Fault::Repeated);
        }
        let header = EventHeader {
            stream: self.stream,
            sequence: event.sequence,
            event_id: event.event_id,
            at: event.at,
            branch: event.branch,
            actor: &event.actor,
        };
        if link(&self.before, &header, &event.payload) != event.hash {
            return wrong(Fault::Altered);
        }
        if type_of(&event.payload).as_deref() != Some(&event.name) {
            return wrong(Fault::Mislabelled { column: event.name.clone() });
        }
        if let (Some((lane, before)), Some((now_lane, now))) = (self.place, event.place)
            && lane == now_lane
            && now <= before
        {
            return wrong(Fault::OutOfLane);
        }
        match self.seen {
            Some(seen) if seen.version == event.sequence && seen.hash != Some(event.hash) => {
                wrong(Fault::Replaced)
            }
            _ => Ok(()),
        }
    }

    /// After the last event. `head` is where the stream ends by the word of its head row.
    pub fn end(self, head: Option<Head>) -> Option<Broken> {
        let first = self.first.clone().or_else(|| self.judge_end(head));
        let (kind, stream) = (self.kind, self.stream);
        first.map(|(sequence, fault)| Broken { kind, stream, sequence, fault })
    }

    fn judge_end(&self, head: Option<Head>) -> Option<(u64, Fault)> {
        if let Some(seen) = self.seen
            && seen.version > self.last
        {
            return Some((self.last + 1, Fault::Truncated { last: self.last }));
        }
        let Some(head) = head else { return Some((self.last, Fault::NoHead)) };
        if head.version > self.last {
            let fault = if self.last == 0 { Fault::NoEvents } else { Fault::Missing };
            return Some((self.last + 1, fault));
        }
        let is_right = head.version == self.last && head.hash.is_none_or(|h| h == self.before);
        (!is_right).then_some((self.last, Fault::Head { version: head.version }))
    }
}

/// The type that a payload names.
fn type_of(payload: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Tagged {
        r#type: String,
    }
    serde_json::from_str::<Tagged>(payload).ok().map(|t| t.r#type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    /// A sound stream of `count` events.
    fn sound(count: u64) -> Vec<AuditEvent> {
        let stream = Uuid::from_u128(7);
        let mut before = GENESIS;
        let event = |sequence: u64| {
            let payload = format!(r#"{{"type":"Told","n":{sequence}}}"#);
            let (event_id, at) = (Uuid::from_u128(sequence.into()), DateTime::UNIX_EPOCH);
            let header = EventHeader { stream, sequence, event_id, at, branch: 1, actor: "a" };
            before = link(&before, &header, &payload);
            AuditEvent {
                stream,
                sequence,
                event_id,
                name: "Told".to_owned(),
                at,
                branch: 1,
                actor: "a".to_owned(),
                payload,
                hash: before,
                place: Some((0, sequence as i64)),
                head: None,
            }
        };
        (1..=count).map(event).collect()
    }

    fn verdict(
        events: &[AuditEvent],
        head: Option<Head>,
        seen: Option<Head>,
    ) -> Option<(u64, Fault)> {
        let mut check = StreamCheck::new(Kind::Execution, Uuid::from_u128(7), seen);
        events.iter().for_each(|e| check.event(e));
        check.end(head).map(|b| (b.sequence, b.fault))
    }

    fn head(events: &[AuditEvent]) -> Option<Head> {
        events.last().map(|e| Head { version: e.sequence, hash: Some(e.hash) })
    }

    #[test]
    fn a_sound_stream_has_no_fault() {
        let events = sound(5);
        assert_eq!(verdict(&events, head(&events), head(&events[..3])), None);
        assert_eq!(verdict(&events, Some(Head { version: 5, hash: None }), None), None);
    }

    #[test]
    fn each_tampering_is_named_with_its_place() {
        let events = sound(5);
        let end = head(&events);
        let tampered = |change: &dyn Fn(&mut Vec<AuditEvent>)| {
            let mut events = events.clone();
            change(&mut events);
            verdict(&events, end, None)
        };
        let altered = tampered(&|e| e[2].payload = e[2].payload.replace('3', "4"));
        assert_eq!(altered, Some((3, Fault::Altered)));
        assert_eq!(tampered(&|e| e[1].actor = "b".to_owned()), Some((2, Fault::Altered)));
        assert_eq!(tampered(&|e| drop(e.remove(1))), Some((2, Fault::Missing)));
        assert_eq!(tampered(&|e| drop(e.remove(0))), Some((1, Fault::Missing)));
        assert_eq!(tampered(&|e| drop(e.pop())), Some((5, Fault::Missing)));
        let swapped = tampered(&|e| {
            let (a, b) = (e[1].payload.clone(), e[2].payload.clone());
            (e[1].payload, e[2].payload) = (b, a);
        });
        assert_eq!(swapped, Some((2, Fault::Altered)));
        let column = "Else".to_owned();
        let labelled = tampered(&|e| e[3].name = "Else".to_owned());
        assert_eq!(labelled, Some((4, Fault::Mislabelled { column })));
        assert_eq!(tampered(&|e| e[3].place = Some((0, 1))), Some((4, Fault::OutOfLane)));
        let repeated = tampered(&|e| e.insert(2, e[1].clone()));
        assert_eq!(repeated, Some((2, Fault::Repeated)));
    }

    #[test]
    fn heads_that_lead_nowhere_are_faults() {
        let events = sound(3);
        let wrong = Head { version: 3, hash: Some([9; 32]) };
        assert_eq!(verdict(&events, Some(wrong), None), Some((3, Fault::Head { version: 3 })));
        let behind = head(&events[..2]);
        assert_eq!(verdict(&events, behind, None), Some((3, Fault::Head { version: 2 })));
        assert_eq!(verdict(&events, None, None), Some((3, Fault::NoHead)));
    }

    #[test]
    fn what_a_checkpoint_saw_must_still_be_there() {
        let events = sound(5);
        let seen = head(&events);
        let cut = &events[..3];
        let truncated = Some((4, Fault::Truncated { last: 3 }));
        assert_eq!(verdict(cut, head(cut), None), None, "by itself it looks sound");
        assert_eq!(verdict(cut, head(cut), seen), truncated);
        let other = Some(Head { version: 4, hash: Some([1; 32]) });
        assert_eq!(verdict(&events, head(&events), other), Some((4, Fault::Replaced)));
        assert_eq!(verdict(&[], None, seen), Some((1, Fault::Truncated { last: 0 })));
    }
}

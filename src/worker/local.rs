//! What a worker shares with the engine of its own process: free seats, and news of ends.
//!
//! A submission in the process of a worker with a free slot, while nothing waits in the queue, begins
//! at once: its first row is that worker's already. Nothing here survives a crash, and nothing needs
//! to: the database knows who holds what, and a dead worker's executions are freed as ever.

use crate::store::Begun;
use crate::workflow::state::Execution;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// The meeting point of an engine and the workers in its process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Local {
    pub(crate) desk: Desk,
    pub(crate) ends: Ends,
}

/// Where the worker of this process offers its free slots.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Option<Open>>>);

struct Open {
    worker: Uuid,
    /// Slots that may be given away; 0 while something waits in the queue.
    room: usize,
    /// Given away and not yet handed over.
    reserved: usize,
    hands: mpsc::UnboundedSender<Begun>,
}

impl Desk {
    /// Opens it for `worker`, without room so far. The newest worker of the process has it.
    pub(crate) fn open(&self, worker: Uuid, hands: mpsc::UnboundedSender<Begun>) {
        *self.lock() = Some(Open { worker, room: 0, reserved: 0, hands });
    }

    /// Closes it if it is still `worker`'s.
    pub(crate) fn close(&self, worker: Uuid) {
        let mut open = self.lock();
        if open.as_ref().is_some_and(|o| o.worker == worker) {
            *open = None;
        }
    }

    /// Says how many slots may be given away, those already reserved included. Gives those reserved.
    pub(crate) fn offer(&self, worker: Uuid, room: usize) -> usize {
        self.with(worker, |open| {
            open.room = room;
            open.reserved
        })
    }

    /// A reserved seat is a driver of the worker now, or was given back.
    pub(crate) fn counted(&self, worker: Uuid) {
        self.with(worker, |open| {
            open.reserved = open.reserved.saturating_sub(1);
            open.reserved
        });
    }

    /// A seat, if the worker of this process has one free.
    pub(crate) fn reserve(&self) -> Option<Seat> {
        let mut open = self.lock();
        let open = open.as_mut().filter(|o| o.reserved < o.room)?;
        open.reserved += 1;
        Some(Seat {
            desk: self.clone(),
            worker: open.worker,
            hands: open.hands.clone(),
            is_taken: false,
        })
    }

    fn with(&self, worker: Uuid, act: impl FnOnce(&mut Open) -> usize) -> usize {
        self.lock().as_mut().filter(|o| o.worker == worker).map_or(0, act)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The promise of a slot. Given back when it is dropped without being taken.
pub(crate) struct Seat {
    desk: Desk,
    /// Whose slot it is.
    pub(crate) worker: Uuid,
    hands: mpsc::UnboundedSender<Begun>,
    is_taken: bool,
}

impl Seat {
    /// Hands over what was begun. A worker that is gone meanwhile is found dead like any other.
    pub(crate) fn take(mut self, begun: Begun) {
        // From here on the worker settles it, when it has counted the driver.
        self.is_taken = self.hands.send(begun).is_ok();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_taken {
            self.desk.counted(self.worker);
        }
    }
}

/// Who waits in this process for the end of which execution.
#[derive(Clone, Default)]
pub(crate) struct Ends(Arc<Mutex<Listeners>>);

type Listeners = HashMap<Uuid, Vec<oneshot::Sender<Box<Execution>>>>;

impl Ends {
    /// Is told when the execution ends or pauses in a worker of this process; never otherwise.
    pub(crate) fn listen(&self, id: Uuid) -> Listening {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        Listening { ends: self.clone(), id, receiver }
    }

    /// Tells everybody who listens.
    pub(crate) fn tell(&self, id: Uuid, state: &Execution) {
        for listener in self.lock().remove(&id).into_iter().flatten() {
            // One that went away does not need the news.
            let _ = listener.send(Box::new(state.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait for an end.
pub(crate) struct Listening {
    ends: Ends,
    id: Uuid,
    receiver: oneshot::Receiver<Box<Execution>>,
}

impl Listening {
    /// The state at the end; pending for ever if no worker of this process sees it.
    pub(crate) async fn end(&mut self) -> Box<Execution> {
        match (&mut self.receiver).await {
            Ok(state) => state,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.receiver.close();
        let mut listeners = self.ends.lock();
        if let Some(waiting) = listeners.get_mut(&self.id) {
            waiting.retain(|sender| !sender.is_closed());
            if waiting.is_empty() {
                listeners.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Claimed, Loaded};

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn no_more_seats_are_given_than_there_are() {
        let desk = Desk::default();
        assert!(desk.reserve().is_none(), "nobody works here");
        let (hands, _receiver) = mpsc::unbounded_channel();
        desk.open(id(1), hands);
        assert!(desk.reserve().is_none(), "nothing was offered yet");
        desk.offer(id(1), 2);
        let (first, second) = (desk.reserve(), desk.reserve());
        assert!(first.is_some() && second.is_some() && desk.reserve().is_none());
        drop(first);
        assert!(desk.reserve().is_some(), "a seat that was not used is free again");
        assert_eq!(desk.offer(id(2), 9), 0, "another worker has no say");
    }

    #[test]
    fn a_seat_that_is_taken_stays_reserved_until_the_worker_counts_it() {
        let desk = Desk::default();
        let (hands, mut receiver) = mpsc::unbounded_channel();
        desk.open(id(1), hands);
        desk.offer(id(1), 1);
        let claimed = Claimed { execution_id: id(7), fence: id(8) };
        let loaded =
            Loaded { execution_id: id(7), state: Execution::default(), head_hash: [0; 32] };
        let begun = Begun { claimed, loaded, happened: Vec::new() };
        desk.reserve().expect("a seat").take(begun);
        assert!(receiver.try_recv().is_ok_and(|h| h.claimed == claimed));
        assert_eq!(desk.offer(id(1), 1), 1);
        desk.counted(id(1));
        assert_eq!(desk.offer(id(1), 1), 0);
        desk.close(id(1));
        assert!(desk.reserve().is_none());
    }

    #[tokio::test]
    async fn ends_are_told_to_those_who_listen() {
        let ends = Ends::default();
        let (mut one, two) = (ends.listen(id(1)), ends.listen(id(1)));
        drop(two);
        ends.tell(id(2), &Execution::default());
        let state = Execution { version: 7, ..Execution::default() };
        ends.tell(id(1), &state);
        assert_eq!(one.end().await.version, 7);
        assert!(ends.lock().is_empty(), "nobody is left behind");
    }
}

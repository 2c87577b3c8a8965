//! The handle by which an application receives.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::events::Taken;
use crate::shared::Shared;
use crate::sync::Mutex;
use crate::{Event, PeerId};

/// The events of a server. Clones share one stream: each event goes to exactly one of them.
/// When the last clone is dropped, events are discarded and connections go on.
#[derive(Debug)]
#[must_use = "once the last EventQueue is dropped, all events are discarded"]
pub struct EventQueue {
    reader: Arc<Reader>,
    /// Peers whose `Closed` was taken here, and which are known while it is handled.
    departed: Mutex<Vec<PeerId>>,
}

impl Clone for EventQueue {
    fn clone(&self) -> EventQueue {
        EventQueue { reader: self.reader.clone(), departed: Mutex::default() }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.handled();
    }
}

#[derive(Debug)]
struct Reader {
    shared: Arc<Shared>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.events.abandon();
        self.shared.wake();
    }
}

impl EventQueue {
    pub(crate) fn new(shared: Arc<Shared>) -> EventQueue {
        EventQueue { reader: Arc::new(Reader { shared }), departed: Mutex::default() }
    }

    /// Takes the oldest event, if there is one.
    #[must_use = "an event that was taken does not come again"]
    pub fn pop(&self) -> Option<Event> {
        self.handled();
        self.take(self.reader.shared.events.pop())
    }

    /// Takes every event that waits, oldest first.
    #[must_use = "events that were taken do not come again"]
    pub fn pop_all(&self) -> Vec<Event> {
        self.handled();
        self.take(self.reader.shared.events.pop_all())
    }

    /// [`pop_all`](EventQueue::pop_all) after a sleep that lasts until there is an event, the
    /// time is up or the server has ended. The events are its result:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// # let (server, queue) = net::Server::new("127.0.0.1:3000");
    /// queue.wait(std::time::Duration::from_millis(16)); // loses them
    /// # drop(server);
    /// ```
    #[must_use = "wait also takes the events, and events that were taken do not come again"]
    pub fn wait(&self, timeout: Duration) -> Vec<Event> {
        self.handled();
        self.take(self.reader.shared.events.wait(timeout))
    }

    /// Whether the server has ended and everything was taken: nothing more will come.
    pub fn is_finished(&self) -> bool {
        self.reader.shared.events.is_finished()
    }

    /// What was taken before is handled.
    fn handled(&self) {
        let departed = self.replace_departed(Vec::new());
        if !departed.is_empty() {
            self.reader.shared.events.forget(&departed);
        }
    }

    fn replace_departed(&self, ids: Vec<PeerId>) -> Vec<PeerId> {
        mem::replace(&mut *self.departed.lock().unwrap_or_else(PoisonError::into_inner), ids)
    }

    /// A loop that stopped reading because too much waited here must hear that there is room.
    fn take<T>(&self, taken: Taken<T>) -> T {
        let before = self.replace_departed(taken.departed);
        if !before.is_empty() {
            // Another thread has taken events of this very handle meanwhile.
            self.reader.shared.events.forget(&before);
        }
        if taken.made_room {
            self.reader.shared.wake();
        }
        taken.events
    }
}

//! The handle by which an application receives.

use std::sync::Arc;
use std::time::Duration;

use crate::Event;
use crate::events::Taken;
use crate::shared::Shared;

/// The events of a server. Clones share one stream: each event goes to exactly one of them.
/// When the last clone is dropped, events are discarded and connections go on.
#[derive(Clone, Debug)]
pub struct EventQueue {
    reader: Arc<Reader>,
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
        EventQueue { reader: Arc::new(Reader { shared }) }
    }

    /// Takes the oldest event, if there is one.
    pub fn pop(&self) -> Option<Event> {
        self.take(self.reader.shared.events.pop())
    }

    /// Takes every event that waits, oldest first.
    pub fn pop_all(&self) -> Vec<Event> {
        self.take(self.reader.shared.events.pop_all())
    }

    /// Sleeps until there is an event, the time is up or the server has ended, then takes
    /// every event that waits.
    pub fn wait(&self, timeout: Duration) -> Vec<Event> {
        self.take(self.reader.shared.events.wait(timeout))
    }

    /// Whether the server has ended and everything was taken: nothing more will come.
    pub fn is_finished(&self) -> bool {
        self.reader.shared.events.is_finished()
    }

    /// A loop that stopped reading because too much waited here must hear that there is room.
    fn take<T>(&self, taken: Taken<T>) -> T {
        if taken.made_room {
            self.reader.shared.wake();
        }
        taken.events
    }
}

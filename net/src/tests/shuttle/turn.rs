//! Event loop of the models: the driver's, with a test waker in place of mio.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use shuttle::sync::{Condvar, Mutex};

use crate::queues::Shared;
use crate::queues::send_queue::Remaining;
use crate::{Config, PeerId};

/// Waker that ends the loop's wait once for each wake, as an eventfd does.
#[derive(Debug, Default)]
pub(super) struct WakeSignal {
    rung: Mutex<bool>,
    news: Condvar,
}

impl WakeSignal {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_all();
    }

    pub(super) fn wait(&self) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = self.news.wait_while(rung, |rung| !*rung);
        *rung.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Creates the state shared by handles and loop, and the waker.
pub(super) fn shared(config: &Config) -> (Arc<Shared>, Arc<WakeSignal>) {
    let bell = Arc::new(WakeSignal::default());
    let rings = bell.clone();
    (Arc::new(Shared::new(config, move || rings.ring())), bell)
}

/// Messages and closes that the loop took from the send queues.
#[derive(Debug, Default)]
pub(super) struct TestLoop {
    pub(super) messages: Vec<(PeerId, Bytes)>,
    pub(super) closed: Vec<PeerId>,
    /// Whether the last handle is dropped.
    pub(super) is_over: bool,
}

impl TestLoop {
    /// Runs one iteration of the loop, in the driver's order: `Driver::run_iteration`.
    pub(super) fn turn(&mut self, shared: &Shared) {
        shared.clear_wake();
        while let Some(id) = shared.next_pending() {
            let Some(entry) = shared.peer_handle(id) else { continue };
            let left = entry.send_queue.drain_batch(|part| {
                self.messages.extend(part.reliable.into_iter().map(|message| (id, message)));
                self.messages.extend(part.unreliable.into_iter().map(|(message, _)| (id, message)));
                self.closed.extend(part.close.map(|_| id));
                0
            });
            if left == Remaining::More {
                shared.requeue(id);
            }
        }
        self.is_over |= shared.is_ready_to_stop();
    }
}

//! What the application wants of one peer and the loop has not done yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{CloseReason, Config, Delivery};

/// What a message costs at least, in bytes: so many empty ones are bounded too.
const LEAST_COST: usize = 64;

/// The meeting point of the application's threads and the loop, one for each peer. Both ways
/// of sending are bounded here: reliable pushes back, unreliable drops the oldest.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inner: Mutex<Contents>,
    backlog_bytes: usize,
    fresh_bytes: usize,
}

/// What waits in a mailbox.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) reliable: VecDeque<Bytes>,
    pub(crate) fresh: VecDeque<Bytes>,
    pub(crate) close: Option<CloseReason>,
    reliable_cost: usize,
    fresh_cost: usize,
    /// Bytes that the loop took and the peer's websocket has not written yet.
    unwritten: usize,
    /// Whether the loop knows that there is something here.
    announced: bool,
}

/// What came of a posting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// The loop must be told that this mailbox is not empty any more.
    pub(crate) announce: bool,
    /// Unreliable messages that gave way.
    pub(crate) dropped: usize,
}

fn cost(message: &Bytes) -> usize {
    message.len().max(LEAST_COST)
}

impl Mailbox {
    pub(crate) fn new(config: &Config) -> Mailbox {
        Mailbox {
            inner: Mutex::default(),
            backlog_bytes: config.backlog_bytes,
            fresh_bytes: config.fresh_bytes,
        }
    }

    /// Posts a message, or gives it back if too much of its kind waits.
    pub(crate) fn post(&self, delivery: Delivery, message: Bytes) -> Result<Posted, Bytes> {
        let mut contents = self.lock();
        let dropped = match delivery {
            Delivery::Reliable if contents.is_full(cost(&message), self.backlog_bytes) => {
                return Err(message);
            }
            Delivery::Reliable => contents.push_reliable(message),
            Delivery::Unreliable => contents.push_fresh(message, self.fresh_bytes),
        };
        Ok(Posted { announce: contents.announce(), dropped })
    }

    /// Asks for the end. The first reason counts.
    pub(crate) fn close(&self, reason: CloseReason) -> Posted {
        let mut contents = self.lock();
        contents.close.get_or_insert(reason);
        Posted { announce: contents.announce(), dropped: 0 }
    }

    /// Hands everything to the loop, which says how much of it the websocket has not written.
    /// Under one lock, so that no sender sees the messages gone before they are counted there.
    pub(crate) fn empty(&self, take: impl FnOnce(&mut Contents) -> usize) {
        let mut contents = self.lock();
        contents.unwritten = take(&mut contents);
        let unwritten = contents.unwritten;
        *contents = Contents { unwritten, ..Contents::default() };
    }

    /// Notes how much the websocket has still to write.
    pub(crate) fn set_unwritten(&self, bytes: usize) {
        self.lock().unwritten = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Every change is complete before anything in here could panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn is_full(&self, cost: usize, most: usize) -> bool {
        let waiting = self.reliable_cost + self.unwritten;
        waiting > 0 && waiting + cost > most
    }

    fn push_reliable(&mut self, message: Bytes) -> usize {
        self.reliable_cost += cost(&message);
        self.reliable.push_back(message);
        0
    }

    fn push_fresh(&mut self, message: Bytes, most: usize) -> usize {
        self.fresh_cost += cost(&message);
        self.fresh.push_back(message);
        let mut dropped = 0;
        while self.fresh_cost > most && self.fresh.len() > 1 {
            self.fresh_cost -= self.fresh.pop_front().map_or(0, |oldest| cost(&oldest));
            dropped += 1;
        }
        dropped
    }

    fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> Mailbox {
        let config = Config { backlog_bytes: 1_000, fresh_bytes: 1_000, ..Config::default() };
        Mailbox::new(&config)
    }

    fn bytes(size: usize) -> Bytes {
        Bytes::from(vec![7; size])
    }

    #[test]
    fn reliable_pushes_back_and_changes_nothing() {
        let mailbox = mailbox();
        assert!(mailbox.post(Delivery::Reliable, bytes(600)).is_ok());
        assert_eq!(mailbox.post(Delivery::Reliable, bytes(401)), Err(bytes(401)));
        assert!(mailbox.post(Delivery::Reliable, bytes(400)).is_ok());
        mailbox.empty(|contents| {
            assert_eq!(contents.reliable, [bytes(600), bytes(400)]);
            1_000
        });
        assert_eq!(mailbox.post(Delivery::Reliable, bytes(0)), Err(bytes(0)), "still unwritten");
        mailbox.set_unwritten(900);
        assert!(mailbox.post(Delivery::Reliable, bytes(0)).is_ok());
    }

    #[test]
    fn one_whole_message_is_always_admitted() {
        for delivery in [Delivery::Reliable, Delivery::Unreliable] {
            assert!(mailbox().post(delivery, bytes(50_000)).is_ok());
        }
    }

    #[test]
    fn unreliable_drops_the_oldest() {
        let mailbox = mailbox();
        let dropped = |size| mailbox.post(Delivery::Unreliable, bytes(size)).unwrap().dropped;
        assert_eq!([dropped(500), dropped(500), dropped(1), dropped(600)], [0, 0, 1, 1]);
        mailbox.empty(|contents| {
            assert_eq!(contents.fresh, [bytes(1), bytes(600)]);
            0
        });
    }

    #[test]
    fn empty_messages_are_bounded() {
        let mailbox = mailbox();
        let accepted = (0..1_000).filter(|_| mailbox.post(Delivery::Reliable, bytes(0)).is_ok());
        assert_eq!(accepted.count(), 1_000 / LEAST_COST);
    }

    #[test]
    fn the_loop_is_told_once() {
        let mailbox = mailbox();
        let announce = || mailbox.post(Delivery::Reliable, bytes(1)).unwrap().announce;
        assert_eq!([announce(), announce()], [true, false]);
        assert!(!mailbox.close(CloseReason::ClosedByServer).announce);
        mailbox.empty(|contents| {
            assert_eq!(contents.close, Some(CloseReason::ClosedByServer));
            0
        });
        assert!(announce());
    }

    #[test]
    fn the_first_reason_to_close_counts() {
        let mailbox = mailbox();
        mailbox.close(CloseReason::SlowConsumer);
        mailbox.close(CloseReason::ClosedByServer);
        mailbox.empty(|contents| {
            assert_eq!(contents.close, Some(CloseReason::SlowConsumer));
            0
        });
    }
}

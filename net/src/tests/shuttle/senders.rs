//! Models of many senders and the loop.

use std::sync::Arc;

use shuttle::thread;

use crate::event::SendMode;
use crate::queues::Shared;
use crate::tests::shuttle::turn::{TestLoop, shared};
use crate::tests::shuttle::{check, entry, id, word};
use crate::{CloseReason, Config, SendError, SendOptions};

const SENDERS: u8 = 3;
const EACH: u8 = 3;

fn send_all(shared: &Shared, sender: u8) {
    for number in 0..EACH {
        let way = match sender {
            0 => SendMode::Unreliable(SendOptions::default()),
            _ => SendMode::Reliable,
        };
        let to = id(u64::from(number % 2));
        shared.send(way, to, word(sender, number)).expect("there is room");
    }
}

/// The loop waits whenever there is nothing to take: a single lost wake-up would block it for ever.
#[test]
fn every_message_is_taken_once_and_no_wake_up_is_lost() {
    check(|| {
        let config = Config::default();
        let (shared, bell) = shared(&config);
        (0..2).for_each(|number| shared.on_open(id(number), entry(&config)));
        let threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let shared = shared.clone();
                thread::spawn(move || send_all(&shared, sender))
            })
            .collect();
        let mut taken = TestLoop::default();
        while taken.messages.len() < usize::from(SENDERS * EACH) {
            bell.wait();
            taken.turn(&shared);
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a sender"));
        taken.turn(&shared);
        for sender in 0..SENDERS {
            for peer in 0..2_u8 {
                let of = |(to, message): &(_, bytes::Bytes)| {
                    (*to == id(u64::from(peer)) && message[0] == sender).then_some(message[1])
                };
                let numbers: Vec<_> = taken.messages.iter().filter_map(of).collect();
                let sent: Vec<_> = (0..EACH).filter(|number| number % 2 == peer).collect();
                assert_eq!(numbers, sent, "of sender {sender} to peer {peer}");
            }
        }
    });
}

/// A message that `Full` returns is not sent, and an accepted one is taken, while the loop makes
/// room.
#[test]
fn what_is_full_changes_nothing() {
    check(|| {
        // Two messages fit: each costs 80 bytes and its own.
        let config = Config { reliable_send_buffer: 170, ..Config::default() };
        let (shared, bell) = shared(&config);
        shared.on_open(id(0), entry(&config));
        let sender = |number: u8| {
            let shared = shared.clone();
            thread::spawn(move || {
                let send = |n| shared.send(SendMode::Reliable, id(0), word(number, n));
                (0..EACH).filter(|n| send(*n).is_ok()).count()
            })
        };
        let threads = [sender(0), sender(1)];
        let mut taken = TestLoop::default();
        // The first message is always admitted, and wakes the loop.
        bell.wait();
        taken.turn(&shared);
        let accepted: usize = threads.into_iter().map(|t| t.join().expect("a sender")).sum();
        taken.turn(&shared);
        assert_eq!(taken.messages.len(), accepted);
        assert_eq!(shared.counters.snapshot().send_full, u64::from(2 * EACH) - accepted as u64);
    });
}

/// The loop closes a peer while others send to it and close it: no thread waits for ever, and a
/// closed peer is unknown.
#[test]
fn a_peer_may_close_while_it_is_sent_to() {
    check(|| {
        let config = Config::default();
        let (shared, bell) = shared(&config);
        shared.on_open(id(0), entry(&config));
        let sender = {
            let shared = shared.clone();
            thread::spawn(move || {
                let sent = shared.send(SendMode::Reliable, id(0), word(0, 0)).is_ok();
                shared.close(id(0), CloseReason::ClosedByServer);
                sent
            })
        };
        let closer = {
            let shared = shared.clone();
            thread::spawn(move || shared.close(id(0), CloseReason::SlowConsumer("full".into())))
        };
        let mut taken = TestLoop::default();
        while taken.closed.is_empty() {
            bell.wait();
            taken.turn(&shared);
        }
        shared.on_closed(id(0), CloseReason::ClosedByServer);
        let none = shared.send(SendMode::Reliable, id(0), word(9, 9));
        assert!(matches!(none, Err(SendError::NoSuchPeer(_))));
        let sent = sender.join().expect("a sender");
        closer.join().expect("a closer");
        taken.turn(&shared);
        assert_eq!(
            taken.closed.len(),
            taken.closed.iter().filter(|id| **id == crate::tests::shuttle::id(0)).count()
        );
        assert!(sent || taken.messages.is_empty());
        assert_eq!(Arc::strong_count(&shared), 1);
    });
}

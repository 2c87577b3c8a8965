//! Models of many readers and the loop.

use std::time::Duration;

use shuttle::thread;

use crate::queues::Shared;
use crate::tests::shuttle::turn::{WakeSignal, shared};
use crate::tests::shuttle::{check, entry, id, word, words};
use crate::{CloseReason, Config, Delivery, Event, EventQueue};

const EVENTS: u8 = 4;

/// One reader: pops everything until the end, by each method in turn.
fn read(queue: &EventQueue) -> Vec<Event> {
    let mut events = Vec::new();
    while !queue.is_finished() {
        // In the model this wait ends by an event or by the end, never by its timeout.
        events.extend(queue.wait(Duration::MAX));
        events.extend(queue.pop());
        events.extend(queue.pop_all());
    }
    events
}

/// The loop reports one peer's events; while the queue is full it reads no further until it is
/// woken, as the driver does.
fn tell(shared: &Shared, bell: &WakeSignal) {
    shared.on_open(id(0), entry(&Config::default()));
    for number in 0..EVENTS {
        shared.clear_wake();
        while shared.events.is_full() {
            bell.wait();
            shared.clear_wake();
        }
        shared.events.push_message(id(0), Delivery::Reliable, word(0, number));
    }
    shared.on_closed(id(0), CloseReason::ClosedByPeer);
    shared.on_loop_stopped();
}

fn model(readers: usize, event_queue_len: usize) {
    let (shared, bell) = shared(&Config { event_queue_len, ..Config::default() });
    let queue = EventQueue::new(shared.clone());
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || read(&queue))
        })
        .collect();
    tell(&shared, &bell);
    let taken: Vec<_> = readers.into_iter().map(|r| r.join().expect("a reader")).collect();
    assert!(queue.is_finished());
    let mut all: Vec<_> = taken.iter().flatten().cloned().collect();
    assert_eq!(all.len(), usize::from(EVENTS) + 2, "each event to exactly one");
    for one in taken {
        let numbers: Vec<_> = words(one).iter().map(|word| word[1]).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    all.sort_by_key(|event| format!("{event:?}"));
    all.dedup();
    assert_eq!(all.len(), usize::from(EVENTS) + 2, "and once");
}

#[test]
fn each_event_goes_to_exactly_one_and_nobody_waits_for_ever() {
    check(|| model(3, 1_000));
}

/// A reader that makes room must wake the loop, even if there was room when the loop checked.
#[test]
fn a_loop_that_found_the_queue_full_hears_that_there_is_room() {
    check(|| model(1, 2));
    check(|| model(2, 2));
}

/// The last reader disconnects: the loop, which may have stopped because the queue was full,
/// continues.
#[test]
fn the_last_queue_may_go_while_events_come() {
    check(|| {
        let config = Config { event_queue_len: 2, ..Config::default() };
        let (shared, bell) = shared(&config);
        let queue = EventQueue::new(shared.clone());
        let clone = queue.clone();
        let threads = [queue, clone].map(|queue| {
            thread::spawn(move || {
                _ = queue.pop();
                drop(queue);
            })
        });
        tell(&shared, &bell);
        for thread in threads {
            thread.join().expect("a reader");
        }
        assert!(shared.events.is_finished(), "what nobody reads is discarded");
        assert_eq!(shared.events.close_reason(id(0)), Some(CloseReason::ClosedByPeer));
    });
}

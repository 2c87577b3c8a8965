//! Tests of the send queue: limits, drops and order.

use crate::Delivery;
use crate::queues::send_queue::*;

fn send_queue() -> PeerSendQueue {
    let config =
        Config { reliable_send_buffer: 1_000, unreliable_send_buffer: 1_000, ..Config::default() };
    send_queue_with(&config)
}

fn send_queue_with(config: &Config) -> PeerSendQueue {
    PeerSendQueue::new(config, SendBufferPool::new(config))
}

fn bytes(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

#[test]
fn reliable_pushes_back_and_changes_nothing() {
    let mailbox = send_queue();
    assert!(mailbox.push(SendMode::Reliable, bytes(600)).is_ok());
    assert_eq!(mailbox.push(SendMode::Reliable, bytes(241)), Err(PushError::Full(bytes(241))));
    assert!(mailbox.push(SendMode::Reliable, bytes(240)).is_ok());
    mailbox.drain_batch(|part| {
        assert_eq!(part.reliable, [bytes(600), bytes(240)]);
        1_000
    });
    let unwritten = mailbox.push(SendMode::Reliable, bytes(0));
    assert_eq!(unwritten, Err(PushError::Full(bytes(0))), "still unwritten");
    mailbox.set_buffered_amount(900);
    assert!(mailbox.push(SendMode::Reliable, bytes(0)).is_ok());
}

#[test]
fn one_whole_message_is_always_admitted() {
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        assert!(send_queue().push(delivery.into(), bytes(50_000)).is_ok());
    }
}

/// Queues an unreliable message; returns how many were superseded and how many overflowed.
fn push(mailbox: &PeerSendQueue, options: SendOptions, message: Bytes) -> (u64, u64) {
    let posted = mailbox.push(SendMode::Unreliable(options), message).unwrap();
    (posted.dropped.superseded, posted.dropped.overflow)
}

fn drain_unreliable(mailbox: &PeerSendQueue) -> Vec<(Bytes, SendOptions)> {
    let mut taken = Vec::new();
    while mailbox.drain_batch(|part| {
        taken.extend(part.unreliable);
        0
    }) == Remaining::More
    {}
    taken
}

#[test]
fn unreliable_drops_the_oldest() {
    let mailbox = send_queue();
    let any = SendOptions::default();
    let dropped = |size| push(&mailbox, any, bytes(size)).1;
    assert_eq!([dropped(500), dropped(500), dropped(1), dropped(600)], [0, 0, 1, 1]);
    assert_eq!(drain_unreliable(&mailbox), [(bytes(1), any), (bytes(600), any)]);
}

#[test]
fn the_newest_of_a_key_takes_the_place_of_the_unsent_one() {
    let mailbox = send_queue();
    let (one, two) = (SendOptions::latest(1), SendOptions::latest(2).repair(true));
    assert_eq!(push(&mailbox, one, bytes(1)), (0, 0));
    assert_eq!(push(&mailbox, two, bytes(2)), (0, 0));
    assert_eq!(push(&mailbox, SendOptions::latest(2), bytes(3)), (1, 0));
    assert_eq!(push(&mailbox, one.repair(true), bytes(4)), (1, 0));
    let expected = [(bytes(4), one.repair(true)), (bytes(3), SendOptions::latest(2))];
    assert_eq!(drain_unreliable(&mailbox), expected);
    assert_eq!(push(&mailbox, one, bytes(5)), (0, 0), "the loop has the older one");
}

/// Deterministic pseudo-random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[test]
fn every_message_is_taken_or_counted() {
    for seed in 0..100 {
        let (mailbox, mut random) = (send_queue(), Random(seed));
        let (mut dropped, mut taken) = (DropStats::default(), 0);
        for number in 1..=500_u64 {
            let key = random.below(12);
            let options = match key {
                10.. => SendOptions::default(),
                key => SendOptions::latest(key),
            };
            let message = [&number.to_be_bytes()[..], &[0; 220][..key as usize * 20]].concat();
            let way = SendMode::Unreliable(options);
            dropped += mailbox.push(way, message.into()).unwrap().dropped;
            if random.below(20) == 0 {
                let messages = drain_unreliable(&mailbox);
                taken += messages.len() as u64;
                let newest = messages.iter().any(|(m, _)| m[..8] == number.to_be_bytes());
                assert!(newest, "the newest is always there");
                let mut keys: Vec<_> = messages.iter().filter_map(|(_, o)| o.key).collect();
                keys.sort_unstable();
                assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "one of each key");
                let cost: usize = messages.iter().map(|(message, _)| message.len().max(64)).sum();
                assert!(cost <= 1_000, "seed {seed}: {cost}");
            }
        }
        taken += drain_unreliable(&mailbox).len() as u64;
        assert!(dropped.superseded > 0 && dropped.overflow > 0 && dropped.expired == 0);
        assert_eq!(taken + dropped.total(), 500, "seed {seed}");
    }
}

#[test]
fn empty_messages_are_bounded() {
    let mailbox = send_queue();
    let accepted = (0..1_000).filter(|_| mailbox.push(SendMode::Reliable, bytes(0)).is_ok());
    assert_eq!(accepted.count(), 1_000 / MESSAGE_OVERHEAD);
}

#[test]
fn the_loop_is_told_once() {
    let mailbox = send_queue();
    let announce = || mailbox.push(SendMode::Reliable, bytes(1)).unwrap().needs_wake;
    assert_eq!([announce(), announce()], [true, false]);
    assert!(!mailbox.close(CloseReason::ClosedByServer).needs_wake);
    mailbox.drain_batch(|part| {
        assert_eq!(part.close, Some(CloseReason::ClosedByServer));
        0
    });
    assert!(announce());
}

#[test]
fn the_first_reason_to_close_counts() {
    let mailbox = send_queue();
    mailbox.close(CloseReason::SlowConsumer("full".into()));
    mailbox.close(CloseReason::ClosedByServer);
    mailbox.drain_batch(|part| {
        assert_eq!(part.close, Some(CloseReason::SlowConsumer("full".into())));
        0
    });
}

#[test]
fn a_mailbox_is_taken_in_parts_and_the_end_comes_last() {
    let mailbox = send_queue_with(&Config::default());
    for _ in 0..MAX_BATCH_MESSAGES + 1 {
        assert!(mailbox.push(SendMode::Reliable, bytes(1)).is_ok());
    }
    for _ in 0..2 * MAX_BATCH_MESSAGES {
        assert!(mailbox.push(Delivery::Unreliable.into(), bytes(1)).is_ok());
    }
    mailbox.close(CloseReason::ClosedByServer);
    let take = || {
        let mut taken = None;
        let left = mailbox.drain_batch(|part| {
            taken = Some((part.reliable.len(), part.unreliable.len(), part.close.is_some()));
            0
        });
        (taken.unwrap(), left)
    };
    assert_eq!(take(), ((MAX_BATCH_MESSAGES, MAX_BATCH_MESSAGES, false), Remaining::More));
    assert!(!mailbox.close(CloseReason::Lost).needs_wake, "it is in line");
    assert_eq!(take(), ((1, MAX_BATCH_MESSAGES, true), Remaining::Empty));
}

#[test]
fn as_long_as_anything_waits_the_loop_comes_again_and_the_end_does_not() {
    for (reliable, unreliable) in [
        (MAX_BATCH_MESSAGES + 1, 0),
        (0, MAX_BATCH_MESSAGES + 1),
        (MAX_BATCH_MESSAGES + 1, 1),
        (1, MAX_BATCH_MESSAGES + 1),
    ] {
        for closes in [false, true] {
            let mailbox = send_queue_with(&Config::default());
            let post = |way: Delivery, count| {
                (0..count).for_each(|_| assert!(mailbox.push(way.into(), bytes(1)).is_ok()));
            };
            post(Delivery::Reliable, reliable);
            post(Delivery::Unreliable, unreliable);
            if closes {
                mailbox.close(CloseReason::ClosedByServer);
            }
            let (mut taken, mut ends) = (0, Vec::new());
            let mut take = || {
                mailbox.drain_batch(|part| {
                    taken += part.reliable.len() + part.unreliable.len();
                    ends.push(part.close.is_some());
                    0
                })
            };
            assert_eq!([take(), take()], [Remaining::More, Remaining::Empty]);
            assert_eq!((taken, ends), (reliable + unreliable, vec![false, closes]));
        }
    }
}

#[test]
fn what_is_left_counts_as_much_as_before() {
    let mailbox = send_queue();
    for _ in 0..1_000 / MESSAGE_OVERHEAD {
        assert!(mailbox.push(SendMode::Reliable, bytes(0)).is_ok());
    }
    mailbox.drain_batch(|_| 0);
    assert!(mailbox.push(SendMode::Reliable, bytes(1_000)).is_ok());
    assert!(mailbox.push(SendMode::Reliable, bytes(1)).is_err());
}

#[test]
fn the_part_that_was_taken_counts_no_more() {
    let most = MAX_BATCH_MESSAGES + 10;
    let config = Config { reliable_send_buffer: most * MESSAGE_OVERHEAD, ..Config::default() };
    let mailbox = send_queue_with(&config);
    let fits = || (0..2 * most).take_while(|_| mailbox.push(SendMode::Reliable, bytes(0)).is_ok());
    assert_eq!(fits().count(), most);
    assert_eq!(mailbox.drain_batch(|_| 0), Remaining::More);
    assert_eq!(fits().count(), MAX_BATCH_MESSAGES);
}

/// The reliable stream has no gap: no message follows one that was rejected and led to the close.
#[test]
fn t13_nothing_is_taken_behind_the_end() {
    let mailbox = send_queue();
    assert!(mailbox.push(SendMode::Reliable, bytes(900)).is_ok());
    mailbox.drain_batch(|_| 900);
    assert_eq!(mailbox.push(SendMode::Reliable, bytes(200)), Err(PushError::Full(bytes(200))));
    mailbox.close(CloseReason::SlowConsumer("full".into()));
    mailbox.set_buffered_amount(0);
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        let posted = mailbox.push(delivery.into(), bytes(1));
        assert_eq!(posted, Err(PushError::Closing(bytes(1))));
    }
}

#[test]
fn what_waits_is_counted_in_the_total_and_given_back_whatever_becomes_of_it() {
    let config =
        Config { reliable_send_buffer: 10_000, max_peers: usize::MAX, ..Config::default() };
    let total = SendBufferPool::new(&config);
    let mailbox = PeerSendQueue::new(&config, total.clone());
    for _ in 0..3 {
        assert!(mailbox.push(SendMode::Reliable, bytes(1_000)).is_ok());
    }
    assert_eq!(total.shared_used(), 3 * (1_000 + MESSAGE_OVERHEAD));
    mailbox.drain_batch(|_| 2_500);
    assert_eq!(total.shared_used(), 2_500);
    mailbox.set_buffered_amount(700);
    assert_eq!(total.shared_used(), 700);
    assert!(mailbox.push(SendMode::Reliable, bytes(9_000)).is_ok());
    assert!(mailbox.push(SendMode::Reliable, bytes(9_000)).is_err());
    assert_eq!(total.shared_used(), 700 + 9_000 + MESSAGE_OVERHEAD);
    drop(mailbox);
    assert_eq!(total.shared_used(), 0);
}

#[test]
fn t13_those_that_hoard_leave_each_its_own_part() {
    let (peers, total_reliable_send_buffer) = (10, 1_000_000);
    let config = Config { max_peers: peers, total_reliable_send_buffer, ..Config::default() };
    let total = SendBufferPool::new(&config);
    let fill = || {
        let mailbox = PeerSendQueue::new(&config, total.clone());
        let count =
            (0..).take_while(|_| mailbox.push(SendMode::Reliable, bytes(920)).is_ok()).count();
        (mailbox, count)
    };
    let (hoard, most) = fill();
    let (honest, own) = fill();
    assert_eq!((most, own), (550, 50));
    assert!(honest.full_reason(920).contains("Config::total_reliable_send_buffer"));
    drop(hoard);
    assert!((own..most).all(|_| honest.push(SendMode::Reliable, bytes(920)).is_ok()));
}

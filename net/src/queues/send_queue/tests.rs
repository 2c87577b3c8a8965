//! What waits, what gives way, and in which order it is taken.

use crate::Delivery;
use crate::queues::send_queue::*;

fn mailbox() -> Mailbox {
    let config = Config { backlog_bytes: 1_000, fresh_bytes: 1_000, ..Config::default() };
    with(&config)
}

fn with(config: &Config) -> Mailbox {
    Mailbox::new(config, Total::new(config))
}

fn bytes(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

#[test]
fn reliable_pushes_back_and_changes_nothing() {
    let mailbox = mailbox();
    assert!(mailbox.post(Way::Reliable, bytes(600)).is_ok());
    assert_eq!(mailbox.post(Way::Reliable, bytes(241)), Err(Unposted::Full(bytes(241))));
    assert!(mailbox.post(Way::Reliable, bytes(240)).is_ok());
    mailbox.take_part(|part| {
        assert_eq!(part.reliable, [bytes(600), bytes(240)]);
        1_000
    });
    let unwritten = mailbox.post(Way::Reliable, bytes(0));
    assert_eq!(unwritten, Err(Unposted::Full(bytes(0))), "still unwritten");
    mailbox.set_unwritten(900);
    assert!(mailbox.post(Way::Reliable, bytes(0)).is_ok());
}

#[test]
fn one_whole_message_is_always_admitted() {
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        assert!(mailbox().post(delivery.into(), bytes(50_000)).is_ok());
    }
}

/// Posts an unreliable message; tells how many were replaced and how many too many.
fn post(mailbox: &Mailbox, options: SendOptions, message: Bytes) -> (u64, u64) {
    let posted = mailbox.post(Way::Unreliable(options), message).unwrap();
    (posted.dropped.superseded, posted.dropped.overflow)
}

fn fresh(mailbox: &Mailbox) -> Vec<(Bytes, SendOptions)> {
    let mut taken = Vec::new();
    while mailbox.take_part(|part| {
        taken.extend(part.fresh);
        0
    }) == Left::Something
    {}
    taken
}

#[test]
fn unreliable_drops_the_oldest() {
    let mailbox = mailbox();
    let any = SendOptions::default();
    let dropped = |size| post(&mailbox, any, bytes(size)).1;
    assert_eq!([dropped(500), dropped(500), dropped(1), dropped(600)], [0, 0, 1, 1]);
    assert_eq!(fresh(&mailbox), [(bytes(1), any), (bytes(600), any)]);
}

#[test]
fn the_newest_of_a_key_takes_the_place_of_the_unsent_one() {
    let mailbox = mailbox();
    let (one, two) = (SendOptions::latest(1), SendOptions::latest(2).repair(true));
    assert_eq!(post(&mailbox, one, bytes(1)), (0, 0));
    assert_eq!(post(&mailbox, two, bytes(2)), (0, 0));
    assert_eq!(post(&mailbox, SendOptions::latest(2), bytes(3)), (1, 0));
    assert_eq!(post(&mailbox, one.repair(true), bytes(4)), (1, 0));
    let expected = [(bytes(4), one.repair(true)), (bytes(3), SendOptions::latest(2))];
    assert_eq!(fresh(&mailbox), expected);
    assert_eq!(post(&mailbox, one, bytes(5)), (0, 0), "the loop has the older one");
}

/// Numbers that look like chance, the same for the same seed.
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
        let (mailbox, mut random) = (mailbox(), Random(seed));
        let (mut dropped, mut taken) = (DropStats::default(), 0);
        for number in 1..=500_u64 {
            let key = random.below(12);
            let options = match key {
                10.. => SendOptions::default(),
                key => SendOptions::latest(key),
            };
            let message = [&number.to_be_bytes()[..], &[0; 220][..key as usize * 20]].concat();
            let way = Way::Unreliable(options);
            dropped += mailbox.post(way, message.into()).unwrap().dropped;
            if random.below(20) == 0 {
                let messages = fresh(&mailbox);
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
        taken += fresh(&mailbox).len() as u64;
        assert!(dropped.superseded > 0 && dropped.overflow > 0 && dropped.expired == 0);
        assert_eq!(taken + dropped.total(), 500, "seed {seed}");
    }
}

#[test]
fn empty_messages_are_bounded() {
    let mailbox = mailbox();
    let accepted = (0..1_000).filter(|_| mailbox.post(Way::Reliable, bytes(0)).is_ok());
    assert_eq!(accepted.count(), 1_000 / MESSAGE);
}

#[test]
fn the_loop_is_told_once() {
    let mailbox = mailbox();
    let announce = || mailbox.post(Way::Reliable, bytes(1)).unwrap().announce;
    assert_eq!([announce(), announce()], [true, false]);
    assert!(!mailbox.close(CloseReason::ClosedByServer).announce);
    mailbox.take_part(|part| {
        assert_eq!(part.close, Some(CloseReason::ClosedByServer));
        0
    });
    assert!(announce());
}

#[test]
fn the_first_reason_to_close_counts() {
    let mailbox = mailbox();
    mailbox.close(CloseReason::SlowConsumer("full".into()));
    mailbox.close(CloseReason::ClosedByServer);
    mailbox.take_part(|part| {
        assert_eq!(part.close, Some(CloseReason::SlowConsumer("full".into())));
        0
    });
}

#[test]
fn a_mailbox_is_taken_in_parts_and_the_end_comes_last() {
    let mailbox = with(&Config::default());
    for _ in 0..PART + 1 {
        assert!(mailbox.post(Way::Reliable, bytes(1)).is_ok());
    }
    for _ in 0..2 * PART {
        assert!(mailbox.post(Delivery::Unreliable.into(), bytes(1)).is_ok());
    }
    mailbox.close(CloseReason::ClosedByServer);
    let take = || {
        let mut taken = None;
        let left = mailbox.take_part(|part| {
            taken = Some((part.reliable.len(), part.fresh.len(), part.close.is_some()));
            0
        });
        (taken.unwrap(), left)
    };
    assert_eq!(take(), ((PART, PART, false), Left::Something));
    assert!(!mailbox.close(CloseReason::Lost).announce, "it is in line");
    assert_eq!(take(), ((1, PART, true), Left::Nothing));
}

#[test]
fn as_long_as_anything_waits_the_loop_comes_again_and_the_end_does_not() {
    for (reliable, unreliable) in [(PART + 1, 0), (0, PART + 1), (PART + 1, 1), (1, PART + 1)] {
        for closes in [false, true] {
            let mailbox = with(&Config::default());
            let post = |way: Delivery, count| {
                (0..count).for_each(|_| assert!(mailbox.post(way.into(), bytes(1)).is_ok()));
            };
            post(Delivery::Reliable, reliable);
            post(Delivery::Unreliable, unreliable);
            if closes {
                mailbox.close(CloseReason::ClosedByServer);
            }
            let (mut taken, mut ends) = (0, Vec::new());
            let mut take = || {
                mailbox.take_part(|part| {
                    taken += part.reliable.len() + part.fresh.len();
                    ends.push(part.close.is_some());
                    0
                })
            };
            assert_eq!([take(), take()], [Left::Something, Left::Nothing]);
            assert_eq!((taken, ends), (reliable + unreliable, vec![false, closes]));
        }
    }
}

#[test]
fn what_is_left_counts_as_much_as_before() {
    let mailbox = mailbox();
    for _ in 0..1_000 / MESSAGE {
        assert!(mailbox.post(Way::Reliable, bytes(0)).is_ok());
    }
    mailbox.take_part(|_| 0);
    assert!(mailbox.post(Way::Reliable, bytes(1_000)).is_ok());
    assert!(mailbox.post(Way::Reliable, bytes(1)).is_err());
}

#[test]
fn the_part_that_was_taken_counts_no_more() {
    let most = PART + 10;
    let config = Config { backlog_bytes: most * MESSAGE, ..Config::default() };
    let mailbox = with(&config);
    let fits = || (0..2 * most).take_while(|_| mailbox.post(Way::Reliable, bytes(0)).is_ok());
    assert_eq!(fits().count(), most);
    assert_eq!(mailbox.take_part(|_| 0), Left::Something);
    assert_eq!(fits().count(), PART);
}

/// The reliable stream has no gap: nothing follows what was refused and led to the end.
#[test]
fn t13_nothing_is_taken_behind_the_end() {
    let mailbox = mailbox();
    assert!(mailbox.post(Way::Reliable, bytes(900)).is_ok());
    mailbox.take_part(|_| 900);
    assert_eq!(mailbox.post(Way::Reliable, bytes(200)), Err(Unposted::Full(bytes(200))));
    mailbox.close(CloseReason::SlowConsumer("full".into()));
    mailbox.set_unwritten(0);
    for delivery in [Delivery::Reliable, Delivery::Unreliable] {
        let posted = mailbox.post(delivery.into(), bytes(1));
        assert_eq!(posted, Err(Unposted::Closing(bytes(1))));
    }
}

#[test]
fn what_waits_is_counted_in_the_total_and_given_back_whatever_becomes_of_it() {
    let config = Config { backlog_bytes: 10_000, peers: usize::MAX, ..Config::default() };
    let total = Total::new(&config);
    let mailbox = Mailbox::new(&config, total.clone());
    for _ in 0..3 {
        assert!(mailbox.post(Way::Reliable, bytes(1_000)).is_ok());
    }
    assert_eq!(total.shared(), 3 * (1_000 + MESSAGE));
    mailbox.take_part(|_| 2_500);
    assert_eq!(total.shared(), 2_500);
    mailbox.set_unwritten(700);
    assert_eq!(total.shared(), 700);
    assert!(mailbox.post(Way::Reliable, bytes(9_000)).is_ok());
    assert!(mailbox.post(Way::Reliable, bytes(9_000)).is_err());
    assert_eq!(total.shared(), 700 + 9_000 + MESSAGE);
    drop(mailbox);
    assert_eq!(total.shared(), 0);
}

#[test]
fn t13_those_that_hoard_leave_each_its_own_part() {
    let (peers, total_reliable_send_buffer) = (10, 1_000_000);
    let config = Config { peers, total_reliable_send_buffer, ..Config::default() };
    let total = Total::new(&config);
    let fill = || {
        let mailbox = Mailbox::new(&config, total.clone());
        let count = (0..).take_while(|_| mailbox.post(Way::Reliable, bytes(920)).is_ok()).count();
        (mailbox, count)
    };
    let (hoard, most) = fill();
    let (honest, own) = fill();
    assert_eq!((most, own), (550, 50));
    assert!(honest.why_full(920).contains("Config::total_reliable_send_buffer"));
    drop(hoard);
    assert!((own..most).all(|_| honest.post(Way::Reliable, bytes(920)).is_ok()));
}

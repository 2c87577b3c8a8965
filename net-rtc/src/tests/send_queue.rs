//! Unreliable send queue: keys, overload, and the path statistics.

use std::time::Duration;

use bytes::Bytes;

use crate::tests::data_channel::{CLIENT, Pair, SERVER, address, config};
use crate::{Config, DataPathMode, SendOptions};

#[test]
fn the_newest_of_a_key_takes_the_place_of_the_unsent_one() {
    let mut pair = Pair::open();
    // More than leaves at once, so that the rest waits.
    for _ in 0..60 {
        pair.server.endpoint.send(pair.now, &1, vec![0; 1_000]).unwrap();
    }
    let send = |pair: &mut Pair, key: u64, text: &'static str| {
        let options = SendOptions::latest(key);
        pair.server.endpoint.send_with(pair.now, &1, text, options).unwrap();
        pair.run(Duration::from_millis(1));
    };
    for (key, text) in [(1, "a1"), (2, "b1"), (1, "a2"), (2, "b2"), (1, "a3")] {
        send(&mut pair, key, text);
    }
    pair.run(Duration::from_secs(1));
    let mut arrived = Pair::received(&mut pair.client);
    arrived.retain(|message| message.len() == 2);
    assert_eq!(arrived, ["a3", "b2"]);
    let dropped = pair.server.endpoint.stats().dropped;
    assert_eq!((dropped.superseded, dropped.total()), (3, 3));
    // What has left is nothing to be replaced.
    send(&mut pair, 1, "a4");
    send(&mut pair, 1, "a5");
    pair.run(Duration::from_secs(1));
    assert_eq!(Pair::received(&mut pair.client), ["a4", "a5"]);
}

#[test]
fn plain_sctp_knows_keys_too() {
    let plain = |local| Config { data_path: DataPathMode::PlainSctp, ..config(local) };
    let mut pair = Pair::with(plain(SERVER), plain(CLIENT)).signal().opened();
    pair.server.endpoint.send(pair.now, &1, vec![0; 17_000]).unwrap();
    for text in ["old", "new"] {
        let options = SendOptions::latest(1);
        pair.server.endpoint.send_with(pair.now, &1, text, options).unwrap();
        pair.run(Duration::from_millis(1));
    }
    pair.run(Duration::from_secs(1));
    let mut arrived = Pair::received(&mut pair.client);
    arrived.retain(|message| message.len() == 3);
    assert_eq!(arrived, ["new"]);
    assert_eq!(pair.server.endpoint.stats().dropped.superseded, 1);
}

#[test]
fn without_end_of_overload_messages_leave_young() {
    let mut pair = Pair::open();
    let began = pair.now;
    // Three times the most that a peer is sent.
    let mut ages = Vec::new();
    for _ in 0..3_000 {
        let now = (pair.now - began).as_micros() as u64;
        let message = [&now.to_be_bytes()[..], &[0; 1_492]].concat();
        pair.server.endpoint.send(pair.now, &1, message).unwrap();
        pair.run(Duration::from_millis(1));
        let now = (pair.now - began).as_micros() as u64;
        let sent = |message: &Bytes| u64::from_be_bytes(message[..8].try_into().unwrap());
        ages.extend(Pair::received(&mut pair.client).iter().map(|message| now - sent(message)));
    }
    let gauge = pair.server.endpoint.path_monitor(&1).unwrap();
    assert_eq!(gauge.snapshot().dropped, pair.server.endpoint.stats().dropped);
    let total = gauge.snapshot().dropped.expired;
    assert!((1_600..2_100).contains(&total), "{total} of 3000 dropped");
    let oldest = ages[200..].iter().max().unwrap();
    assert!(*oldest < 43_000, "20 ms on the way, 20 ms in the queue, not {oldest} us");
}

#[test]
fn plain_sctp_turns_away_what_it_cannot_take() {
    let with = |local, data_plane| Config {
        max_message_size: 100_000,
        data_path: data_plane,
        ..config(local)
    };
    for (plane, taken) in [(DataPathMode::LowLatency, true), (DataPathMode::PlainSctp, false)] {
        let mut pair = Pair::with(with(SERVER, plane), with(CLIENT, plane)).signal().opened();
        let result = pair.server.endpoint.send(pair.now, &1, vec![0; 65_537]);
        assert_eq!(result.is_ok(), taken);
    }
}

/// However little may wait inside SCTP.
#[test]
fn plain_sctp_takes_one_whole_message_and_then_as_much_as_may_wait() {
    let with = |local| Config { data_path: DataPathMode::PlainSctp, ..config(local) };
    let server = Config { sctp_send_buffer: 10_000, ..with(SERVER) };
    let mut pair = Pair::with(server, with(CLIENT)).signal().opened();
    let mut send = |size| {
        pair.server.endpoint.send(pair.now, &1, vec![0; size]).unwrap();
        pair.run(Duration::from_secs(1));
        Pair::received(&mut pair.client).len()
    };
    assert_eq!([60_000, 10_000, 1].map(&mut send), [1, 1, 1]);
    // Nothing is acknowledged: what SCTP has taken stays there, the rest grows old here.
    pair.loss = |_, _| true;
    for _ in 0..20 {
        pair.server.endpoint.send(pair.now, &1, vec![0; 1_000]).unwrap();
    }
    pair.run(Duration::from_millis(150));
    assert_eq!(pair.server.endpoint.stats().dropped.expired, 10);
}

#[test]
fn a_peer_that_fell_back_loses_what_plain_sctp_cannot_take() {
    let with = |local| Config { max_message_size: 100_000, ..config(local) };
    let mut pair = Pair::with(with(SERVER), with(CLIENT)).signal().opened();
    pair.server.endpoint.fall_back(&1);
    pair.server.endpoint.send(pair.now, &1, vec![0; 65_537]).unwrap();
    pair.server.endpoint.send(pair.now, &1, "small").unwrap();
    pair.run(Duration::from_secs(1));
    assert_eq!(Pair::received(&mut pair.client), ["small"]);
    assert_eq!(pair.server.endpoint.stats().dropped.overflow, 1);
}

/// To a peer that has fallen silent nothing is sent, and what waits is still dropped in time.
#[test]
fn t55_what_waits_for_a_silent_peer_is_dropped_when_it_grows_old() {
    let mut pair = Pair::open();
    pair.loss = |_, _| true;
    // The peer is probed four times a second; the message ends between two probes.
    pair.run(Duration::from_millis(10_300));
    let before = pair.server.endpoint.stats().dropped.expired;
    pair.server.endpoint.send(pair.now, &1, "to nobody").unwrap();
    let dropped_after = |pair: &mut Pair, ms| {
        pair.run(Duration::from_millis(ms));
        pair.server.endpoint.stats().dropped.expired - before
    };
    assert_eq!([dropped_after(&mut pair, 99), dropped_after(&mut pair, 2)], [0, 1]);
}

/// Chromium's socket holds 56 datagrams of 1,200 bytes; here it is read every 10 ms.
#[test]
fn a_message_of_64_kib_leaves_no_faster_than_a_browser_can_take_it() {
    let mut pair = Pair::open();
    let datagrams = |pair: &Pair| pair.sent_to(address(CLIENT), |sent| sent.len() > 200).len();
    for number in 0..20_u8 {
        let message = vec![number; 65_536];
        pair.server.endpoint.send(pair.now, &1, message).unwrap();
        let mut left = Vec::new();
        for _ in 0..40 {
            let before = datagrams(&pair);
            pair.run(Duration::from_millis(5));
            left.push(datagrams(&pair) - before);
        }
        let most = left.windows(2).map(|two| two[0] + two[1]).max();
        assert!(most <= Some(56), "{left:?}");
        assert_eq!((left[..5].iter().sum::<usize>(), left.iter().sum()), (61, 61), "{left:?}");
    }
    let arrived = Pair::received(&mut pair.client);
    let numbers: Vec<_> = arrived.iter().map(|message| message[0]).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!(pair.server.endpoint.stats().dropped.total(), 0);
}

/// Messages that are sent one by one wait for the packets before them to leave, and then for
/// nothing else: no acknowledgement is back yet.
#[test]
fn many_small_messages_leave_one_behind_the_other() {
    let mut pair = Pair::open();
    for number in 0..150_u8 {
        pair.server.endpoint.send(pair.now, &1, vec![number; 250]).unwrap();
        pair.run(Duration::ZERO);
    }
    pair.run(Duration::from_millis(35));
    assert_eq!(Pair::received(&mut pair.client).len(), 150);
}

/// A path that loses one datagram in fifty, to a client that tells of what is missing: the plane
/// acknowledges all up to the newest.
#[test]
fn packets_that_left_and_did_not_arrive_are_counted() {
    let client = Config { data_path: DataPathMode::PlainSctp, ..config(CLIENT) };
    let mut pair = Pair::with(config(SERVER), client).signal().opened();
    pair.loss = |number, contents| number % 50 == 0 && contents.len() > 500;
    let before = pair.transmits.len();
    for _ in 0..500 {
        let options = SendOptions::default().repair(false);
        pair.server.endpoint.send_with(pair.now, &1, vec![7; 900], options).unwrap();
        pair.run(Duration::from_millis(16));
    }
    let lost = (before + 1..=pair.transmits.len())
        .filter(|number| (pair.loss)(*number, &pair.transmits[*number - 1].contents))
        .count();
    pair.run(Duration::from_secs(2));
    let told = pair.server.endpoint.path_monitor(&1).unwrap().snapshot().packets_lost;
    assert!(lost > 5 && told.abs_diff(lost as u64) <= 1, "{told} of {lost}");
}

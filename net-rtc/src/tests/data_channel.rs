//! Data channel between a server and a client: opening, messages, limits and closing.

use std::time::Duration;

use bytes::Bytes;

pub(crate) use crate::tests::util::{CLIENT, LossFn, ONE_WAY, Pair, SERVER, address, config};
use crate::{
    AcceptAnswerError, AcceptOfferError, Channels, CloseReason, Config, DataPathMode, DropStats,
    EndpointUsage, Event, OfferError, SendError, WebRtcStage,
};

#[test]
fn opens_and_echoes() {
    let mut pair = Pair::open();
    assert_eq!(pair.server.endpoint.stage(&1), Some(WebRtcStage::Open));
    pair.server.endpoint.send(pair.now, &1, "to the client").unwrap();
    pair.client.endpoint.send(pair.now, &1, "to the server").unwrap();
    pair.run(ONE_WAY * 2);
    assert_eq!(Pair::received(&mut pair.client), ["to the client"]);
    assert_eq!(Pair::received(&mut pair.server), ["to the server"]);
}

#[test]
fn every_size_arrives() {
    let mut pair = Pair::open();
    for size in [0, 1, 2, 1_061, 1_062, 1_063, 5_000, 65_535, 65_536] {
        let message = Bytes::from(vec![size as u8; size]);
        pair.server.endpoint.send(pair.now, &1, message.clone()).unwrap();
        pair.client.endpoint.send(pair.now, &1, message.clone()).unwrap();
        pair.run(Duration::from_secs(2));
        let expected = [message];
        assert_eq!(Pair::received(&mut pair.client), expected, "{size} down");
        assert_eq!(Pair::received(&mut pair.server), expected, "{size} up");
    }
}

#[test]
fn too_large_gives_the_message_back() {
    let mut pair = Pair::open();
    let message = Bytes::from(vec![0; 65_537]);
    let result = pair.server.endpoint.send(pair.now, &1, message.clone());
    assert_eq!(result, Err(SendError::TooLarge(message)));
}

#[test]
fn sending_before_open_gives_the_message_back() {
    let mut pair = Pair::signalled();
    assert_eq!(
        pair.server.endpoint.send(pair.now, &1, "early"),
        Err(SendError::NotOpen("early".into()))
    );
    assert_eq!(
        pair.server.endpoint.send(pair.now, &2, "nobody"),
        Err(SendError::NotOpen("nobody".into()))
    );
}

#[test]
fn a_goodbye_closes_both_sides() {
    for server_closes in [true, false] {
        let mut pair = Pair::open();
        let closer = if server_closes { &mut pair.server } else { &mut pair.client };
        closer.endpoint.close(pair.now, &1);
        pair.run(ONE_WAY * 3);
        let (mut ours, mut theirs) = (pair.server, pair.client);
        if !server_closes {
            std::mem::swap(&mut ours, &mut theirs);
        }
        assert_eq!(ours.events, [Event::Closed(CloseReason::Local)]);
        assert_eq!(theirs.events, [Event::Closed(CloseReason::Remote)]);
        assert!(ours.endpoint.is_empty() && theirs.endpoint.is_empty());
    }
}

#[test]
fn a_vanished_peer_is_lost() {
    let mut pair = Pair::open();
    pair.loss = |_, _| true;
    pair.run(Duration::from_secs(30));
    assert_eq!(pair.server.events, [Event::Closed(CloseReason::IdleTimeout)]);
    assert!(pair.server.endpoint.is_empty());
}

#[test]
fn data_keeps_a_peer_alive_without_checks() {
    let mut pair = Pair::open();
    pair.loss = |_, contents| contents.first().is_some_and(|byte| *byte < 4);
    let (down, up) = chat(&mut pair, 6_000);
    assert_each_once(&down, 6_000, 1.0);
    assert_each_once(&up, 6_000, 1.0);
    // When nothing is said, the answers to probes do.
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.server.events, []);
    pair.loss = |_, _| true;
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.server.events, [Event::Closed(CloseReason::IdleTimeout)]);
}

#[test]
fn without_packets_the_connection_times_out() {
    let mut pair = Pair::signalled();
    pair.loss = |_, _| true;
    pair.run(Duration::from_millis(14_900));
    assert_eq!(pair.server.events, []);
    pair.run(Duration::from_millis(200));
    assert_eq!(
        pair.server.events,
        [Event::Closed(CloseReason::HandshakeTimeout(WebRtcStage::Ice))]
    );
    assert!(pair.server.endpoint.is_empty());
}

#[test]
fn loss_delays_the_opening_only() {
    let mut pair = Pair::signalled();
    // Scattered: a regular pattern would hit the same packet of every repeated flight.
    pair.loss = |number, _| (number as u32).wrapping_mul(2_654_435_769) >> 28 == 0;
    pair.run(Duration::from_secs(14));
    assert_eq!(pair.server.events, [Event::Open]);
    assert_eq!(pair.client.events, [Event::Open]);
}

#[test]
fn a_message_that_waits_too_long_is_dropped() {
    let mut pair = Pair::open();
    for _ in 0..200 {
        pair.server.endpoint.send(pair.now, &1, vec![0; 1_000]).unwrap();
    }
    pair.run(Duration::from_secs(3));
    let arrived = Pair::received(&mut pair.client).len() as u64;
    let dropped = pair.server.endpoint.stats().dropped;
    assert!(dropped.overflow > 0, "no room for 200 kB");
    assert!(dropped.expired > 0, "4 Mbit/s cannot carry 200 kB in 100 ms");
    assert_eq!(arrived + dropped.total(), 200);
}

#[test]
fn keys_and_answers_are_used_once() {
    let mut pair = Pair::signalled();
    let answer = "v=0";
    assert_eq!(pair.server.endpoint.offer(pair.now, 1), Err(OfferError::KeyInUse));
    let again = pair.server.endpoint.accept_answer(pair.now, &1, answer);
    assert_eq!(again, Err(AcceptAnswerError::Unexpected));
    let nobody = pair.server.endpoint.accept_answer(pair.now, &9, answer);
    assert_eq!(nobody, Err(AcceptAnswerError::UnknownPeer));
    let offer = pair.server.endpoint.offer(pair.now, 2).unwrap();
    let same_address = pair.client.endpoint.accept_offer(pair.now, 2, &offer.sdp);
    assert_eq!(same_address, Err(AcceptOfferError::AddressInUse));
}

#[test]
fn a_bad_answer_ends_the_peer() {
    let mut pair = Pair::new();
    pair.server.endpoint.offer(pair.now, 1).unwrap();
    let result = pair.server.endpoint.accept_answer(pair.now, &1, "v=0\r\n");
    let cause = "0 media sections; one was expected".to_string();
    assert_eq!(result, Err(AcceptAnswerError::InvalidAnswer(cause.clone())));
    pair.poll();
    assert_eq!(
        pair.server.events,
        [Event::Closed(CloseReason::Failed(WebRtcStage::Answer, cause))]
    );
    assert!(pair.server.endpoint.is_empty());
}

/// A numbered message each way every 10 ms; gives how many arrived of how many, down and up.
fn chat(pair: &mut Pair, rounds: u32) -> (Vec<u32>, Vec<u32>) {
    for number in 0..rounds {
        let message = Bytes::from(number.to_be_bytes().to_vec());
        pair.server.endpoint.send(pair.now, &1, message.clone()).unwrap();
        pair.client.endpoint.send(pair.now, &1, message).unwrap();
        pair.run(Duration::from_millis(10));
    }
    pair.run(Duration::from_secs(2));
    let numbers = |messages: Vec<Bytes>| {
        messages.iter().map(|m| u32::from_be_bytes(m[..].try_into().unwrap())).collect()
    };
    (numbers(Pair::received(&mut pair.client)), numbers(Pair::received(&mut pair.server)))
}

fn assert_each_once(numbers: &[u32], rounds: u32, least: f64) {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), numbers.len(), "a message came twice");
    let share = numbers.len() as f64 / f64::from(rounds);
    assert!(share >= least, "{share} arrived");
}

/// Scattered: a regular pattern would hit the same packet again and again.
fn a_tenth(number: usize, _: &[u8]) -> bool {
    (number as u32).wrapping_mul(2_654_435_769) >> 16 < 6_554
}

#[test]
fn tsns_wrap_around_on_both_sides() {
    for peer in [DataPathMode::LowLatency, DataPathMode::PlainSctp] {
        let first_tsn = Some(u32::MAX - 100);
        let server = Config { initial_tsn: first_tsn, ..config(SERVER) };
        let client = Config { initial_tsn: first_tsn, data_path: peer, ..config(CLIENT) };
        let mut pair = Pair::with(server, client).signal().opened();
        pair.loss = a_tenth;
        let (down, up) = chat(&mut pair, 500);
        assert_each_once(&down, 500, 0.85);
        assert_each_once(&up, 500, 0.85);
    }
}

#[test]
fn the_way_back_to_plain_sctp_goes_on_in_mid_stream() {
    for loss in [(|_, _| false) as LossFn, a_tenth] {
        let client = Config { data_path: DataPathMode::PlainSctp, ..config(CLIENT) };
        let mut pair = Pair::with(config(SERVER), client).signal().opened();
        pair.loss = loss;
        let (down, up) = chat(&mut pair, 200);
        assert_each_once(&down, 200, 0.8);
        assert_each_once(&up, 200, 0.8);

        pair.server.endpoint.fall_back(&1);
        pair.loss = |_, _| false;
        let (down, up) = chat(&mut pair, 200);
        assert_each_once(&down, 200, 0.95);
        assert_each_once(&up, 200, 0.95);

        pair.client.endpoint.close(pair.now, &1);
        pair.run(ONE_WAY * 3);
        assert_eq!(pair.server.events, [Event::Closed(CloseReason::Remote)]);
    }
}

#[test]
fn t29_a_second_channel_ends_the_peer_unless_several_are_asked_for() {
    for channels in [Channels::One, Channels::Several] {
        let server = Config { channels, ..config(SERVER) };
        let client = Config { channels: Channels::Several, ..config(CLIENT) };
        let mut pair = Pair::with(server, client).signal().opened();
        pair.client.endpoint.open_second_channel(pair.now, &1);
        pair.run(ONE_WAY * 10);
        match channels {
            Channels::One => {
                let [Event::Closed(CloseReason::Limit(_))] = pair.server.events[..] else {
                    panic!("{:?}", pair.server.events)
                };
            }
            Channels::Several => {
                assert_eq!(pair.server.events, []);
                let (down, up) = chat(&mut pair, 20);
                assert_each_once(&down, 20, 1.0);
                assert_each_once(&up, 20, 1.0);
            }
        }
    }
}

#[test]
fn slow_senders_are_never_throttled_by_delayed_sacks() {
    for per_second in [1, 5, 10, 18, 20, 30] {
        let client = Config { data_path: DataPathMode::PlainSctp, ..config(CLIENT) };
        let mut pair = Pair::with(config(SERVER), client).signal().opened();
        let count = per_second * 60;
        for _ in 0..count {
            pair.server.endpoint.send(pair.now, &1, vec![0; 1_000]).unwrap();
            pair.run(Duration::from_secs(1) / per_second);
        }
        assert_eq!(Pair::received(&mut pair.client).len(), count as usize, "{per_second}/s");
        assert_eq!(pair.server.endpoint.stats().dropped, DropStats::default(), "{per_second}/s");
    }
}

#[test]
fn plain_sctp_still_carries_everything_without_loss() {
    let plain = |local| Config { data_path: DataPathMode::PlainSctp, ..config(local) };
    let mut pair = Pair::with(plain(SERVER), plain(CLIENT)).signal().opened();
    let (down, up) = chat(&mut pair, 200);
    assert_each_once(&down, 200, 1.0);
    assert_each_once(&up, 200, 1.0);
}

#[test]
fn an_endpoint_counts_what_it_holds() {
    let mut pair = Pair::open();
    let sizes = pair.server.endpoint.resource_usage();
    // It is findable by where it is, and because it has been silent for a moment.
    let expected = EndpointUsage {
        peers: 1,
        keys: 1,
        routes: 1,
        timers: 1,
        migration_lookup: 2,
        ..EndpointUsage::default()
    };
    assert_eq!(sizes, expected);
    pair.server.endpoint.send(pair.now, &1, "a").unwrap();
    assert_eq!(pair.server.endpoint.resource_usage().unflushed, 1);
    pair.server.endpoint.close(pair.now, &1);
    assert!(pair.server.endpoint.resource_usage().outputs > 0);
    pair.run(ONE_WAY);
    assert_eq!(pair.server.endpoint.resource_usage(), EndpointUsage::default());
}

/// It is heard from elsewhere, and there is room for no other address.
#[test]
fn t39_what_is_not_remembered_is_not_routed() {
    let server = Config { max_remote_addrs: 1, ..config(SERVER) };
    let mut pair = Pair::with(server, config(CLIENT)).signal().opened();
    pair.loss = |_, _| true;
    pair.client.endpoint.send(pair.now, &1, "from elsewhere").unwrap();
    pair.run(Duration::from_millis(1));
    let record = pair.transmits.last().expect("it was sent").contents.clone();
    pair.inject(address("192.0.2.2:666"), &record);
    assert_eq!(Pair::received(&mut pair.server), ["from elsewhere"]);
    assert_eq!(pair.server.endpoint.resource_usage().routes, 1);
    pair.server.endpoint.close(pair.now, &1);
    assert_eq!(pair.server.endpoint.resource_usage().routes, 0);
}

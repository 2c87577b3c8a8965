//! Spoofed sources: replayed and forged datagrams from other addresses than the peer's.

use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::datagram::is_protected;
use crate::tests::migration::{TrafficDirection, silence, talk};
use crate::tests::nat_sim::{Browser, MS, NatSim, TICK, address};
use crate::{CloseReason, Event};

const ATTACKER: &str = "203.0.113.66:666";

/// What has reached the server that begins so.
fn captured(street: &NatSim, is: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let arrived = street.arrived.iter().map(|(.., contents)| contents);
    arrived.filter(|contents| is(contents)).cloned().collect()
}

fn is_request(contents: &[u8]) -> bool {
    contents.starts_with(&[0, 1])
}

/// Bytes that went to an address.
fn sent_to(street: &NatSim, to: SocketAddr) -> usize {
    let there = street.sent.iter().filter(|(_, transmit)| transmit.destination == to);
    there.map(|(_, transmit)| transmit.contents.len()).sum()
}

#[test]
fn t38_a_replayed_check_moves_nothing() {
    for vanished in [false, true] {
        let mut street = NatSim::with(Browser::Chromium);
        talk(&mut street, TrafficDirection::Both, 60);
        let check = captured(&street, is_request).pop().unwrap();
        if vanished {
            street.clients[0].public = address("192.0.2.200:1");
            street.clients[0].blackouts =
                [0, 1].map(|_| Some(street.now..street.now + 60_000 * MS));
        }
        let (from, mut bytes) = (street.now, 0);
        for _ in 0..300 {
            street.inject(address(ATTACKER), &check);
            bytes += check.len();
            assert!(sent_to(&street, address(ATTACKER)) <= bytes, "bytes out, bytes in (42)");
            talk(
                &mut street,
                if vanished { TrafficDirection::Down } else { TrafficDirection::Both },
                2,
            );
        }
        let there = address(ATTACKER);
        let longest = street.sent.iter().filter(|(_, t)| t.destination == there);
        let longest = longest.map(|(_, t)| t.contents.len()).max().unwrap();
        println!("a check of {} bytes gets {longest} at most", check.len());
        assert!(longest <= check.len(), "no data");
        if !vanished {
            let down = silence(from, street.clients[0].received.iter().map(|(at, _)| *at));
            assert!(down <= TICK + MS, "{down:?}");
        }
    }
}

/// From where the peer was, and from elsewhere.
#[test]
fn t38_replayed_checks_do_not_put_off_the_end() {
    for from in ["198.51.100.1:5000", ATTACKER] {
        let mut street = NatSim::with(Browser::Chromium);
        talk(&mut street, TrafficDirection::Both, 60);
        let checks = captured(&street, is_request);
        let gone = street.now;
        street.clients[0].blackouts = [0, 1].map(|_| Some(gone..gone + 60_000 * MS));
        for round in 0..60 {
            street.inject(address(from), &checks[round % checks.len()]);
            street.run(500 * MS);
        }
        let (at, _, event) = street.events.last().unwrap();
        assert_eq!(*event, Event::Closed(CloseReason::IdleTimeout));
        assert!(*at - gone <= 20_100 * MS, "{:?}", *at - gone);
    }
}

#[test]
fn t38_a_replayed_record_gets_nothing() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 120);
    let heard = street.received.len();
    for record in captured(&street, is_protected) {
        street.inject(address(ATTACKER), &record);
        // From the neighbourhood it is tried at once.
        street.inject(address("198.51.100.1:666"), &record);
    }
    assert!(street.server.stats().trial_decryptions > 100);
    assert_eq!(street.received.len(), heard);
    assert_eq!(sent_to(&street, address(ATTACKER)), 0);
    assert_eq!(sent_to(&street, address("198.51.100.1:666")), 0);
    let from = street.now;
    talk(&mut street, TrafficDirection::Both, 600);
    assert!(silence(from, street.clients[0].received.iter().map(|(at, _)| *at)) <= TICK + MS);
}

/// Somebody on the path holds records back and sends them on from elsewhere: each is genuine.
#[test]
fn t38_whoever_sends_genuine_records_on_gets_probes_and_no_data() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 120);
    let (from, mut bytes) = (street.now, 0);
    for _ in 0..300 {
        // The client's datagrams go to the attacker, one in ten is sent on.
        let public = std::mem::replace(&mut street.clients[0].public, address(ATTACKER));
        street.send_up(0, vec![2; 200]);
        street.run(MS);
        street.clients[0].public = public;
        talk(&mut street, TrafficDirection::Both, 2);
        bytes += 1;
    }
    let there = sent_to(&street, address(ATTACKER));
    println!("{bytes} records that were sent on got {there} bytes");
    assert!(there > 0 && there < 300 * 100 / 5, "{there}");
    let down = silence(from, street.clients[0].received.iter().map(|(at, _)| *at));
    assert!(down <= TICK * 2, "{down:?}");
}

#[test]
fn t39_valid_checks_from_sixty_thousand_ports() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 60);
    let check = captured(&street, is_request).pop().unwrap();
    for port in 1..=60_000 {
        let from = SocketAddr::from(([203, 0, 113, 66], port));
        street.inject(from, &check);
        assert!(sent_to_last(&street, from) <= check.len());
    }
    let mut reached: Vec<SocketAddr> = street.sent.iter().map(|(_, t)| t.destination).collect();
    reached.sort_unstable();
    reached.dedup();
    assert!(reached.len() <= 17, "{}", reached.len());
    // The player, who has moved meanwhile, is followed all the same.
    street.clients[0].public = address("198.51.100.1:15000");
    let moved = street.now;
    talk(&mut street, TrafficDirection::Both, 600);
    assert!(silence(moved, street.clients[0].received.iter().map(|(at, _)| *at)) < 100 * MS);
}

/// Bytes of the last datagrams to an address; those before are of others.
fn sent_to_last(street: &NatSim, to: SocketAddr) -> usize {
    let last = street.sent.iter().rev().take_while(|(_, transmit)| transmit.destination == to);
    last.map(|(_, transmit)| transmit.contents.len()).sum()
}

/// What looks like a record of somebody's session costs a bounded number of trials a second.
#[test]
fn t34_records_from_sixty_thousand_unknown_addresses_get_nothing() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 60);
    let mut record = captured(&street, is_protected).pop().unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let (before, sent) = (street.server.stats(), street.sent.len());
    for port in 1..=60_000 {
        record[13..].iter_mut().for_each(|byte| *byte = random.random());
        let near = if port % 2 == 0 { [198, 51, 100, 1] } else { [203, 0, 113, 66] };
        if port != 5_000 {
            street.inject(SocketAddr::from((near, port)), &record);
        }
    }
    let after = street.server.stats();
    assert_eq!(street.sent.len(), sent);
    assert!(
        after.trial_decryptions - before.trial_decryptions <= 2_000,
        "{}",
        after.trial_decryptions - before.trial_decryptions
    );
    assert_eq!(after.unrouted - before.unrouted, 59_999);
    let from = street.now;
    talk(&mut street, TrafficDirection::Both, 600);
    assert!(silence(from, street.clients[0].received.iter().map(|(at, _)| *at)) <= TICK + MS);
}

#[test]
fn t40_what_one_peer_sends_from_the_address_of_another() {
    let mut street = NatSim::with(Browser::Chromium);
    street.join(Browser::Chromium, address("198.51.100.2:5000"), |_| {});
    let from = street.now;
    for round in 0..600 {
        for player in [0, 1] {
            street.send_up(player, vec![player as u8; 100]);
            street.send_down(player, vec![player as u8; 100]);
        }
        // Now and then the first speaks with the voice of the second.
        if round % 10 == 0 {
            let own =
                std::mem::replace(&mut street.clients[0].public, address("198.51.100.2:5000"));
            street.send_up(0, "spoofed");
            street.run(TICK / 2);
            street.clients[0].public = own;
            street.run(TICK / 2);
        } else {
            street.run(TICK);
        }
    }
    for player in [0, 1] {
        let house = &street.clients[player as usize];
        let down = silence(from, house.received.iter().map(|(at, _)| *at));
        assert!(down <= TICK * 2, "{player}: {down:?}");
        assert!(house.received.iter().all(|(_, message)| message[0] == player));
    }
}

#[test]
fn t35_a_client_hello_from_elsewhere_reaches_nobody() {
    let mut street = NatSim::with(Browser::Chromium);
    let hello = captured(&street, |contents| contents[0] == 22).remove(0);
    let check = captured(&street, is_request).pop().unwrap();
    // Even from an address that has replayed a check.
    street.inject(address(ATTACKER), &check);
    let sent = street.sent.len();
    for _ in 0..100 {
        street.inject(address(ATTACKER), &hello);
    }
    assert_eq!(street.sent.len(), sent);
    talk(&mut street, TrafficDirection::Both, 3);
    let from = street.now;
    talk(&mut street, TrafficDirection::Both, 600);
    assert!(silence(from, street.clients[0].received.iter().map(|(at, _)| *at)) <= TICK + MS);
}

/// An answer and a probe may be more than the check. Where the peer was once proven to be, both
/// may go.
#[test]
fn t38_where_nothing_is_proven_a_check_gets_an_answer_or_a_probe() {
    let mut street = NatSim::with(Browser::Chromium);
    talk(&mut street, TrafficDirection::Both, 60);
    let check = captured(&street, is_request).pop().unwrap();
    let once = address("198.51.100.1:15000");
    for place in [once, address("198.51.100.1:16000")] {
        street.clients[0].public = place;
        talk(&mut street, TrafficDirection::Both, 300);
    }
    for (from, expected) in [(address(ATTACKER), 1), (once, 2)] {
        let before = street.sent.len();
        street.inject(from, &check);
        let sent = street.sent[before..].iter().filter(|(_, t)| t.destination == from);
        assert_eq!(sent.count(), expected, "{from}");
    }
}

/// Who is where records come from that do not decrypt has not moved while he is heard.
#[test]
fn t34_forged_records_in_the_name_of_a_living_peer_are_tried_on_nobody_else() {
    let mut street = NatSim::with(Browser::Chromium);
    street.join(Browser::Chromium, address("198.51.100.1:5001"), |_| {});
    talk(&mut street, TrafficDirection::Both, 60);
    let own = street.clients[0].public;
    let mut record = captured(&street, is_protected).pop().unwrap();
    record[13..].iter_mut().for_each(|byte| *byte ^= 1);
    let trials = street.server.stats().trial_decryptions;
    (0..100).for_each(|_| street.inject(own, &record));
    assert_eq!(street.server.stats().trial_decryptions, trials);
    // When he has fallen silent it may be the other one's, who has his place now.
    street.clients[0].blackouts = [0, 1].map(|_| Some(street.now..street.now + 60_000 * MS));
    street.run(300 * MS);
    for other in [&[22, 254, 253, 0, 0][..], &[20; 100], &[64; 100]] {
        street.inject(own, other);
        street.inject(address("198.51.100.1:6666"), other);
    }
    assert_eq!(
        street.server.stats().trial_decryptions,
        trials,
        "nothing of that is a record of a session"
    );
    let routed = street.server.stats().routed;
    street.inject(own, &record);
    assert_eq!(street.server.stats().trial_decryptions, trials + 1);
    assert_eq!(street.server.stats().routed, routed + 1);
}

/// His address is his until somebody else has answered a probe from there, however silent he is.
#[test]
fn t40_where_another_is_a_check_gets_nothing_and_a_record_takes_no_address() {
    let mut street = NatSim::with(Browser::Chromium);
    street.join(Browser::Chromium, address("198.51.100.1:5001"), |_| {});
    for player in [0, 1] {
        (0..30).for_each(|_| {
            street.send_up(player, "x");
            street.run(TICK);
        });
    }
    let (first, second) = (street.clients[0].public, street.clients[1].public);
    let mut checks = street.arrived.iter().filter(|(_, from, c)| *from == first && is_request(c));
    let check = checks.next_back().expect("browsers check").2.clone();
    let sent = street.sent.len();
    street.inject(second, &check);
    assert_eq!(street.sent.len(), sent, "the second is here and talks");

    for how in ["check", "record"] {
        street.clients[1].blackouts = [Some(street.now..street.now + 500 * MS), None];
        street.run(400 * MS);
        match how {
            "check" => {
                let sent = street.sent.len();
                street.inject(second, &check);
                assert!(street.sent.len() > sent, "it is silent, so it may be the first");
            }
            _ => {
                street.clients[0].public = second;
                street.send_up(0, "of the first");
                street.run(MS);
                street.clients[0].public = first;
                street.run(TICK * 3);
                let (_, who, _) = street.received.last().expect("a message");
                assert_eq!(*who, 0, "it was found");
            }
        }
        street.run(100 * MS);
        let trials = street.server.stats().trial_decryptions;
        street.send_up(1, "of the second");
        street.run(TICK * 3);
        let (_, who, what) = street.received.last().expect("a message");
        assert_eq!((*who, &what[..]), (1, &b"of the second"[..]), "{how}");
        assert_eq!(street.server.stats().trial_decryptions, trials, "{how}: nobody looked for it");
    }
}

#[test]
fn who_changed_places_leaves_no_route() {
    let mut street = NatSim::with(Browser::Chromium);
    street.join(Browser::Firefox, address("198.51.100.1:5001"), |_| {});
    street.clients[0].public = address("198.51.100.1:5001");
    street.clients[1].public = address("198.51.100.1:5000");
    for _ in 0..300 {
        for player in [0, 1] {
            street.send_up(player, "x");
            street.send_down(player, "x");
        }
        street.run(TICK);
    }
    let sizes = street.server.resource_usage();
    assert_eq!((sizes.peers, sizes.routes), (2, 2));
    for player in [0, 1] {
        street.server.close(street.now, &player);
        street.run(MS);
    }
    assert_eq!(street.server.resource_usage().routes, 0);
}

//! Anti-amplification limit: replies to senders without credentials and to unvalidated addresses.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use str0m::config::DtlsVersion;

use crate::datagram::{is_binding_request, is_stun};
use crate::tests::amplification_util::{MS, SpoofScenario, client_hello};
use crate::tests::data_channel::{CLIENT, Pair, address};
use crate::{CloseReason, Event, HandshakeOptions, WebRtcStage};

const STRANGER: &str = "203.0.113.66:666";
/// Another port of where the websocket comes from.
const NEIGHBOUR: &str = "192.0.2.2:666";

const FORMS: [HandshakeOptions; 2] =
    [HandshakeOptions::COMPATIBLE, HandshakeOptions::STR0M_DEFAULTS];

fn forms() -> impl Iterator<Item = HandshakeOptions> {
    FORMS.into_iter().chain([HandshakeOptions::default()])
}

/// Every first byte with every length that may matter.
fn garbage() -> impl Iterator<Item = Vec<u8>> {
    let mut random = StdRng::seed_from_u64(1);
    let lengths = (0..=64).chain([100, 500, 1_000, 1_200, 1_472, 1_500]);
    let all = lengths.flat_map(|length| (0..=255).map(move |first| (length, first)));
    all.map(move |(length, first)| {
        let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        bytes.first_mut().into_iter().for_each(|byte| *byte = first);
        bytes
    })
}

/// Before the answer, on its way, and open.
fn stages() -> [Pair; 3] {
    let mut offered = Pair::new();
    offered.server.endpoint.offer(offered.now, 1).unwrap();
    let mut connecting = SpoofScenario::new(HandshakeOptions::default()).pair;
    connecting.run(25 * MS);
    assert_eq!(connecting.server.endpoint.stage(&1), Some(WebRtcStage::Dtls));
    [offered, connecting, Pair::open()]
}

#[test]
fn t33_garbage_reaches_nobody() {
    for mut pair in stages() {
        let (before, stage) = (pair.server.endpoint.stats(), pair.server.endpoint.stage(&1));
        garbage().for_each(|bytes| pair.inject(address(STRANGER), &bytes));
        let after = pair.server.endpoint.stats();
        assert_eq!((after.routed, after.unrouted), (before.routed, before.unrouted + 71 * 256));
        assert_eq!(pair.sent_to(address(STRANGER), |_| true), [], "nothing is sent to a stranger");
        assert_eq!((pair.server.endpoint.stage(&1), &pair.server.events[..]), (stage, &[][..]));
    }
}

#[test]
fn t34_checks_of_nobody_get_nothing_from_any_source() {
    for mut pair in stages() {
        let scene = SpoofScenario::silent(HandshakeOptions::default());
        for port in 1..=20_000u16 {
            // Slots that are there, slots that are not, and what is none.
            let ufrag = ["0000", "zzzz", "AAAAAAAAAAAA", "", "0"][usize::from(port) % 5];
            let check = scene.signed(ufrag, "0123456789012345678901", port % 2 == 0);
            pair.inject(([203, 0, 113, 66], port).into(), &check);
        }
        let there = |port| pair.sent_to(([203, 0, 113, 66], port).into(), |_| true);
        assert!((1..=1_000).chain(19_000..=20_000).all(|port| there(port).is_empty()));
        assert_eq!(pair.server.events, []);
    }
}

#[test]
fn t37_a_check_with_a_wrong_password_gets_nothing_and_changes_nothing() {
    for connecting in forms() {
        let mut scene = SpoofScenario::new(connecting);
        for _ in 0..100 {
            let forged = scene.forged();
            scene.pair.inject(address(STRANGER), &forged);
            scene.pair.inject(address(CLIENT), &forged);
            scene.pair.run(MS);
        }
        assert_eq!(scene.bytes_to(address(STRANGER)), 0);
        assert_eq!(scene.pair.server.endpoint.handshake_progress(&1).unwrap().bad_integrity, 200);
        scene.pair.opened();
    }
}

/// Where we nominate, str0m is told of a check that nobody sent, and its answer goes nowhere.
#[test]
fn t42_a_check_gets_one_answer_though_we_nominate_by_it() {
    let mut scene = SpoofScenario::silent(HandshakeOptions::default());
    let check = scene.check(false);
    scene.pair.inject(address(CLIENT), &check);
    assert_eq!(scene.pair.server.endpoint.stage(&1), Some(WebRtcStage::Dtls), "we have nominated");
    assert_eq!(scene.pair.sent_to(address(CLIENT), is_stun).len(), 1);
}

/// Each session has a password of its own.
#[test]
fn t32_the_ufrag_of_another_session() {
    let mut scene = SpoofScenario::new(HandshakeOptions::default());
    let offer = scene.pair.server.endpoint.offer(scene.pair.now, 2).unwrap();
    let theirs = offer.sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap();
    let crossed = [scene.forged_as(&offer.ufrag, None), scene.forged_as("", Some(theirs))];
    for check in crossed {
        scene.pair.inject(address(STRANGER), &check);
        scene.pair.run(MS);
    }
    assert_eq!(scene.bytes_to(address(STRANGER)), 0);
    assert_eq!(scene.pair.server.endpoint.stats().bad_integrity, 2);
    scene.pair.opened();
}

/// What its websocket says of where it is makes us nominate, or it does so itself: then it is
/// sent a handshake's flights, and there may be nobody.
#[test]
fn t41_checks_and_then_silence_get_three_datagrams() {
    for connecting in forms() {
        for (from, hello) in
            [(NEIGHBOUR, false), (NEIGHBOUR, true), (STRANGER, false), (STRANGER, true)]
        {
            let (mut scene, from) = (SpoofScenario::silent(connecting), address(from));
            let check = scene.check(true);
            scene.pair.inject(from, &check);
            let hello = if hello { client_hello(DtlsVersion::Auto) } else { Vec::new() };
            if !hello.is_empty() {
                scene.pair.inject(from, &hello);
            }
            scene.pair.run(14_900 * MS);
            let flights = scene.flights_to(from);
            println!("a check, and {} bytes of a hello, get {flights:?}", hello.len());
            assert!(flights.len() <= 3 + usize::from(!hello.is_empty()), "{flights:?}");
            assert!(flights.iter().sum::<usize>() <= 3 * 1_024 + hello.len(), "{flights:?}");
            let begins = connecting.dtls_role == crate::DtlsRole::Active;
            assert_eq!(flights.is_empty(), !begins && hello.is_empty(), "or it tests nothing");
            scene.pair.run(200 * MS);
            let ended = [Event::Closed(CloseReason::HandshakeTimeout(WebRtcStage::Dtls))];
            assert_eq!(scene.pair.server.events, ended);
        }
    }
}

/// Checks go on, as a browser's do whose DTLS is lost, or an attacker's who replays them.
#[test]
fn t41_further_flights_are_paid_for_by_what_comes() {
    let (mut scene, from) =
        (SpoofScenario::silent(HandshakeOptions::default()), address(NEIGHBOUR));
    let mut came = 0;
    for _ in 0..145 {
        let check = scene.check(false);
        scene.pair.inject(from, &check);
        came += check.len();
        scene.pair.run(100 * MS);
        let flights = scene.flights_to(from);
        assert!(flights.iter().sum::<usize>() <= 3 * 1_024 + came * 1_000 / check.len());
    }
    // dimpl repeats at 0.3, 0.8, 1.9, 4.1 and 8.5 s, give or take a quarter.
    let flights = scene.flights_to(from);
    println!("{came} bytes of checks get {flights:?}");
    assert!((5..=7).contains(&flights.len()), "{flights:?}");
}

/// Everything that anybody can send without a password, and a check that is replayed.
#[test]
fn t42_nobody_gets_more_bytes_than_he_sends() {
    let scene = SpoofScenario::silent(HandshakeOptions::default());
    let caught = Pair::open();
    let check =
        caught.transmits.iter().map(|sent| &sent.contents).find(|bytes| is_binding_request(bytes));
    let records = caught.transmits.iter().map(|sent| sent.contents.clone());
    let records = records.filter(|bytes| !is_stun(bytes));
    let mut answer = check.unwrap().clone();
    answer[0] = 1;
    let mut channel_data = vec![0x40, 0, 0, 100];
    channel_data.resize(104, 7);
    let inputs: [(&str, Vec<Vec<u8>>); 9] = [
        ("an unknown ufrag", vec![scene.signed("zzzz", "0123456789012345678901", true)]),
        ("a wrong HMAC", vec![scene.forged()]),
        ("garbage", garbage().collect()),
        ("ClientHello 1.2", vec![client_hello(DtlsVersion::Dtls12)]),
        ("ClientHello 1.3", vec![client_hello(DtlsVersion::Dtls13)]),
        ("a replayed check", vec![check.unwrap().clone()]),
        ("the answer to a check", vec![answer]),
        ("TURN channel data", vec![channel_data]),
        ("replayed records", records.collect()),
    ];
    for (name, datagrams) in inputs {
        // The same peers again, for the credentials follow from the seed.
        let mut longest = 0.0_f64;
        for mut pair in [Pair::signalled(), Pair::open()] {
            let mut came = 0;
            for round in 0..20 {
                for bytes in &datagrams {
                    pair.inject(address(STRANGER), bytes);
                    came += bytes.len();
                    let sent: usize = pair.sent_to(address(STRANGER), |_| true).iter().sum();
                    assert!(sent <= came, "{name}: {sent} for {came} in round {round}");
                    longest = longest.max(sent as f64 / came.max(1) as f64);
                }
                pair.run(300 * MS);
            }
            let sent: usize = pair.sent_to(address(STRANGER), |_| true).iter().sum();
            assert!(sent <= came, "{name}, later");
        }
        println!("{name}: {longest:.2} bytes out for each in");
        assert!(longest <= 1.0);
    }
}

/// The one who completes the handshake has somebody else nominated before it is over. An honest
/// one answers probes, and so is served; an evil one speaks on and answers none.
#[test]
fn t42_a_handshake_that_moves_on_the_way_sends_no_data_at_a_victim() {
    let mut turned = 0;
    for (connecting, is_evil) in forms().flat_map(|form| [(form, false), (form, true)]) {
        for at in (1..=100).step_by(4) {
            let mut scene = SpoofScenario::new(connecting);
            scene.pair.run(at * MS);
            let check = scene.check(true);
            scene.pair.inject(address(STRANGER), &check);
            let is_open = |scene: &SpoofScenario| scene.pair.server.events.contains(&Event::Open);
            for _ in 0..2_000 {
                scene.pair.run(if is_open(&scene) { 0 } else { 1 } * MS);
            }
            if !is_open(&scene) {
                // Where the client never nominates again it does not open: no harm done.
                assert!(scene.flights_to(address(STRANGER)).iter().sum::<usize>() <= 3 * 1_024);
                continue;
            }
            scene.pair.is_client_unreachable = is_evil;
            for _ in 0..60 {
                scene.pair.server.endpoint.send(scene.pair.now, &1, vec![0; 1_000]).unwrap();
                _ = scene.pair.client.endpoint.send(scene.pair.now, &1, "I am here");
                scene.pair.run(16 * MS);
            }
            let flights = scene.flights_to(address(STRANGER));
            let (count, bytes) = (flights.len(), flights.iter().sum::<usize>());
            turned += u32::from(count > 1);
            assert!(count <= 3 && bytes <= 3 * 1_024, "at {at}: {count} datagrams, {bytes} bytes");
            let arrived = scene.pair.client.events.len();
            assert!(is_evil || arrived > 50, "at {at}: the peer itself is served: {arrived}");
        }
    }
    assert!(turned > 10, "or it tests nothing: {turned}");
}

/// A Binding request as browsers send it to a STUN server.
fn bare_request() -> Vec<u8> {
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    request.extend([7; 12]);
    request
}

#[test]
fn t42_a_bare_request_is_answered_while_a_client_connects_from_there_and_nowhere_else() {
    let answers = |pair: &Pair, to: &str| pair.sent_to(address(to), |bytes| bytes[..2] == [1, 1]);
    let mut scene = SpoofScenario::silent(HandshakeOptions::default());
    let pair = &mut scene.pair;
    for _ in 0..1_000 {
        pair.inject(address(STRANGER), &bare_request());
        pair.inject(address(NEIGHBOUR), &bare_request());
    }
    assert_eq!(answers(pair, STRANGER), []);
    assert_eq!(answers(pair, NEIGHBOUR), [32; 32], "32 of 32 bytes, and that is all");
    assert_eq!(pair.server.endpoint.stats().stun_responses, 32);
    pair.server.endpoint.close(pair.now, &1);
    pair.run(MS);
    assert_eq!(pair.server.endpoint.resource_usage().stun_clients, 0);

    let mut open = SpoofScenario::new(HandshakeOptions::default()).pair.opened();
    open.inject(address(NEIGHBOUR), &bare_request());
    assert_eq!(answers(&open, NEIGHBOUR), [], "an open peer has found its way");
}

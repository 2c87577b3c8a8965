//! Handshake delay after the loss of exactly one SCTP packet.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::sctp::packet::chunk_type;
use crate::tests::data_channel::{CLIENT, ONE_WAY, Pair, SERVER, config};
use crate::{Config, DtlsRole, Event, HandshakeOptions};

/// What a lost packet may cost that is sent again: two round trips and this.
const SOON: Duration = Duration::from_millis(300);
/// What it costs at least if that is left to SCTP.
const LATE: Duration = Duration::from_secs(1);

/// A packet by its last chunk, and who it is for.
#[derive(Clone, Copy, Debug)]
enum LostPacket {
    /// Only one of the two is sent it.
    One(u8),
    /// To the client.
    Open,
    /// To the server.
    Ack,
}

const ALL: [LostPacket; 6] = [
    LostPacket::One(chunk_type::INIT),
    LostPacket::One(chunk_type::INIT_ACK),
    LostPacket::One(chunk_type::COOKIE_ECHO),
    LostPacket::One(chunk_type::COOKIE_ACK),
    LostPacket::Open,
    LostPacket::Ack,
];

/// A server and a client that resend or not, with an offer and an answer between them. The
/// client begins with DTLS and SCTP, as browsers do that may choose, or leaves it to the server.
fn connecting(resends: [bool; 2], client_begins: bool) -> Pair {
    let config = |local, resends: bool| {
        let resend = HandshakeOptions::default().initial_rto.filter(|_| resends);
        let connecting = HandshakeOptions {
            initial_rto: resend,
            dtls_role: DtlsRole::ActPass,
            ..HandshakeOptions::STR0M_DEFAULTS
        };
        Config { handshake: connecting, ..config(local) }
    };
    let mut pair = Pair::with(config(SERVER, resends[0]), config(CLIENT, resends[1]));
    let offer = pair.server.endpoint.offer(pair.now, 1).unwrap().sdp;
    let offer = match client_begins {
        true => offer.replace("a=setup:actpass", "a=setup:passive"),
        false => offer,
    };
    let answer = pair.client.endpoint.accept_offer(pair.now, 1, &offer).unwrap();
    pair.server.endpoint.accept_answer(pair.now, &1, &answer).unwrap();
    pair
}

fn lose(pair: &mut Pair, lost: LostPacket) {
    let (server, client) = (&mut pair.server.endpoint, &mut pair.client.endpoint);
    match lost {
        LostPacket::One(kind) => {
            server.drop_next_inbound(&1, kind);
            client.drop_next_inbound(&1, kind);
        }
        LostPacket::Open => client.drop_next_inbound(&1, chunk_type::DATA),
        LostPacket::Ack => server.drop_next_inbound(&1, chunk_type::DATA),
    }
}

/// How long it takes until the channel is open on both sides.
fn open(mut pair: Pair, lost: Option<LostPacket>) -> Duration {
    let began = pair.now;
    if let Some(lost) = lost {
        lose(&mut pair, lost);
    }
    while pair.server.events.is_empty() || pair.client.events.is_empty() {
        assert!(pair.now < began + Duration::from_secs(14), "it does not open");
        pair.run(Duration::from_millis(1));
    }
    let took = pair.now - began;
    pair.run(Duration::from_secs(8));
    assert_eq!(pair.server.events, [Event::Open], "{lost:?}");
    assert_eq!(pair.client.events, [Event::Open], "{lost:?}");
    assert_goes_on(pair);
    took
}

fn assert_goes_on(mut pair: Pair) {
    pair.server.events.clear();
    pair.client.events.clear();
    pair.server.endpoint.send(pair.now, &1, "down").unwrap();
    pair.client.endpoint.send(pair.now, &1, "up").unwrap();
    pair.run(ONE_WAY * 2);
    assert_eq!(Pair::received(&mut pair.client), ["down"]);
    assert_eq!(Pair::received(&mut pair.server), ["up"]);
}

fn cost(resends: [bool; 2], client_begins: bool, lost: LostPacket) -> Duration {
    let whole = open(connecting(resends, client_begins), None);
    let took = open(connecting(resends, client_begins), Some(lost));
    println!("{lost:?} {resends:?} {client_begins}: {took:?} instead of {whole:?}");
    took - whole
}

/// The SCTP handshake goes along with offer and answer, and both open the channel: nothing is
/// left that the other side must answer but our HEARTBEAT.
fn introduced(resends: bool) -> Pair {
    let config = |local, resend| {
        let connecting = HandshakeOptions { initial_rto: resend, ..HandshakeOptions::default() };
        Config { handshake: connecting, ..config(local) }
    };
    let resend = HandshakeOptions::default().initial_rto.filter(|_| resends);
    let mut pair = Pair::with(config(SERVER, resend), config(CLIENT, None));
    let offer = pair.server.endpoint.offer(pair.now, 1).unwrap().sdp;
    let client = &mut pair.client.endpoint;
    let answer = client.accept_offer_negotiated(pair.now, 1, &offer).unwrap();
    pair.server.endpoint.accept_answer_negotiated(pair.now, &1, &answer).unwrap();
    pair
}

#[test]
fn a_lost_heartbeat_is_sent_again_whatever_is_set() {
    for (resends, most) in [(true, ONE_WAY * 4 + SOON), (false, ONE_WAY * 4 + LATE)] {
        let whole = open(introduced(resends), None);
        for kind in [chunk_type::HEARTBEAT, chunk_type::HEARTBEAT_ACK] {
            let cost = open(introduced(resends), Some(LostPacket::One(kind))) - whole;
            assert!(cost <= most, "{kind} {resends}: {cost:?}");
        }
    }
}

#[test]
fn what_is_lost_is_soon_sent_again() {
    for lost in ALL {
        for client_begins in [false, true] {
            let cost = cost([true; 2], client_begins, lost);
            assert!(cost > Duration::ZERO && cost <= ONE_WAY * 4 + SOON, "{lost:?} {cost:?}");
        }
    }
}

#[test]
fn a_server_alone_cures_all_that_is_its_own_and_a_lost_ack() {
    for lost in ALL {
        let cost = cost([true, false], false, lost);
        assert!(cost <= ONE_WAY * 4 + SOON, "{lost:?} {cost:?}");
    }
    for lost in [
        LostPacket::One(chunk_type::INIT_ACK),
        LostPacket::One(chunk_type::COOKIE_ACK),
        LostPacket::Open,
        LostPacket::Ack,
    ] {
        let cost = cost([true, false], true, lost);
        assert!(cost <= ONE_WAY * 4 + SOON, "{lost:?} {cost:?}");
    }
}

#[test]
fn left_to_sctp_it_takes_seconds() {
    for lost in ALL {
        for client_begins in [false, true] {
            let cost = cost([false; 2], client_begins, lost);
            assert!(cost >= LATE, "{lost:?} {cost:?}");
        }
    }
}

/// The client's own plane moves the server past what was lost, and that is its ACK.
#[test]
fn who_talks_at_once_has_said_enough() {
    for resends in [[true; 2], [true, false]] {
        let mut pair = connecting(resends, false);
        lose(&mut pair, LostPacket::Ack);
        while pair.client.events.is_empty() {
            pair.run(Duration::from_millis(1));
        }
        let began: Instant = pair.now;
        for number in 0..100u8 {
            let message = Bytes::copy_from_slice(&[number]);
            pair.client.endpoint.send(pair.now, &1, message).unwrap();
            pair.run(Duration::from_millis(10));
            if pair.now == began + Duration::from_millis(10) + ONE_WAY {
                assert_eq!(pair.server.events[0], Event::Open, "{:?}", pair.server.events);
            }
        }
        assert_eq!(pair.server.events.remove(0), Event::Open);
        assert_eq!(Pair::received(&mut pair.server).len(), 98, "two are on their way");
    }
}

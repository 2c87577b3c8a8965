//! Clients that signal what no browser does, at a whole server in virtual time: each is refused,
//! or nothing comes of it, and the application sees nothing.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::{Duration, Instant};

use net::hub::{Hub, Input, Output};
use net::{CloseReason, Config, ConnectFailure, HandshakeStage, PeerId};
use net_tests::agent::Manners;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:passive\r\na=sctp-port:5000\r\n";

/// What becomes of a client that says this, and no more.
fn refusal(texts: &[&str]) -> ConnectFailure {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Silent);
    world.run(SECOND);
    texts.iter().for_each(|text| assert!(world.act(0, |agent, now| agent.send_text(now, text))));
    world.run(30 * SECOND);
    let seen = world.take_seen();
    let [Seen::Refused(refusal)] = &seen[..] else { panic!("{seen:?}") };
    assert!(world.is_empty());
    refusal.clone()
}

/// Whatever an open peer may send as texts: no handshake is left that they could harm.
const LATE: [&str; 9] = [
    r#"{"type":"ping"}"#,
    "ping",
    "2",
    "",
    "[]",
    "{",
    ANSWER,
    r#"{"type":"chat","candidate":"me","sdp":7}"#,
    r#"{"type":"offer","sdp":"v=0"}"#,
];

#[test]
fn t27_a_second_answer_changes_nothing() {
    let refusal = refusal(&[ANSWER, ANSWER]);
    assert_eq!(refusal.stage, HandshakeStage::Ice, "{refusal}");
}

#[test]
fn one_text_a_second_of_any_content_leaves_a_peer_open() {
    let mut world = World::new(1, Config::default());
    for number in 0..LATE.len() as u64 {
        world.join(Manners::Good);
        world.run(SECOND);
        assert_eq!(world.take_seen(), [Seen::Open(PeerId::from(number))]);
    }
    for _ in 0..600 {
        for (line, text) in LATE.iter().enumerate() {
            assert!(world.act(line, |agent, now| agent.send_text(now, text)), "{text}");
        }
        world.run(SECOND);
    }
    assert_eq!(world.take_seen(), []);
}

#[test]
fn t24_only_the_rate_of_its_texts_ends_a_peer() {
    for text in LATE {
        let mut world = World::new(1, Config::default());
        world.join(Manners::Good);
        world.run(2 * SECOND);
        let id = PeerId::from(0);
        assert_eq!(world.take_seen(), [Seen::Open(id)]);
        (0..50).for_each(|_| _ = world.act(0, |agent, now| agent.send_text(now, text)));
        world.run(SECOND / 2);
        assert_eq!(world.take_seen(), []);
        world.act(0, |agent, now| agent.send_text(now, text));
        world.run(SECOND / 2);
        let cause =
            "text frames come too fast, the limit is 50 a second; messages are binary frames";
        assert_eq!(world.take_seen(), [Seen::Closed(id, CloseReason::Limit(cause.into()))]);
        assert_eq!(world.heard(0).last(), Some(&Heard::Closed(1008, format!("limit: {cause}"))));
    }
}

#[test]
fn a_candidate_may_hold_anything_before_and_after_the_answer() {
    let fields = [
        r#""sdpMLineIndex":"0""#,
        r#""sdpMLineIndex":0.0"#,
        r#""sdpMLineIndex":-1"#,
        r#""sdpMid":0"#,
        r#""sdpMid":["0"]"#,
    ];
    for fields in fields {
        let text =
            format!(r#"{{"type":"ice","candidate":{{"candidate":"candidate:1",{fields}}}}}"#);
        let mut world = World::new(1, Config::default());
        // With the request, and so before the answer.
        let line = world.join(Manners::Good);
        let sends = |world: &mut World| world.act(line, |agent, now| agent.send_text(now, &text));
        while !sends(&mut world) && world.turn(world.now + SECOND) {}
        world.run(2 * SECOND);
        assert_eq!(world.take_seen(), [Seen::Open(PeerId::from(0))], "{text}");
        assert!(sends(&mut world));
        world.run(SECOND);
        assert_eq!(world.take_seen(), [], "{text}");
    }
}

#[test]
fn t27_an_offer_from_the_client() {
    let refusal = refusal(&[r#"{"type":"offer","sdp":"v=0"}"#]);
    assert_eq!(refusal.stage, HandshakeStage::Answer, "{refusal}");
    assert!(refusal.cause.starts_with("unexpected offer"), "{refusal}");
}

/// In the segment of its request, so that it cannot have seen the offer.
#[test]
fn t27_an_answer_before_the_offer() {
    let now = Instant::now();
    let mut hub =
        Hub::new(Config::default(), vec![([192, 0, 2, 1], 3_000).into()], Vec::new(), Some(1));
    let id = hub.accept(now, ([198, 51, 100, 1], 5_000).into()).unwrap();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        .to_vec();
    bytes.extend([0x81, 0x80 | 126]);
    bytes.extend((ANSWER.len() as u16).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ANSWER.as_bytes());
    hub.handle_input(now, Input::Bytes(id, &bytes));
    let mut refused = Vec::new();
    for seconds in 0..30 {
        let now = now + SECOND * seconds;
        hub.handle_input(now, Input::Timeout);
        loop {
            match hub.poll_output() {
                Output::Timeout(_) => break,
                Output::ConnectFailed(refusal) => refused.push(refusal.stage),
                Output::Write(id) => {
                    let written = hub.outgoing(id).len();
                    hub.advance(now, id, written);
                }
                Output::Transmit(_) => panic!("to whom?"),
                Output::Open { .. } | Output::Received { .. } | Output::Closed { .. } => {
                    panic!("the application sees nothing")
                }
                Output::AcceptRequest(_) | Output::Drop(_) | Output::PlainHttp(_) => {}
            }
        }
    }
    // As good as one after it: but of no use without the offer's password.
    assert_eq!(refused, [HandshakeStage::Ice]);
    assert!(hub.is_empty());
}

#[test]
fn t28_answers_that_lack_something() {
    for (from, to, cause) in [
        ("a=fingerprint:", "a=finger:", "no a=fingerprint: line"),
        ("a=ice-ufrag:", "a=frag:", "no a=ice-ufrag: line"),
        ("a=ice-pwd:", "a=pwd:", "no a=ice-pwd: line"),
        ("a=mid:0", "a=ice-lite", "a=ice-lite: one side has to make connectivity checks"),
        ("m=application", "m=audio", "no m=application line"),
    ] {
        let refusal = refusal(&[&ANSWER.replace(from, to)]);
        assert_eq!((refusal.stage, refusal.cause.as_str()), (HandshakeStage::Answer, cause));
        assert!(matches!(refusal.reason, CloseReason::WebRtcFailed(..)), "{refusal:?}");
    }
}

/// There is one section, so its name does not matter; and any word on who begins will do.
#[test]
fn t28_a_wrong_mid_and_any_setup_lead_as_far_as_any_answer() {
    for (from, to) in [
        ("a=mid:0", "a=mid:7"),
        ("a=setup:passive", "a=setup:active"),
        ("a=setup:passive", "a=setup:actpass"),
        ("a=setup:passive", "a=setup:holdconn"),
        ("a=setup:passive\r\n", ""),
    ] {
        let refusal = refusal(&[&ANSWER.replace(from, to)]);
        assert_eq!(refusal.stage, HandshakeStage::Ice, "{refusal}");
    }
}

#[test]
fn t32_two_clients_with_one_ufrag_disturb_nobody() {
    let mut world = World::new(1, Config::default());
    for _ in 0..2 {
        world.join(Manners::Silent);
    }
    world.join(Manners::Good);
    world.run(SECOND);
    for line in [0, 1] {
        world.act(line, |agent, now| agent.send_text(now, ANSWER));
    }
    world.run(30 * SECOND);
    let seen = world.take_seen();
    assert_eq!(seen[0], Seen::Open(PeerId::from(0)));
    let refused = seen[1..].iter().filter(|seen| matches!(seen, Seen::Refused(_)));
    assert_eq!((refused.count(), seen.len()), (2, 3), "{seen:?}");
}

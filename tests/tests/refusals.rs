//! Whoever does not become a peer is told at which step and why, and the server says what to
//! set: in virtual time, and raw bytes over loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use net::{
    AcceptHook, CloseReason, Config, ConnectFailure, Decision, HandshakeStage, PeerId, Server,
};
use net_tests::agent::Manners;
use net_tests::link::{Conditions, Direction, Loss};
use net_tests::plane::Plane;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

/// The one refusal, and what its client heard.
fn refused(world: &mut World, line: usize) -> (ConnectFailure, Heard) {
    let seen = world.take_seen();
    let refusals: Vec<_> = seen
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Refused(refusal) => Some(refusal),
            _ => None,
        })
        .collect();
    let [refusal] = &refusals[..] else { panic!("one refusal, not {refusals:?}") };
    let heard = world.take_heard(line).pop().expect("a client hears its end");
    (refusal.clone(), heard)
}

#[track_caller]
fn assert_says(refusal: &ConnectFailure, stage: HandshakeStage, cause: &str, setting: &str) {
    assert_eq!((refusal.stage, refusal.cause.as_str()), (stage, cause));
    let set = refusal.hint.as_deref().unwrap_or_default();
    assert!(set.contains(setting), "{set}");
    assert!(refusal.to_string().contains(cause), "{refusal}");
}

#[test]
fn t31_no_check_arrives() {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Unreachable);
    world.run(20 * SECOND);
    let (refusal, heard) = refused(&mut world, 0);
    assert_says(&refusal, HandshakeStage::Ice, "no check reached UDP 3000", "UDP 3000 open");
    assert_eq!(heard, Heard::Closed(1008, "ice: no check reached UDP 3000".into()));
    assert!(matches!(refusal.reason, CloseReason::WebRtcFailed(..)), "{refusal:?}");
}

#[test]
fn checks_arrive_and_nothing_comes_back_after_our_answers() {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Good);
    let conditions = Conditions { loss: Loss::Random(1.0), ..Conditions::default() };
    world.link(0, Direction::Down).conditions = conditions;
    world.run(20 * SECOND);
    let (refusal, heard) = refused(&mut world, 0);
    let cause = "checks from 198.51.100.1 reached UDP 3000, nothing came back after our answers";
    // We nominate on the first check, so that DTLS is what is waited for.
    assert_says(&refusal, HandshakeStage::Dtls, cause, "is outbound UDP from port 3000 open?");
    assert_eq!(heard, Heard::Closed(1013, format!("dtls: {cause}")));
}

#[test]
fn only_loopback_is_announced() {
    let public_addrs = vec!["127.0.0.1".parse().unwrap()];
    let config = Config { public_addrs, ..Config::default() };
    let mut world = World::announcing(1, config, vec![([127, 0, 0, 1], 3000).into()]);
    world.join(Manners::Unreachable);
    world.run(20 * SECOND);
    let (refusal, _) = refused(&mut world, 0);
    let cause = "only 127.0.0.1 was announced and the client is not on this machine";
    assert_says(&refusal, HandshakeStage::Ice, cause, "Config::public_addrs");
}

#[test]
fn a_client_that_leaves_while_it_waits() {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Unreachable);
    world.run(10 * SECOND);
    world.act(0, |agent, now| agent.close_websocket(now));
    world.run(SECOND);
    let (refusal, _) = refused(&mut world, 0);
    let cause = "the client left after 10 s: no check reached UDP 3000";
    assert_says(&refusal, HandshakeStage::Ice, cause, "UDP 3000 open");
    assert_eq!(refusal.reason, CloseReason::ClosedByPeer);
}

#[test]
fn t30_no_answer() {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Silent);
    world.run(11 * SECOND);
    let (refusal, heard) = refused(&mut world, 0);
    let cause = "no answer to the offer within 10 s";
    assert_says(&refusal, HandshakeStage::Answer, cause, "Config::answer_timeout");
    assert_eq!(heard, Heard::Closed(1008, format!("answer: {cause}")));
}

#[test]
fn an_answer_that_is_none() {
    let mut world = World::new(1, Config::default());
    world.join(Manners::Silent);
    world.run(SECOND);
    world.act(0, |agent, now| agent.send_text(now, "v=0\r\n"));
    world.run(SECOND);
    let (refusal, _) = refused(&mut world, 0);
    let cause = "0 media sections; one was expected";
    assert_says(&refusal, HandshakeStage::Answer, cause, "that of a browser");
}

#[test]
fn a_full_server_says_so_before_it_offers() {
    let mut world = World::new(1, Config { max_peers: 1, ..Config::default() });
    world.join(Manners::Good);
    world.run(3 * SECOND);
    assert_eq!(world.take_seen(), [Seen::Open(PeerId::from(0))]);
    let second = world.join(Manners::Good);
    world.run(3 * SECOND);
    let (refusal, heard) = refused(&mut world, second);
    assert_says(
        &refusal,
        HandshakeStage::Accept,
        "the server is full: 1 peers",
        "Config::max_peers",
    );
    assert_eq!(heard, Heard::Closed(1008, "accept: the server is full: 1 peers".into()));
}

#[test]
fn the_oldest_on_its_way_without_datagrams_gives_way() {
    let mut world = World::new(1, Config { max_handshakes: 1, ..Config::default() });
    world.join(Manners::Silent);
    world.run(SECOND);
    let second = world.join(Manners::Good);
    world.run(3 * SECOND);
    assert_eq!(world.heard(second), [Heard::Open]);
    assert_eq!(world.seen.pop(), Some(Seen::Open(PeerId::from(0))));
    let (refusal, heard) = refused(&mut world, 0);
    let cause = "gave way to a newer one: 1 others are on their way to open";
    assert_says(&refusal, HandshakeStage::Accept, cause, "Config::max_handshakes");
    assert_eq!(heard, Heard::Closed(1013, format!("accept: {cause}")));
}

#[test]
fn who_has_shown_datagrams_does_not_give_way() {
    let mut world = World::new(1, Config { max_handshakes: 1, ..Config::default() });
    world.join(Manners::Good);
    let conditions = Conditions { loss: Loss::Random(1.0), ..Conditions::default() };
    world.link(0, Direction::Down).conditions = conditions;
    world.run(SECOND);
    world.join(Manners::Good);
    let seen = world.take_seen();
    let [Seen::Refused(refusal)] = &seen[..] else { panic!("one refusal, not {seen:?}") };
    let cause = "1 others are on their way to open";
    assert_says(refusal, HandshakeStage::Accept, cause, "Config::max_handshakes");
    assert_eq!(world.heard(0), []);
    // Its request was not whole then.
    world.run(SECOND);
    assert_eq!(world.heard(1), [Heard::Closed(1013, format!("accept: {cause}"))]);
}

/// With an answer in HTTP a browser would only show that the websocket did not open.
#[test]
fn no_room_is_told_on_the_websocket_at_every_step() {
    let accept = Some(AcceptHook::new(|_| Decision::accept(())));
    // Before its request is whole, and while the application thinks.
    for after in [Duration::ZERO, SECOND / 10] {
        let config = Config { max_handshakes: 2, accept: accept.clone(), ..Config::default() };
        let mut world = World::new(1, config);
        world.thinks = SECOND;
        let join = |world: &mut World, last: u8| {
            let protocols = [("Sec-WebSocket-Protocol", "chat, v2")];
            let from = ([203, 0, 113, last], 1).into();
            world.join_through(from, "/", &protocols, Manners::Good, Plane::Stock)
        };
        let [first, second] = [(); 2].map(|()| join(&mut world, 7));
        world.run(after);
        let [other, late] = [(); 2].map(|()| join(&mut world, 8));
        world.run(SECOND / 2);
        let words = "2 others are on their way to open";
        let gave_way = Heard::Closed(1013, format!("accept: gave way to a newer one: {words}"));
        assert_eq!(world.heard(first), [gave_way], "{after:?}");
        assert_eq!(world.heard(late), [Heard::Closed(1013, format!("accept: {words}"))]);
        world.run(2 * SECOND);
        for line in [second, other] {
            assert_eq!(world.heard(line), [Heard::Open], "{after:?}");
        }
    }
}

/// Sends raw bytes; gives the server's answer and its refusal.
fn raw(config: Config, request: &[u8]) -> (String, ConnectFailure) {
    let (server, _queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
    tcp.write_all(request).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    let end = Instant::now() + 5 * SECOND;
    loop {
        if let Some(refusal) = server.connect_failures().recent.pop_back() {
            assert_eq!(server.connect_failures().by_stage.get(&refusal.stage), Some(&1));
            return (String::from_utf8_lossy(&answer).into_owned(), refusal);
        }
        assert!(Instant::now() < end, "no refusal in time");
    }
}

#[test]
fn a_tls_hello_on_the_plain_port() {
    let (answer, refusal) = raw(Config::default(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let cause = "a TLS hello (https or wss) on a port without TLS";
    assert_says(&refusal, HandshakeStage::Upgrade, cause, "use ws://");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn a_proxy_that_takes_the_upgrade_away() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nConnection: close\r\n\r\n";
    let (answer, refusal) = raw(Config::default(), request);
    let cause = "a websocket's request without Upgrade or Connection: Upgrade";
    assert_says(&refusal, HandshakeStage::Upgrade, cause, "a proxy must pass");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn half_a_request() {
    let config = || Config { upgrade_timeout: Duration::from_millis(100), ..Config::default() };
    let cause = "no whole websocket request within 0.1 s";
    let (_, refusal) = raw(config(), b"GET / HT");
    assert_says(&refusal, HandshakeStage::Upgrade, cause, "Config::upgrade_timeout");
    assert_eq!(refusal.reason, CloseReason::HandshakeTimeout);
}

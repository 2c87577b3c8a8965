//! Who is let in: the hub without IO, and raw requests to a server.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use net::hub::{ConnectionId, Hub, Input, Output};
use net::{CloseReason, Config, ConnectFailure, Event, HandshakeStage, PeerId, Server};
use net_tests::agent::Manners;
use net_tests::client::Client;
use net_tests::plane::Plane;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

/// A hub whose clients speak HTTP by hand.
struct Door {
    hub: Hub,
    now: Instant,
}

impl Door {
    fn new(config: Config) -> Door {
        let local = vec![([192, 0, 2, 1], 3000).into()];
        Door { hub: Hub::new(config, local, Vec::new(), Some(1)), now: Instant::now() }
    }

    /// A client connects and asks with these header lines; what it is answered comes later.
    fn knock(&mut self, remote: &str, headers: &str) -> ConnectionId {
        let remote: SocketAddr = remote.parse().unwrap();
        let id = self.hub.accept(self.now, remote).expect("room");
        self.hub.handle_input(self.now, Input::Bytes(id, request(headers).as_bytes()));
        id
    }

    /// What was answered, and what the server told.
    fn heard(&mut self, id: ConnectionId) -> (Vec<u8>, Vec<ConnectFailure>) {
        let (mut answer, mut refusals) = (Vec::new(), Vec::new());
        loop {
            match self.hub.poll_output() {
                Output::Timeout(_) => break,
                Output::ConnectFailed(refusal) => refusals.push(refusal),
                _ => {}
            }
            while !self.hub.outgoing(id).is_empty() {
                let part = self.hub.outgoing(id).to_vec();
                self.hub.advance(self.now, id, part.len());
                answer.extend(part);
            }
        }
        (answer, refusals)
    }

    /// The answer's status line to one request; for one that is upgraded only to be closed, the
    /// close frame's code and words.
    fn ask(&mut self, headers: &str) -> (String, Vec<ConnectFailure>) {
        let id = self.knock("198.51.100.7:5000", headers);
        let (answer, refusals) = self.heard(id);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let status = answer.split(|byte| *byte == b'\r').next().unwrap();
        let status = String::from_utf8_lossy(status).into_owned();
        (close_frame(&answer[end..]).unwrap_or(status), refusals)
    }
}

/// The code and the words of the close frame that these bytes are.
fn close_frame(bytes: &[u8]) -> Option<String> {
    let [0x88, length, high, low, words @ ..] = bytes else { return None };
    assert_eq!(usize::from(*length), words.len() + 2, "nothing comes behind it");
    let code = u16::from_be_bytes([*high, *low]);
    Some(format!("{code} {}", String::from_utf8_lossy(words)))
}

/// A good request with these header lines more.
fn request(headers: &str) -> String {
    format!(
        "GET /room?7 HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden";

fn listed() -> Config {
    let origins = ["https://game.example", "http://localhost:8080/"];
    Config { allowed_origins: Some(origins.map(String::from).to_vec()), ..Config::default() }
}

/// The status of the answer to raw bytes, after which the connection ends.
fn answer(server: &Server, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
    tcp.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn t04_what_is_no_good_request_is_told_what_would_be() {
    let (server, _queue) = Server::bind("127.0.0.1:0", Config::default()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(request("").contains(from));
        request("").replacen(from, to, 1).into_bytes()
    };
    let cases = [
        (changed("GET", "POST"), "405 "),
        (changed("HTTP/1.1", "HTTP/1.0"), "400 "),
        (changed("Upgrade: websocket\r\n", ""), "400 "),
        (changed("Version: 13", "Version: 8"), "426 "),
        (changed("ZQ==", "ZQ="), "400 "),
        (changed("Host: game.example\r\n", ""), "400 "),
        (changed("Host: ", &("A: b\r\n".repeat(130) + "Host: ")), "431 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "400 "),
    ];
    for (number, (bytes, status)) in cases.iter().enumerate() {
        let answer = answer(&server, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{number}: {answer}");
        let names_version = answer.contains("\r\nSec-WebSocket-Version: 13\r\n");
        assert_eq!(names_version, *status == "426 ", "{answer}");
    }
    let stages = server.connect_failures().by_stage;
    assert_eq!(
        stages.into_iter().collect::<Vec<_>>(),
        [(HandshakeStage::Upgrade, cases.len() as u64)]
    );
}

impl Door {
    /// A connection that sends these bytes as they are, and what came of it.
    fn raw(&mut self, bytes: &[u8], ends: bool) -> (String, Vec<ConnectFailure>) {
        let id = self.hub.accept(self.now, ([198, 51, 100, 7], 1).into()).expect("room");
        self.hub.handle_input(self.now, Input::Bytes(id, bytes));
        if ends {
            self.hub.handle_input(self.now, Input::End(id));
        }
        let (answer, refusals) = self.heard(id);
        (String::from_utf8_lossy(&answer).into_owned(), refusals)
    }
}

#[test]
fn a_plain_request_is_answered_and_no_refusal() {
    let mut door = Door::new(listed());
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nHost: a", "200 OK"),
        ("HEAD / HTTP/1.0", "200 OK"),
        ("OPTIONS * HTTP/1.0", "200 OK"),
        ("POST / HTTP/1.1", "405 Method Not Allowed"),
    ] {
        let (answer, refusals) = door.raw(format!("{head}\r\n\r\n").as_bytes(), false);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert_eq!((refusals, door.hub.is_empty()), (vec![], true));
    }
    assert_eq!(door.raw(b"", true), (String::new(), vec![]));
    assert!(door.hub.is_empty());
}

#[test]
fn probes_of_a_balancer_push_no_refusal_out() {
    let (server, _queue) = Server::bind("127.0.0.1:0", listed()).unwrap();
    answer(&server, request("Origin: https://evil.example\r\n").as_bytes());
    for number in 0..300 {
        match number % 3 {
            0 => assert!(answer(&server, b"GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 ")),
            1 => drop(TcpStream::connect(server.local_addr()).unwrap()),
            _ => {
                let tcp = TcpStream::connect(server.local_addr()).unwrap();
                tcp.shutdown(std::net::Shutdown::Write).unwrap();
            }
        }
    }
    let end = Instant::now() + 5 * SECOND;
    while server.stats().plain_http < 300 {
        assert!(Instant::now() < end, "{:?}", server.stats());
        std::thread::sleep(SECOND / 100);
    }
    let (stats, refusals) = (server.stats(), server.connect_failures());
    assert_eq!((stats.tcp_accepted, stats.connect_failures, stats.plain_http), (301, 1, 300));
    assert_eq!((refusals.recent.len(), refusals.by_stage.len()), (1, 1));
}

/// A browser opens connections in reserve, and says nothing on them.
#[test]
fn a_connection_that_stays_silent_is_no_refusal() {
    let mut door = Door::new(Config::default());
    let id = door.hub.accept(door.now, ([198, 51, 100, 7], 1).into()).expect("room");
    door.now += 6 * SECOND;
    door.hub.handle_input(door.now, Input::Timeout);
    assert_eq!((door.heard(id).1, door.hub.is_empty()), (vec![], true));
    let id = door.hub.accept(door.now, ([198, 51, 100, 7], 1).into()).expect("room");
    door.hub.shutdown(door.now);
    assert_eq!(door.heard(id).1, []);
}

/// There is no room, it has not asked yet, and the server ends: its goodbye takes no longer than
/// any other, whether it reads or not.
#[test]
fn who_finds_no_room_does_not_hold_up_the_end() {
    for reads in [true, false] {
        let mut door = Door::new(Config { max_handshakes: 1, ..Config::default() });
        let [first, second] =
            [7, 8].map(|last| door.hub.accept(door.now, ([198, 51, 100, last], 1).into()).unwrap());
        assert_eq!(door.heard(first).1.len(), 1, "one has no room");
        door.hub.shutdown(door.now);
        if reads {
            [first, second].into_iter().for_each(|id| door.hub.advance(door.now, id, usize::MAX));
            assert!(door.hub.is_empty());
        }
        while !matches!(door.hub.poll_output(), Output::Timeout(_)) {}
        door.now += Config::default().close_timeout;
        door.hub.handle_input(door.now, Input::Timeout);
        assert!(door.hub.is_empty());
    }
}

#[test]
fn t03_a_page_with_too_many_cookies_is_told_so() {
    let mut door = Door::new(Config::default());
    let cookies = |bytes: usize| format!("Cookie: {}\r\n", "x".repeat(bytes));
    let lines = "X-Forwarded-Thing: 1\r\n".repeat(94);
    for headers in [cookies(22 * 1024), lines] {
        let id = door.knock("198.51.100.7:5000", &headers);
        let (answer, refusals) = door.heard(id);
        assert!(answer.starts_with(SWITCHING.as_bytes()) && refusals.is_empty(), "{refusals:?}");
    }
    let page = format!("{}Origin: https://game.example\r\n", cookies(50_000));
    let cause = "the head is over Config::max_request_head_size (32768), 50009 bytes of it cookies: clear the \
        site's cookies";
    let (told, refusals) = door.ask(&page);
    assert_eq!(told, format!("1008 upgrade: {cause}"));
    assert_eq!((refusals[0].stage, refusals[0].cause.as_str()), (HandshakeStage::Upgrade, cause));
    assert!(
        refusals[0]
            .hint
            .as_deref()
            .is_some_and(|set| set.contains("Config::max_request_head_size"))
    );
    // A program reads the status.
    let (told, refusals) = door.ask(&cookies(50_000));
    assert_eq!(told, "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(refusals[0].cause, cause);
    let (told, refusals) = door.ask(&"A: b\r\n".repeat(120));
    assert_eq!(told, "HTTP/1.1 431 Request Header Fields Too Large");
    assert!(refusals[0].cause.contains("Config::max_request_headers"), "{}", refusals[0]);
}

/// What the PROXY protocol says in front of a request.
fn behind(door: &mut Door, remote: &str, header: &str) -> (String, Vec<ConnectFailure>) {
    let id = door.hub.accept(door.now, remote.parse().unwrap()).expect("room");
    for byte in format!("{header}{}", request("")).as_bytes() {
        door.hub.handle_input(door.now, Input::Bytes(id, &[*byte]));
    }
    let (answer, refusals) = door.heard(id);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.lines().next().unwrap_or_default().to_owned(), refusals)
}

#[test]
fn the_proxy_protocol_is_taken_of_a_trusted_proxy_that_is_to_speak_it() {
    let header = "PROXY TCP4 203.0.113.9 192.0.2.1 5000 3000\r\n";
    // Not asked for: it is named.
    let (status, refusals) = behind(&mut Door::new(proxied()), "10.0.0.1:1", header);
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    assert!(refusals[0].cause.starts_with("a PROXY protocol header, version 1"), "{}", refusals[0]);
    assert!(refusals[0].hint.as_deref().is_some_and(|set| set.contains("proxy_protocol")));
    // Asked for: it counts, from the proxy, and only there.
    let config = || Config { proxy_protocol: true, ..proxied() };
    let mut door = Door::new(config());
    assert_eq!(behind(&mut door, "10.0.0.1:1", header), (SWITCHING.into(), vec![]));
    let (status, _) = behind(&mut door, "198.51.100.7:1", header);
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    let (_, refusals) = behind(&mut door, "10.0.0.1:3", "");
    assert_eq!(refusals[0].cause, "no PROXY protocol header from a trusted proxy");
    let mut listed = Door::new(Config { allowed_origins: Some(Vec::new()), ..config() });
    let (_, refusals) = behind(&mut listed, "10.0.0.1:1", header);
    assert_eq!(refusals[0].remote, "203.0.113.9:5000".parse().unwrap());
    // The proxy's own probe, which ends behind its header.
    let id = door.hub.accept(door.now, "10.0.0.1:4".parse().unwrap()).expect("room");
    door.hub.handle_input(door.now, Input::Bytes(id, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"));
    door.hub.handle_input(door.now, Input::End(id));
    assert_eq!(door.heard(id).1, []);
}

#[test]
fn header_lists_may_have_several_lines() {
    let mut door = Door::new(Config::default());
    let request = request("").replace(
        "Upgrade\r\nUpgrade: ",
        "keep-alive\r\nConnection:\tUpgrade\t, x\r\nUpgrade: h2c, ",
    );
    let (answer, refusals) = door.raw(request.as_bytes(), false);
    assert!(answer.starts_with(SWITCHING) && refusals.is_empty(), "{answer}");
}

#[test]
fn without_a_list_everyone_is_let_in() {
    let mut door = Door::new(Config::default());
    for headers in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        assert_eq!(door.ask(headers), (SWITCHING.into(), vec![]));
    }
}

#[test]
fn t06_an_origin_is_in_the_list_or_refused() {
    let mut door = Door::new(listed());
    for origin in ["https://game.example", "http://localhost:8080"] {
        let (status, refusals) = door.ask(&format!("Origin: {origin}\r\n"));
        assert_eq!((status.as_str(), refusals), (SWITCHING, vec![]), "{origin}");
    }
    let mut door = Door::new(listed());
    for origin in [
        "https://evil.example",
        "null",
        "https://game.example.evil.example",
        "https://evilgame.example",
        "https://game.example:8443",
        "https://game.example/",
        "https://game.example@evil.example",
        "http://game.example",
        "http://localhost",
        "game.example",
        "https://game.example https://evil.example",
        "https://game.ex\u{430}mple",
        "*",
        "",
    ] {
        let (status, refusals) = door.ask(&format!("Origin: {origin}\r\n"));
        let [refusal] = &refusals[..] else { panic!("{origin}: {refusals:?}") };
        // Of two origins in one header too much is said for one close frame.
        let told = format!("1008 accept: {}", refusal.cause);
        assert!(status.starts_with("1008 accept: ") && told.starts_with(&status), "{status}");
        assert_eq!(refusal.stage, HandshakeStage::Accept, "{origin}");
        assert!(matches!(refusal.reason, CloseReason::Rejected(_)), "{refusal:?}");
        assert!(refusal.cause.contains("origin"), "{refusal}");
    }
    door.now += Config::default().close_timeout;
    door.hub.handle_input(door.now, Input::Timeout);
    assert!(door.hub.is_empty(), "a client that was refused is forgotten");
}

#[test]
fn t06_several_origins_are_none() {
    let mut door = Door::new(Config { allow_missing_origin: true, ..listed() });
    let twice = "Origin: https://game.example\r\n".repeat(2);
    assert_eq!(door.ask(&twice).0, "1008 accept: several Origin headers");
}

#[test]
fn t06_who_names_no_origin_is_let_in_where_that_is_said() {
    let (status, refusals) = Door::new(listed()).ask("");
    assert_eq!((status.as_str(), refusals[0].cause.as_str()), (FORBIDDEN, "no Origin header"));
    let mut door = Door::new(Config { allow_missing_origin: true, ..listed() });
    assert_eq!(door.ask(""), (SWITCHING.into(), vec![]));
    assert_eq!(door.ask("Origin: null\r\n").0, "1008 accept: the origin null is not allowed");
}

#[test]
fn t06_a_foreign_page_gets_words_and_nothing_else() {
    let (server, queue) = Server::bind("127.0.0.1:0", listed()).unwrap();
    let answer = answer(&server, request("Origin: https://evil.example\r\n").as_bytes());
    assert!(answer.starts_with(SWITCHING), "{answer}");
    let words = "accept: the origin https://evil.example is not allowed";
    let (_, frames) = answer.split_once("\r\n\r\n").unwrap();
    assert!(frames.ends_with(words), "{frames}");
    // The frame's head and code are four bytes, of which two are no UTF-8.
    assert!(frames.chars().count() <= words.len() + 4, "no offer: {frames}");
    drop(server);
    while !queue.is_finished() {
        assert_eq!(queue.wait(2 * SECOND), []);
    }
}

/// Configures one proxy, at 10.0.0.1.
fn proxied() -> Config {
    Config { trusted_proxies: vec!["10.0.0.1/32".parse().unwrap()], ..Config::default() }
}

const PROXY: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);

/// How long a client takes to open whose websocket comes from there, with these headers.
fn opens_in(config: Config, proxy: Option<([u8; 4], u16)>, named: &str) -> (World, Duration) {
    let mut world = World::new(1, config);
    let proxy = proxy.map_or(world.next_address(), SocketAddr::from);
    let headers = [("X-Forwarded-For", named)];
    world.join_through(proxy, "/", &headers, Manners::Good, Plane::Stock);
    let began = world.now;
    while world.seen.is_empty() && world.turn(began + 5 * SECOND) {}
    assert_eq!(world.take_seen(), [Seen::Open(PeerId::from(0))]);
    let took = world.now - began;
    (world, took)
}

fn remote(world: &World) -> SocketAddr {
    world.infos[&PeerId::from(0)].remote
}

#[test]
fn t22_a_forwarded_address_counts_from_a_trusted_proxy_only() {
    let (world, _) = opens_in(proxied(), Some(PROXY), "1.1.1.1, 198.51.100.1, 10.0.0.1");
    assert_eq!(remote(&world), "198.51.100.1:0".parse().unwrap());
    let stranger = ([10, 0, 0, 2], 40_000);
    let (world, _) = opens_in(proxied(), Some(stranger), "198.51.100.1");
    assert_eq!(remote(&world), stranger.into());
    let (world, _) = opens_in(Config::default(), Some(PROXY), "198.51.100.1");
    assert_eq!(remote(&world), PROXY.into());
}

/// A check from the address that the websocket comes from is as good as a nomination, and a
/// trusted proxy vouches for that address.
#[test]
fn through_a_trusted_proxy_it_opens_as_soon_as_directly() {
    let (_, direct) = opens_in(Config::default(), None, "");
    let (_, through) = opens_in(proxied(), Some(PROXY), "198.51.100.1");
    let (_, elsewhere) = opens_in(proxied(), Some(PROXY), "203.0.113.9");
    assert_eq!(through, direct);
    assert!(elsewhere > direct, "{elsewhere:?} {direct:?}");
}

/// How many of so many silent clients from there are on their way, and of which kind the
/// refusals are.
fn crowd(
    config: Config,
    remote: &str,
    headers: &str,
    clients: usize,
) -> (usize, Vec<ConnectFailure>) {
    let mut door = Door::new(config);
    let (mut refusals, mut alive) = (Vec::new(), 0_usize);
    for _ in 0..clients {
        let id = door.knock(remote, headers);
        refusals.extend(door.heard(id).1);
        alive += 1;
    }
    alive -= refusals.len();
    assert!(refusals.iter().all(|refusal| refusal.stage == HandshakeStage::Accept), "{refusals:?}");
    (alive, refusals)
}

#[test]
fn t19_two_thousand_from_one_address_keep_nobody_else_out() {
    let (alive, refusals) = crowd(Config::default(), "198.51.100.7:1", "", 2_000);
    assert_eq!((alive, refusals.len()), (1_024, 976));
    let mut world = World::new(1, Config { max_handshakes: 16, ..Config::default() });
    for client in 0..2_000 {
        let attacker = ([203, 0, 113, 5], client);
        world.join_through(attacker.into(), "/", &[], Manners::Silent, Plane::Stock);
        if client == 1_000 {
            world.join(Manners::Good);
        }
        world.turn(world.now + SECOND / 1_000);
    }
    assert_eq!(world.heard(1_001), [Heard::Open]);
    let ended = |line: &usize| matches!(world.heard(*line), [Heard::Closed(..)]);
    assert!((0..2_000).filter(ended).count() > 1_900);
    world.run(20 * SECOND);
    assert_eq!((0..2_001).filter(|line| matches!(world.heard(*line), [Heard::Open])).count(), 1);
}

#[test]
fn an_address_is_an_ipv4_one_or_64_bits_of_ipv6() {
    for (first, second) in
        [("[2001:db8::1]:1", "[2001:db8::2]:1"), ("198.51.100.8:1", "[::ffff:198.51.100.8]:1")]
    {
        let mut door = Door::new(Config { max_handshakes: 2, ..Config::default() });
        for remote in [first, second] {
            let id = door.knock(remote, "");
            assert_eq!(door.heard(id).1, []);
        }
        // Both are of one address, which has more than the newcomer's.
        let id = door.knock("[2001:db8:0:1::1]:1", "");
        let (answer, refusals) = door.heard(id);
        assert!(answer.starts_with(SWITCHING.as_bytes()));
        let [refusal] = &refusals[..] else { panic!("{refusals:?}") };
        assert_eq!(refusal.remote, first.parse().unwrap());
    }
}

/// Each connection through a proxy counts where its request says.
#[test]
fn of_a_proxys_clients_the_one_that_has_most_gives_way() {
    let mut door = Door::new(Config { max_handshakes: 16, ..proxied() });
    let mut knock = |client: &str| {
        let id = door.knock("10.0.0.1:1", &format!("X-Forwarded-For: {client}\r\n"));
        door.heard(id).1
    };
    for _ in 0..8 {
        assert_eq!(knock("203.0.113.7"), []);
    }
    for client in 0..8 {
        assert_eq!(knock(&format!("198.51.100.{client}")), []);
    }
    for client in 8..14 {
        let refusals = knock(&format!("198.51.100.{client}"));
        let [refusal] = &refusals[..] else { panic!("{refusals:?}") };
        assert_eq!(refusal.remote, "203.0.113.7:0".parse().unwrap());
    }
}

#[test]
fn an_address_has_so_many_peers() {
    let mut world = World::new(1, Config { max_peers_per_ip: 2, ..Config::default() });
    let clients: Vec<_> = (0..3).map(|_| world.join(Manners::Good)).collect();
    world.run(3 * SECOND);
    let late = world.join(Manners::Good);
    world.run(3 * SECOND);
    let words = "accept: 2 peers have this address already".to_owned();
    let heard: Vec<_> = clients.iter().map(|line| world.take_heard(*line)).collect();
    assert_eq!(heard.iter().filter(|heard| **heard == [Heard::Open]).count(), 2, "{heard:?}");
    assert_eq!(world.take_heard(late), [Heard::Closed(1008, words)]);
    // One leaves, one comes.
    let leaving = heard.iter().position(|heard| *heard == [Heard::Open]).unwrap();
    world.act(clients[leaving], |agent, now| agent.close_websocket(now));
    world.run(SECOND);
    let next = world.join(Manners::Good);
    world.run(3 * SECOND);
    assert_eq!(world.heard(next), [Heard::Open]);
}

#[test]
fn t19_two_thousand_connects_to_a_real_server() {
    let (server, queue) = Server::bind("127.0.0.1:0", Config::default()).unwrap();
    let mut idle = VecDeque::new();
    for _ in 0..2_000 {
        idle.push_back(TcpStream::connect(server.local_addr()).unwrap());
        if idle.len() > 200 {
            idle.pop_front();
        }
    }
    let client = Client::connect(server.local_addr()).unwrap();
    assert_eq!(queue.wait(SECOND), [Event::Open(PeerId::from(0))]);
    let stats = server.stats();
    let ended = stats.connect_failures + stats.plain_http;
    assert!(stats.tcp_accepted == 2_001 && ended >= 2_000 - 1_024, "{stats:?}");
    drop(client);
}

#[test]
fn t19_refused_connections_that_stay_are_bounded_and_keep_nobody_out() {
    let mut door = Door::new(Config { max_handshakes: 2, ..listed() });
    let mut dropped = 0;
    // They neither take the words nor hang up.
    for client in 0..100 {
        door.knock(&format!("203.0.113.{client}:1"), "Origin: https://evil.example\r\n");
        loop {
            match door.hub.poll_output() {
                Output::Timeout(_) => break,
                Output::Drop(_) => dropped += 1,
                _ => {}
            }
        }
        assert!(door.hub.resource_usage().connections <= 4, "{:?}", door.hub.resource_usage());
    }
    assert_eq!(dropped, 96);
    // An honest one comes in beside them.
    let (status, refusals) = door.ask("Origin: https://game.example\r\n");
    assert_eq!((status.as_str(), refusals), (SWITCHING, vec![]));
    // Those that are left have little time.
    door.now += Config::default().close_timeout;
    door.hub.handle_input(door.now, Input::Timeout);
    while !matches!(door.hub.poll_output(), Output::Timeout(_)) {}
    let sizes = door.hub.resource_usage();
    assert_eq!((sizes.connections, sizes.handshakes, sizes.queued_outputs), (1, 1, 0), "{sizes:?}");
}

#[test]
fn t19_those_that_give_way_and_stay_are_bounded() {
    let mut door = Door::new(Config { max_handshakes: 2, ..Config::default() });
    for client in 1..=100 {
        door.knock(&format!("203.0.113.{client}:1"), "");
        while !matches!(door.hub.poll_output(), Output::Timeout(_)) {}
        assert!(door.hub.resource_usage().connections <= 4, "{:?}", door.hub.resource_usage());
    }
}

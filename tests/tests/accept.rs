//! The application says who may become a peer: in virtual time, and on threads of its own.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use net::hub::{ConnectionId, Hub, Input, Output};
use net::{
    AcceptHook, CloseReason, Config, ConnectFailure, Decision, Delivery, Event, EventQueue,
    HandshakeStage, Message, PeerId, Request, Server,
};
use net_tests::agent::Manners;
use net_tests::client::{Client, News};
use net_tests::plane::Plane;
use net_tests::world::{Heard, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

fn asking(hook: impl Fn(&Request) -> Decision + Send + Sync + 'static) -> Config {
    Config { accept: Some(AcceptHook::new(hook)), ..Config::default() }
}

/// A world with this hook and one client, which asks for this.
fn world(config: Config, path: &str, headers: &[(&str, &str)]) -> World {
    let mut world = World::new(1, config);
    let address = world.next_address();
    world.join_through(address, path, headers, Manners::Good, Plane::Stock);
    world
}

fn refusal(world: &mut World) -> ConnectFailure {
    let seen = world.take_seen();
    let [Seen::Refused(refusal)] = &seen[..] else { panic!("one refusal, not {seen:?}") };
    assert_eq!(refusal.stage, HandshakeStage::Accept);
    refusal.clone()
}

fn answered(status: u16) -> Heard {
    Heard::Closed(0, format!("the server refused the upgrade with HTTP status {status}"))
}

#[test]
fn it_sees_the_whole_request_and_its_value_stays_with_the_peer() {
    let config = asking(|request| {
        assert_eq!(request.remote(), "198.51.100.1:5000".parse::<SocketAddr>().unwrap());
        assert_eq!((request.path(), request.query()), ("/room/7", Some("a=1")));
        assert_eq!(request.origin(), Some("https://game.example"));
        assert_eq!(request.header("x-more"), Some("x"));
        assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "v2"]);
        Decision::accept(request.cookie("ticket").unwrap().to_owned()).with_subprotocol("v2")
    });
    let headers = [
        ("Origin", "https://game.example"),
        ("X-More", "x"),
        ("Cookie", "a=b; ticket=77"),
        ("Sec-WebSocket-Protocol", "chat, v2"),
    ];
    let mut world = world(config, "/room/7?net=compatible&a=1", &headers);
    world.run(5 * SECOND);
    assert_eq!(world.heard(0), [Heard::Open]);
    let info = &world.infos[&PeerId::from(0)];
    assert_eq!(info.user_data::<String>(), Some(Arc::new("77".to_owned())));
    assert_eq!(info.user_data::<u32>(), None);
    assert_eq!((info.uri_path.as_str(), info.query.as_deref()), ("/room/7", Some("a=1")));
    assert_eq!(info.subprotocol.as_deref(), Some("v2"));
}

#[test]
fn a_subprotocol_that_was_not_offered_is_left_out() {
    for (offered, expected) in [(None, None), (Some("v2"), None), (Some("chat"), Some("chat"))] {
        let headers: Vec<_> = offered.map(|o| ("Sec-WebSocket-Protocol", o)).into_iter().collect();
        let accept = asking(|_| Decision::accept(()).with_subprotocol("chat"));
        let mut world = world(accept, "/", &headers);
        world.run(3 * SECOND);
        assert_eq!(world.heard(0), [Heard::Open]);
        assert_eq!(world.infos[&PeerId::from(0)].subprotocol.as_deref(), expected);
    }
}

#[test]
fn who_is_refused_is_answered_so_and_never_seen() {
    for status in [401, 403, 429, 503] {
        let config = asking(move |_| Decision::reject(status, "no ticket"));
        let mut world = world(config, "/", &[]);
        world.run(SECOND);
        assert_eq!(world.heard(0), [answered(status)]);
        let refusal = refusal(&mut world);
        assert_eq!(refusal.reason, CloseReason::Rejected("no ticket".into()));
        assert_eq!(refusal.cause, "no ticket");
        assert!(world.is_empty());
    }
}

const PAGE: (&str, &str) = ("Origin", "https://game.example");

/// What a page of a browser hears that is refused, and nothing else: no offer is made.
fn page_hears(config: Config, think: Duration) -> (Vec<Heard>, ConnectFailure) {
    // Chromium fails the handshake of a page that offers subprotocols if none is chosen.
    let mut world = world(config, "/", &[PAGE, ("Sec-WebSocket-Protocol", "chat, v2")]);
    world.thinks = think;
    world.run(8 * SECOND);
    assert!(world.is_empty(), "it is gone");
    (world.heard(0).to_vec(), refusal(&mut world))
}

#[test]
fn a_page_is_told_on_the_websocket_why_it_is_refused() {
    let closed = |code, words: &str| vec![Heard::Closed(code, format!("accept: {words}"))];
    for (status, code) in [(401, 1008), (403, 1008), (429, 1008), (500, 1008), (503, 1013)] {
        let config = asking(move |_| Decision::reject(status, "please log in"));
        let (heard, refusal) = page_hears(config, Duration::ZERO);
        assert_eq!(heard, closed(code, "please log in"), "{status}");
        assert_eq!(refusal.reason, CloseReason::Rejected("please log in".into()));
    }
    let (heard, _) = page_hears(asking(|_| panic!("as the test wants it")), Duration::ZERO);
    assert_eq!(heard, closed(1011, "Config::accept panicked"));
    let config = Config { upgrade_timeout: 3 * SECOND, ..asking(|_| Decision::accept(())) };
    let (heard, refusal) = page_hears(config, 4 * SECOND);
    assert_eq!(heard, closed(1013, "no verdict of Config::accept within 3 s"));
    assert_eq!(refusal.reason, CloseReason::HandshakeTimeout);
    let origins = Some(vec!["https://other.example".into()]);
    let (heard, _) =
        page_hears(Config { allowed_origins: origins, ..Config::default() }, Duration::ZERO);
    assert_eq!(heard, closed(1008, "the origin https://game.example is not allowed"));
    let (heard, _) = page_hears(Config { max_peers: 0, ..Config::default() }, Duration::ZERO);
    assert_eq!(heard, closed(1008, "the server is full: 0 peers"));
}

#[test]
fn a_reason_that_is_too_long_is_cut() {
    let config = asking(|_| Decision::reject(403, "é".repeat(200)));
    let (heard, refusal) = page_hears(config, Duration::ZERO);
    assert_eq!(heard, [Heard::Closed(1008, format!("accept: {}", "é".repeat(57)))]);
    assert_eq!(refusal.cause, "é".repeat(200));
}

#[test]
fn the_origin_is_looked_at_first() {
    let config = asking(|_| panic!("nobody is to be asked"));
    let config = Config { allowed_origins: Some(vec!["https://game.example".into()]), ..config };
    let mut world = world(config, "/", &[("Origin", "https://evil.example")]);
    world.run(SECOND);
    let words = "accept: the origin https://evil.example is not allowed";
    assert_eq!(world.heard(0), [Heard::Closed(1008, words.into())]);
}

#[test]
fn a_late_verdict_is_none() {
    // A client has its own patience, of 5 s.
    let config = Config { upgrade_timeout: 3 * SECOND, ..asking(|_| Decision::accept(())) };
    let mut world = world(config, "/", &[]);
    world.thinks = 4 * SECOND;
    world.run(4 * SECOND);
    let refusal = refusal(&mut world);
    assert_eq!(refusal.cause, "no verdict of Config::accept within 3 s");
    assert_eq!(refusal.reason, CloseReason::HandshakeTimeout);
    world.run(5 * SECOND);
    assert_eq!(world.take_seen(), []);
    assert_eq!(world.heard(0), [answered(503)]);
}

#[test]
fn a_slow_verdict_takes_none_of_the_time_to_answer() {
    let config = asking(|_| Decision::accept(()));
    let mut world = world(Config { answer_timeout: SECOND, ..config }, "/", &[]);
    world.thinks = 4 * SECOND;
    world.run(4 * SECOND);
    assert_eq!(world.heard(0), []);
    world.run(2 * SECOND);
    assert_eq!(world.heard(0), [Heard::Open]);
}

#[test]
fn a_panic_refuses_that_one_only() {
    let config = asking(|request| match request.path() {
        "/bad" => panic!("as the test wants it"),
        _ => Decision::accept(()),
    });
    let mut world = world(config, "/bad", &[]);
    world.join(Manners::Good);
    world.run(3 * SECOND);
    assert_eq!((world.heard(0), world.heard(1)), (&[answered(500)][..], &[Heard::Open][..]));
    assert_eq!(world.seen.pop(), Some(Seen::Open(PeerId::from(0))));
    let refusal = refusal(&mut world);
    assert_eq!(refusal.reason, CloseReason::AcceptPanicked);
    assert_eq!(refusal.cause, "Config::accept panicked");
}

#[test]
fn nobody_is_asked_about_who_has_left() {
    let now = Instant::now();
    let local = vec![([192, 0, 2, 1], 3000).into()];
    let config = Config { accept_threads: 1, ..asking(|_| Decision::accept(())) };
    let mut hub = Hub::new(config, local, Vec::new(), Some(1));
    let knock = |hub: &mut Hub| {
        let id = hub.accept(now, ([198, 51, 100, 7], 1).into()).unwrap();
        hub.handle_input(now, Input::Bytes(id, request("").as_bytes()));
        id
    };
    let [first, second, third] = [(); 3].map(|()| knock(&mut hub));
    assert_eq!(asked(&mut hub), [first], "there is one thread");
    assert!(hub.outgoing(first).is_empty(), "nothing is answered yet");
    for left in [first, second] {
        hub.handle_input(now, Input::End(left));
    }
    assert_eq!(asked(&mut hub), [], "the thread still thinks");
    for _ in 0..2 {
        hub.handle_input(now, Input::Decision(first, &Ok(Decision::accept(()))));
        hub.handle_input(now, Input::Decision(second, &Ok(Decision::accept(()))));
    }
    assert_eq!(asked(&mut hub), [third]);
    hub.handle_input(now, Input::End(third));
    assert!(hub.is_empty());
}

/// Whom the application is asked about now.
fn asked(hub: &mut Hub) -> Vec<ConnectionId> {
    let mut asked = Vec::new();
    loop {
        match hub.poll_output() {
            Output::AcceptRequest(question) => asked.push(question.connection),
            Output::Timeout(_) => return asked,
            _ => {}
        }
    }
}

/// One address may fill the line, and another one's turn comes next.
#[test]
fn an_address_that_asks_much_waits_for_itself() {
    let mut world = World::new(1, asking(|_| Decision::accept(())));
    world.thinks = SECOND / 5;
    for client in 0..300 {
        let (from, page) = (([203, 0, 113, 7], client), [("Origin", "https://game.example")]);
        world.join_through(from.into(), "/", &page, Manners::Silent, Plane::Stock);
    }
    world.run(SECOND / 5);
    let busy = "accept: 256 others wait for a verdict of Config::accept".to_owned();
    let turned_away = |line: &usize| world.heard(*line) == [Heard::Closed(1013, busy.clone())];
    assert_eq!((0..300).filter(turned_away).count(), 300 - 256 - 4);
    let began = world.now;
    let other =
        world.join_through(([203, 0, 113, 8], 1).into(), "/", &[], Manners::Good, Plane::Stock);
    while world.heard(other).is_empty() && world.turn(began + 5 * SECOND) {}
    assert_eq!(world.heard(other), [Heard::Open]);
    assert!(world.now - began < SECOND, "{:?}", world.now - began);
}

#[test]
fn room_that_was_taken_meanwhile_is_taken() {
    let config = asking(|_| Decision::accept(()));
    let mut world = World::new(1, Config { max_peers: 1, ..config });
    world.thinks = 3 * SECOND;
    let slow = world.join(Manners::Good);
    world.run(SECOND);
    world.thinks = Duration::ZERO;
    let quick = world.join(Manners::Good);
    world.run(5 * SECOND);
    assert_eq!(world.heard(quick), [Heard::Open]);
    let words = "accept: the server is full: 1 peers".to_owned();
    assert_eq!(world.heard(slow), [Heard::Closed(1008, words)]);
}

/// A good request for this path.
fn request(path: &str) -> String {
    format!(
        "GET /{path} HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn ask(server: &Server, path: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(server.local_addr()).unwrap();
    tcp.write_all(request(path).as_bytes()).unwrap();
    tcp.set_read_timeout(Some(10 * SECOND)).unwrap();
    tcp
}

/// The first line that comes.
fn status(tcp: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// A server whose application thinks about `/slow` until it is told to go on; it says whom it
/// thinks about.
fn thoughtful(config: Config) -> (Server, EventQueue, Receiver<String>, Sender<()>) {
    let (asked, begun) = channel();
    let (go_on, wait) = channel();
    let channels = Mutex::new((asked, wait));
    let accept = AcceptHook::new(move |request| {
        if request.path() == "/slow" {
            let (asked, wait) = &*channels.lock().unwrap();
            asked.send(request.path().to_owned()).unwrap();
            // The end of the test is as good.
            _ = wait.recv();
        }
        Decision::accept(request.path().to_owned())
    });
    let config = Config { accept: Some(accept), ..config };
    let (server, queue) = Server::bind("127.0.0.1:0", config).unwrap();
    (server, queue, begun, go_on)
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";

#[test]
fn while_it_thinks_the_others_go_on_and_too_many_questions_are_answered_503() {
    let config = Config { accept_threads: 1, accept_queue_len: 1, ..Config::default() };
    let (server, queue, begun, go_on) = thoughtful(config);
    let mut client = Client::connect(server.local_addr()).unwrap();
    assert_eq!(queue.wait(10 * SECOND), [Event::Open(PeerId::from(0))]);
    let mut slow = ask(&server, "slow");
    begun.recv_timeout(10 * SECOND).unwrap();

    client.send_reliable("on");
    let on = Message::new(Delivery::Reliable, "on");
    assert_eq!(queue.wait(2 * SECOND), [Event::Received(PeerId::from(0), on)]);
    server.send_reliable(0, "and on");
    assert!(
        matches!(client.next(2 * SECOND), Some(News::Received(_, message)) if message == "and on")
    );

    let mut in_line = ask(&server, "next");
    let refused = || server.connect_failures().recent.pop_back();
    // Whoever comes when the line is full is turned away; the first may be the one in line.
    let mut too_many = ask(&server, "more");
    let mut lines = [&mut in_line, &mut too_many];
    let end = Instant::now() + 10 * SECOND;
    while refused().is_none() {
        assert!(Instant::now() < end, "nobody is turned away");
        std::thread::yield_now();
    }
    let refusal = refused().unwrap();
    assert_eq!(refusal.cause, "1 others wait for a verdict of Config::accept");
    assert_eq!(refusal.reason.name(), "limit");
    go_on.send(()).unwrap();
    assert_eq!(status(&mut slow), SWITCHING);
    let mut statuses = lines.each_mut().map(|tcp| status(tcp));
    statuses.sort();
    assert_eq!(statuses, [SWITCHING, "HTTP/1.1 503 Service Unavailable"]);
}

#[test]
fn whoever_left_the_line_is_not_asked_about() {
    let (asked, begun) = channel();
    let (go_on, wait) = channel::<()>();
    let channels = Mutex::new((asked, wait));
    let accept = AcceptHook::new(move |request| {
        let (asked, wait) = &*channels.lock().unwrap();
        asked.send(request.path().to_owned()).unwrap();
        // The end of the test is as good.
        _ = wait.recv();
        Decision::accept(())
    });
    let config = Config { accept: Some(accept), accept_threads: 1, ..Config::default() };
    let (server, _queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let mut first = ask(&server, "first");
    assert_eq!(begun.recv_timeout(10 * SECOND).unwrap(), "/first");
    drop(ask(&server, "leaves"));
    let end = Instant::now() + 10 * SECOND;
    while server.stats().connect_failures == 0 {
        assert!(Instant::now() < end, "nobody left");
        std::thread::yield_now();
    }
    let mut last = ask(&server, "last");
    drop(go_on);
    assert_eq!((status(&mut first), status(&mut last)), (SWITCHING.into(), SWITCHING.into()));
    assert_eq!(begun.try_iter().collect::<Vec<_>>(), ["/last"]);
}

#[test]
fn the_value_is_there_while_the_peer_lives() {
    let alive = Arc::new(Mutex::new(Weak::<u32>::new()));
    let kept = alive.clone();
    let accept = AcceptHook::new(move |_| {
        let value = Arc::new(7_u32);
        *kept.lock().unwrap() = Arc::downgrade(&value);
        Decision::Accept(net::Accepted { user_data: value, subprotocol: None })
    });
    let config = Config { accept: Some(accept), ..Config::default() };
    let (server, queue) = Server::bind("127.0.0.1:0", config).unwrap();
    let client = Client::connect(server.local_addr()).unwrap();
    assert_eq!(queue.wait(10 * SECOND), [Event::Open(PeerId::from(0))]);
    let peer = server.peer(0).unwrap();
    assert_eq!(peer.user_data::<u32>().as_deref(), Some(&7));
    assert_eq!(server.peer(0).unwrap().user_data::<u32>(), peer.user_data::<u32>());
    drop((peer, client));
    assert_eq!(queue.wait(10 * SECOND), [Event::Closed(PeerId::from(0))]);
    let left = server.peer(0).expect("it is known while its end is handled");
    assert_eq!(left.user_data::<u32>().as_deref(), Some(&7));
    drop(left);
    assert_eq!(queue.pop_all(), []);
    assert!(server.peer(0).is_none());
    drop(server);
    while !queue.is_finished() {
        drop(queue.wait(2 * SECOND));
    }
    assert!(alive.lock().unwrap().upgrade().is_none(), "it is kept for nobody");
}

#[test]
fn the_server_ends_while_the_application_thinks() {
    let (server, queue, begun, _go_on) = thoughtful(Config::default());
    let address = server.local_addr();
    let mut slow = ask(&server, "slow");
    begun.recv_timeout(10 * SECOND).unwrap();
    let began = Instant::now();
    drop(server);
    while !queue.is_finished() {
        drop(queue.wait(2 * SECOND));
    }
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    assert_eq!(status(&mut slow), "HTTP/1.1 503 Service Unavailable");
    assert!(Server::bind(address, Config::default()).is_ok(), "the port is free");
}

#[test]
fn settings_with_a_hook_can_be_compared() {
    let config = asking(|_| Decision::accept(()));
    assert_eq!(config, config.clone());
    assert_ne!(config, asking(|_| Decision::accept(())));
    assert_ne!(config, Config::default());
    assert!(format!("{config:?}").contains("Accept(..)"));
}
